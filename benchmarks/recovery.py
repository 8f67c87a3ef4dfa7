"""What comes back of effects of published size, from raw files to the posterior of the whole line.

    python benchmarks/recovery.py --shard 0 --of 1 --out benchmarks/results/recovery
    python benchmarks/recovery.py --summarise --out benchmarks/results/recovery

Each cohort: the synthetic folder of the demo with 150 people and a seed of its own (sizes of
effects are published ones and fixed, directions are drawn), read, scored, extracted and fitted.
Shown are bias, RMSE and shrinkage. No coverage is claimed: priors that are centred at 0 cover
fixed effects at a rate that is no property of the model (that is `calibration.py`).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from shards import run_shards

from nssi_bayes import assemble, extract, ingest, score, simulate
from nssi_bayes import names as n
from nssi_bayes.build import build
from nssi_bayes.fit import fit
from nssi_bayes.spec import JointSpec, Params, Sampler, Simulate, parse, read_model, read_params
from nssi_bayes.store import Layout, read_dataset, seed_sequence

__all__ = ["KINDS", "recover", "summarise"]

SEED: Final = 20270101
MODEL: Final = "heterogeneity/disorder_roots"
PARTICIPANTS: Final = 150
KINDS: Final = ("level contrasts", "slopes", "slope contrasts", "correlations", "network loadings")
_ROOT: Final = Path(__file__).parents[1]
_COMMAND: Final = "python benchmarks/recovery.py"

type Array = np.ndarray[Any, Any]


def recover(index: int, *, seed: int = SEED, participants: int = PARTICIPANTS) -> dict[str, Any]:
    """Simulate a folder, run the line up to the data set, fit it, and set the truth beside it.

    Parameters
    ----------
    index : int
        Number of the cohort.
    seed : int
        Seed of cohort 0; the next has the next.
    participants : int
        Size of the cohort.

    Returns
    -------
    dict
        By kind: truth in the units of the model, posterior mean and sd; health of the fit.
    """
    sampler = Sampler(chains=2, tune=250, draws=500)
    with tempfile.TemporaryDirectory() as folder:
        cohort, truth = _cohort(Layout(Path(folder)), seed=seed + index, participants=participants)
    layout = Layout(_ROOT)
    spec = parse(JointSpec, read_model(layout, MODEL).model_dump(), where=MODEL)
    tree = fit(build(spec, cohort, where=MODEL), sampler, seed_sequence(seed + index, "recovery"))
    posterior = tree["posterior"].to_dataset()
    known = true_values(truth, cohort)
    kinds = {kind: _beside(posterior, values) for kind, values in known.items()}
    return {
        "index": index, "seed": seed + index, "participants": participants, "synthetic": True,
        "model": MODEL, "sampler": sampler.model_dump(), "kinds": kinds,
        "divergences": int(tree["sample_stats"]["diverging"].sum()), "rerun": bool(tree.attrs["rerun"]),
    }  # fmt: skip


def _cohort(layout: Layout, *, seed: int, participants: int) -> tuple[xr.Dataset, xr.Dataset]:
    study = layout.root / "data" / "demo" / "study.yaml"
    study.parent.mkdir(parents=True)
    shutil.copy(_ROOT / "data" / "demo" / "study.yaml", study)
    plain = read_params(_ROOT / "profiles" / "demo.yaml")
    changed: dict[str, Any] = {"seed": seed, "simulate": Simulate(participants=participants)}
    params: Params = plain.model_copy(update={**changed, "source": layout.root / "data" / "demo" / "bids"})
    for room in (simulate, ingest, score, extract, assemble):
        room.run(layout, params)
    return read_dataset(layout.cohort("demo")).load(), read_dataset(layout.truth("demo")).load()


def true_values(truth: xr.Dataset, cohort: xr.Dataset) -> dict[str, dict[str, xr.DataArray]]:
    """Return the truth in the units of the model, by kind and by variable of the posterior.

    Parameters
    ----------
    truth : xarray.Dataset
        ``truth.nc`` of the cohort; slopes are per sd of the latent factor, loadings per sd of a
        region without its scan error.
    cohort : xarray.Dataset
        ``cohort.nc``; its factors are in sd of the score, regions in sd of what was extracted.

    Returns
    -------
    dict
        Data arrays with the coords of the posterior.
    """
    reliability = cohort[n.FACTOR_RELIABILITY]
    per_factor = truth["x"].std(n.PARTICIPANT) / np.sqrt(reliability)
    scale = truth["roi_scale"] / cohort[f"{n.ACTIVATION}_scale"]
    network = cohort[n.ROI_NETWORK].rename(n.NETWORK)
    loading = truth["L_network"] * scale.drop_vars(n.ROI_NETWORK).groupby(network).mean()
    omega = truth["Omega"]
    below = xr.DataArray(np.tril(np.ones(omega.shape, dtype=bool), -1), omega.coords, omega.dims)
    at_mean = (truth["B_k"] * truth["x"].mean(n.PARTICIPANT)).sum(n.FACTOR)  # the model centres factors
    return {
        "level contrasts": {"A": truth["A"] + at_mean},
        "slopes": {"B": truth["B"] * per_factor},
        "slope contrasts": {"B_disorder": truth["B_k"] * per_factor},
        "correlations": {"Omega": omega.where(below)},
        "network loadings": {"L_network": loading},
    }


def _beside(posterior: xr.Dataset, known: dict[str, xr.DataArray]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"truth": [], "mean": [], "sd": []}
    for name, value in known.items():
        draws = posterior[name]
        mean, sd = draws.mean((n.CHAIN, n.DRAW)), draws.std((n.CHAIN, n.DRAW))
        there = value.sel({dim: mean[dim].to_numpy() for dim in mean.dims})  # labels, in its order
        flat = [v.transpose(*mean.dims).to_numpy().ravel() for v in (there, mean, sd)]
        kept = np.isfinite(flat[0])
        for key, values in zip(found, flat, strict=True):
            found[key] += values[kept].tolist()
    return found


def summarise(cohorts: list[dict[str, Any]]) -> dict[str, Any]:
    """Pool over cohorts and elements of a kind.

    Parameters
    ----------
    cohorts : list of dict
        From `recover`.

    Returns
    -------
    dict
        By kind: bias (mean of estimate less truth), RMSE, that of an estimate of 0, shrinkage
        (1 less the slope of the estimate on the truth through 0), each with its standard error
        over cohorts, and the correlation of estimate and truth.
    """
    kinds = {}
    for kind in KINDS:
        pairs = [(np.array(c["kinds"][kind]["truth"]), np.array(c["kinds"][kind]["mean"])) for c in cohorts]
        truth, mean = (np.concatenate(side) for side in zip(*pairs, strict=True))
        bias = [float((m - t).mean()) for t, m in pairs]
        shrinkage = [1 - float((m @ t) / (t @ t)) for t, m in pairs]
        kinds[kind] = {
            "values": len(truth), "bias": float(np.mean(bias)), "bias_se": _error(bias),
            "rmse": float(np.sqrt(((mean - truth) ** 2).mean())),
            "rmse_of_zero": float(np.sqrt((truth**2).mean())),
            "shrinkage": float(np.mean(shrinkage)), "shrinkage_se": _error(shrinkage),
            "correlation": float(np.corrcoef(truth, mean)[0, 1]),
        }  # fmt: skip
    return {
        "command": _COMMAND, "model": MODEL, "participants": PARTICIPANTS, "cohorts": len(cohorts),
        "synthetic": True, "seeds": sorted(c["seed"] for c in cohorts), "kinds": kinds,
        "divergences": sum(c["divergences"] for c in cohorts),
    }  # fmt: skip


def _error(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def main() -> None:
    """Run one shard, or pool what is there."""
    run_shards(__doc__, _COMMAND, one=lambda index: recover(index), pool=summarise, cohorts=10)


if __name__ == "__main__":
    main()
