"""Standard errors of edges against the truth of simulated fMRIPrep derivatives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from derivatives import ROIS, SPACE, T_R, process, stem, write_atlas, write_bold
from nssi_bayes.atlases.images import open_atlas
from nssi_bayes.extract.connectivity import Edges, run_edges
from nssi_bayes.extract.denoise import cleaning
from nssi_bayes.extract.effective import Cleaning
from nssi_bayes.extract.regions import Grids
from nssi_bayes.extract.series import Series, from_bold
from nssi_bayes.imaging import Cleaned, ConnectivitySource

Z_90 = 1.645
BOLD = "{participant}/func/{participant}_task-rest_space-" + SPACE + "_desc-preproc_bold.nii.gz"
RULE = {"atlas": "six.yaml", "bold": BOLD, "spaces": [SPACE], "edges": "all"}
ALL = np.triu_indices(len(ROIS), 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["correlation", "partial correlation"])
def test_standard_errors_cover_the_process_after_cleaning(tmp_path: Path, kind: str) -> None:
    """400 people of 240 frames: each edge's 90 % interval covers in 85 to 95 %.

    What is covered is the z of the process after the same denoising, from 10^5 frames.
    """
    write_atlas(tmp_path)
    rule = ConnectivitySource.model_validate(RULE | {"kind": kind})
    grids = Grids(open_atlas("six.yaml", folder=tmp_path))
    edges = Edges([f"{i}" for i in range(15)], *(np.array(side) for side in ALL))

    def read(rng: np.random.Generator, frames: int) -> Series:
        write_bold(tmp_path, "sub-1", *process(rng, frames))
        base = stem(tmp_path, "sub-1")
        image = base.with_name(f"{base.name}_space-{SPACE}_desc-preproc_bold.nii.gz")
        return from_bold(image, base.with_name(f"{base.name}_desc-confounds_timeseries.tsv"), rule=rule,
                         grids=grids)  # fmt: skip

    rng = np.random.default_rng(17)
    long = np.concatenate([read(rng, 500).cleaned for _ in range(200)])
    both = np.corrcoef(long.T)
    if kind == "partial correlation":
        precision = np.linalg.inv(both)
        both = -precision / np.sqrt(np.outer(precision.diagonal(), precision.diagonal()))
    target = np.arctanh(both[ALL])
    people = [run_edges(read(rng, 240), rule, edges=edges) for _ in range(400)]
    z, se = (np.array([person[key] for person in people]) for key in ("z", "se"))
    covered = (np.abs(z - target) < Z_90 * se).mean(axis=0)
    assert covered.min() >= 0.85, covered
    assert covered.max() <= 0.95, covered


@pytest.mark.slow
def test_standard_errors_of_ready_made_series_cover(tmp_path: Path) -> None:
    """The same for series of which only the band and the number of regressors are known."""
    rule = ConnectivitySource.model_validate(
        {"atlas": "six.yaml", "timeseries": "{participant}.tsv", "t_r": T_R, "edges": "all",
         "cleaned": Cleaned(nuisance=41, high_pass_hz=1 / 128, low_pass_hz=0.1)}
    )  # fmt: skip
    edges = Edges([f"{i}" for i in range(15)], *(np.array(side) for side in ALL))
    rng = np.random.default_rng(18)

    def series(frames: int) -> np.ndarray:
        raw, table = process(rng, frames)
        regressors = table.filter(regex="trans|rot|csf|white|cosine").bfill().to_numpy()
        spike = (table["framewise_displacement"] > 0.5).to_numpy()
        done = cleaning(frames, keep=np.flatnonzero(~spike), confounds=regressors, t_r=T_R, high_pass_hz=None,
                        low_pass_hz=0.1)  # fmt: skip
        return np.asarray(done.full @ raw)[~spike]

    target = np.arctanh(np.corrcoef(np.concatenate([series(500) for _ in range(200)]).T)[ALL])
    z, se = [], []
    for _ in range(400):
        cleaned = series(300)
        center = np.eye(len(cleaned)) - 1 / len(cleaned)
        one = Series(cleaned, np.arange(len(cleaned)), Cleaning(center, center), np.ones(6), 0.1, 50.0)
        result = run_edges(one, rule, edges=edges)
        z.append(result["z"])
        se.append(result["se"])
    covered = (np.abs(np.array(z) - target) < Z_90 * np.array(se)).mean(axis=0)
    assert covered.min() >= 0.85, covered
    assert covered.max() <= 0.97, covered  # what is not known is counted on the safe side
