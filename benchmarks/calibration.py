"""Do 90 % intervals cover? Cohorts whose parameters are drawn from the model's own priors.

    python benchmarks/calibration.py --shard 0 --of 1 --out benchmarks/results/calibration
    python benchmarks/calibration.py --summarise --out benchmarks/results/calibration

Each cohort: parameters from the priors of the model, data of synthetic people from these
parameters, a fit, and for every quantity the place of the truth among the draws. One file a
cohort, written at its end; a cohort that has its file is left alone, so that a run that was cut
off goes on. The verdict is over all quantities of a kind (`--summarise`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import arviz_stats
import numpy as np
import xarray as xr
from cohort import isas, make_cohort
from scipy.stats import beta
from shards import run_shards

from nssi_bayes import names as n
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.joint import parameters
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import build_design
from nssi_bayes.fit import fit
from nssi_bayes.spec import JointSpec, Sampler, parse, read_model, read_priors
from nssi_bayes.store import Layout, seed_sequence

__all__ = ["KINDS", "Setting", "calibrate", "full_setting", "summarise"]

SEED: Final = 20260801
INTERVAL: Final = 0.9
KINDS: Final = {
    "function levels": ("A", "level_burden"),
    "slopes": ("B", "B_disorder"),
    "correlations": ("Omega",),
    "network loadings": ("L_network", "L_pair"),
    "scales": (
        "tau_mean",
        "tau_slope",
        "tau_roi",
        "tau_neural",
        "tau_m",
        "tau_site",
        "tau_site_neural",
        "tau_end",
        "tau_edge",
        "tau_m_edge",
        "tau_site_edge",
    ),
}
"""Kinds of quantities and the parameters that they are made of."""
_COMMAND: Final = "python benchmarks/calibration.py"

type Array = np.ndarray[Any, Any]


class Setting:
    """What is fitted to whom.

    Parameters
    ----------
    spec : JointSpec
        The model.
    participants : int
        People of a cohort.
    scanned : float
        Share of people with a scan.
    sampler : Sampler
        Of every fit.
    subscales : mapping
        Items that everybody is asked.
    """

    def __init__(
        self, spec: JointSpec, participants: int, *, scanned: float, sampler: Sampler,
        subscales: Mapping[str, tuple[int, ...]],
    ) -> None:  # fmt: skip
        self.spec = spec
        self.participants = participants
        self.scanned = scanned
        self.sampler = sampler
        self.subscales = dict(subscales)


def full_setting() -> Setting:
    """Return the setting of the recorded run: `heterogeneity/disorder_roots`, 150 people."""
    layout = Layout(Path(__file__).parents[1])
    spec = read_model(layout, "heterogeneity/disorder_roots")
    spec = parse(JointSpec, spec.model_dump(), where="the model of the calibration")
    sampler = Sampler(chains=2, tune=250, draws=500)
    return Setting(spec, 150, scanned=0.54, sampler=sampler, subscales=isas())


def calibrate(setting: Setting, index: int, *, seed: int = SEED) -> dict[str, Any]:
    """Draw parameters and a cohort, fit it, and say where the truth lies.

    Parameters
    ----------
    setting : Setting
        Model, cohort and sampler.
    index : int
        Number of the cohort.
    seed : int
        Root of every seed.

    Returns
    -------
    dict
        By kind: names, truth, rank of the truth among the draws (0 to 1) and whether the 90 %
        interval holds it; health of the fit.
    """
    for_people, for_truth, for_data, for_fit = seed_sequence(seed, f"calibration {index}").spawn(4)
    reliability = {"trauma": 0.9, "attachment": 0.85}
    cohort = make_cohort(
        np.random.default_rng(for_people), setting.participants, subscales=setting.subscales,
        reliability={f: reliability[f] for f in setting.spec.factors}, scanned=setting.scanned,
    )  # fmt: skip
    design = make_design(cohort, setting.spec)
    declared = parameters(setting.spec, design, read_priors(setting.spec.priors))
    theta = draw(declared, design.coords, np.random.default_rng(for_truth), 1)
    one = {name: value[0] for name, value in theta.items()}
    built = build_design(setting.spec, generate(one, design, np.random.default_rng(for_data)))
    tree = fit(built, setting.sampler, for_fit)
    posterior = tree["posterior"].to_dataset()
    matrices = {p.name for p in declared if p.family == "lkj"}
    truth = {k: (v @ np.swapaxes(v, 1, 2) if k in matrices else v)[None] for k, v in theta.items()}
    known = label(truth, declared, built.design).isel({n.CHAIN: 0, n.DRAW: 0})
    kinds = {kind: _places(posterior, known, names) for kind, names in KINDS.items()}
    return {
        "index": index, "seed": seed, "participants": setting.participants, "synthetic": True,
        "model": setting.spec.description, "sampler": setting.sampler.model_dump(),
        "interval": INTERVAL, "kinds": {k: v for k, v in kinds.items() if v["truth"]},
        **_health(tree, posterior),
    }  # fmt: skip


def _places(posterior: xr.Dataset, truth: xr.Dataset, names: tuple[str, ...]) -> dict[str, Any]:
    """Rank of the truth and coverage of the equal-tailed interval, over all elements."""
    found: dict[str, Any] = {"quantity": [], "truth": [], "rank": [], "mean": [], "sd": [], "covered": []}
    for name in (name for name in names if name in posterior):
        draws = posterior[name].transpose(n.CHAIN, n.DRAW, ...).to_numpy()
        flat = draws.reshape(draws.shape[0] * draws.shape[1], -1)
        value = truth[name].to_numpy()
        kept = np.tril(np.ones(value.shape, dtype=bool), -1) if name == "Omega" else np.ones_like(value, bool)
        for place in np.flatnonzero(kept.ravel()):
            low, high = np.quantile(flat[:, place], [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
            one = float(value.ravel()[place])
            where = ",".join(str(i) for i in np.unravel_index(place, value.shape))
            found["quantity"].append(f"{name}[{where}]")
            found["truth"].append(one)
            found["rank"].append(float((flat[:, place] < one).mean()))
            found["mean"].append(float(flat[:, place].mean()))
            found["sd"].append(float(flat[:, place].std()))
            found["covered"].append(bool(low <= one <= high))
    return found


def _health(tree: xr.DataTree, posterior: xr.Dataset) -> dict[str, Any]:
    """Divergences, and the worst R-hat and effective size of the quantities that are judged."""
    judged = posterior[[name for names in KINDS.values() for name in names if name in posterior]]
    if "Omega" in judged:
        judged["Omega"] = judged["Omega"].where(judged[n.FUNCTION] != judged[n.FUNCTION_OTHER])
    worst, least = arviz_stats.rhat(judged), arviz_stats.ess(judged)
    return {
        "divergences": int(tree["sample_stats"]["diverging"].sum()),
        "rerun": bool(tree.attrs["rerun"]),
        "max_rhat": max(float(v.max()) for v in worst.data_vars.values()),
        "min_ess": min(float(v.min()) for v in least.data_vars.values()),
    }


def summarise(cohorts: list[dict[str, Any]]) -> dict[str, Any]:
    """Pool coverage over cohorts and elements of a kind.

    Parameters
    ----------
    cohorts : list of dict
        From `calibrate`.

    Returns
    -------
    dict
        By kind: intervals, how many cover, the share and its 95 % interval (Clopper-Pearson, over
        elements as if independent), and the mean of the cohorts' shares with its standard error.
    """
    kinds = {}
    for kind in KINDS:
        each = [np.array(c["kinds"][kind]["covered"], dtype=float) for c in cohorts if kind in c["kinds"]]
        if not each:
            continue
        covered = np.concatenate(each)
        total, hits = len(covered), int(covered.sum())
        share = np.array([e.mean() for e in each])
        error = float(share.std(ddof=1) / np.sqrt(len(share))) if len(share) > 1 else None
        ranks = np.concatenate([c["kinds"][kind]["rank"] for c in cohorts if kind in c["kinds"]])
        kinds[kind] = {
            "intervals": total, "covered": hits, "coverage": hits / total,
            "low": float(beta.ppf(0.025, hits, total - hits + 1)) if hits else 0.0,
            "high": float(beta.ppf(0.975, hits + 1, total - hits)) if hits < total else 1.0,
            "standard_error_over_cohorts": error,
            "rank_deciles": np.histogram(ranks, bins=10, range=(0, 1))[0].tolist(),
        }  # fmt: skip
    return {
        "command": _COMMAND, "interval": INTERVAL, "cohorts": len(cohorts), "synthetic": True,
        "seeds": sorted({c["seed"] for c in cohorts}), "kinds": kinds,
        "divergences": sum(c["divergences"] for c in cohorts),
        "max_rhat": max(c["max_rhat"] for c in cohorts),
        "min_ess": min(c["min_ess"] for c in cohorts),
    }  # fmt: skip


def main() -> None:
    """Run one shard, or pool what is there."""
    run_shards(
        __doc__, _COMMAND, one=lambda index: calibrate(full_setting(), index), pool=summarise, cohorts=20
    )


if __name__ == "__main__":
    main()
