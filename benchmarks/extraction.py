"""How long extraction of 24 spheres takes, against a loop over nilearn's masker.

    python benchmarks/extraction.py 300

It writes maps of 2 mm into a temporary folder, extracts them, extracts again with one person more, and
lets ``NiftiSpheresMasker`` do a part of them. Limits: 60 s and 2 GiB for 300 people on two cores,
5 times as fast as the loop, equal to 1e-6.
"""

from __future__ import annotations

import gzip
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
import yaml
from nilearn.datasets import load_mni152_brain_mask
from nilearn.maskers import NiftiSpheresMasker

from nssi_bayes import extract
from nssi_bayes import names as n
from nssi_bayes.atlases import read_atlas
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, read_dataset

_COMPARED: Final = 5  # people that nilearn does, too
_STUDY: Final = {
    "title": "Invented maps", "synthetic": True, "disorders": {"flags": {"mood": "dx_mood"}},
    "instruments": {"isas": {"table": "isas.tsv", "column": "isas_{item:02d}"}}, "items": ["isas"],
    "activation": {"atlas": "nssi_spheres", "effect": "{participant}_effect.nii.gz",
                   "variance": "{participant}_variance.nii.gz", "spaces": ["MNI152NLin6Asym"]},
}  # fmt: skip


def write_maps(folder: Path, people: range) -> None:
    """Write an effect and a variance map of 2 mm for each person, noise in the brain and 0 outside."""
    mask = load_mni152_brain_mask(resolution=2)
    brain = np.asarray(mask.dataobj) > 0
    for person in people:
        rng = np.random.default_rng(person)
        for stat in ("effect", "variance"):
            values = np.zeros(brain.shape, dtype=np.float32)
            noise = rng.standard_normal(int(brain.sum()), dtype=np.float32)
            values[brain] = noise if stat == "effect" else noise**2 + 0.1
            content = nibabel.Nifti1Image(values, mask.affine).to_bytes()
            (folder / f"sub-{person:04d}_{stat}.nii.gz").write_bytes(gzip.compress(content, compresslevel=1))


def timed(layout: Layout, params: Params) -> float:
    """Return the seconds of one extraction."""
    start = time.perf_counter()
    extract.run(layout, params)
    return time.perf_counter() - start


def by_nilearn(folder: Path, person: int) -> np.ndarray:
    """Return effect and standard error of one person as a loop over nilearn's masker gives them."""
    atlas = read_atlas("nssi_spheres")
    found = []
    for stat in ("effect", "variance"):
        masker = NiftiSpheresMasker(
            [tuple(c) for c in atlas.centres], radius=atlas.radius_mm, standardize=None
        )
        found.append(np.ravel(masker.fit_transform(folder / f"sub-{person:04d}_{stat}.nii.gz")))
    return np.array([found[0], np.sqrt(found[1])])


def main(people: int) -> None:
    """Print what was measured."""
    with tempfile.TemporaryDirectory() as root:
        layout = Layout(Path(root))
        folder = layout.root / "maps"
        folder.mkdir()
        write_maps(folder, range(people))
        layout.study("s").parent.mkdir(parents=True)
        layout.study("s").write_text(yaml.safe_dump(_STUDY))
        params = Params(study="s", source=Path("maps"), seed=1, roster=("q/m",), questions=("q",))
        whole = timed(layout, params)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        write_maps(folder, range(people, people + 1))
        more = timed(layout, params)
        found = read_dataset(layout.activation("s"))
        compared = min(people, _COMPARED)
        start = time.perf_counter()
        theirs = np.array([by_nilearn(folder, person) for person in range(compared)])
        loop = (time.perf_counter() - start) / compared * people
        ours = np.stack([found[n.ACTIVATION], found[n.ACTIVATION_SE]], axis=1)[:compared]
    sys.stdout.write(
        f"{people} people: {whole:.1f} s, {memory:.2f} GiB at most; one person more: {more:.1f} s\n"
        f"a loop over NiftiSpheresMasker: {loop:.1f} s, {loop / whole:.1f} times as long\n"
        f"largest difference {np.abs(ours - theirs).max():.1e}\n"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
