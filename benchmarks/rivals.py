"""Ours against Stan, PyMC and NumPyro on one problem: effective draws a second, and do they agree.

    pip install pystan numpyro              # no dependencies of the project; see below
    python benchmarks/rivals.py check     --out benchmarks/results/rivals
    python benchmarks/rivals.py ours      --seed 1 --out benchmarks/results/rivals
    python benchmarks/rivals.py stan      --seed 1 --out benchmarks/results/rivals
    python benchmarks/rivals.py pymc      --seed 1 --out benchmarks/results/rivals  # numpyro, stan_marginal
    python benchmarks/rivals.py summarise --out benchmarks/results/rivals

All have the same data, priors, number of chains, cores and target acceptance; the rivals sample
people's functions and factors, ours integrates them out, and so does `stan_marginal`. `check` holds every
rival's log-density against ours at several points, up to a constant: where it fails, or where a rival's
text has changed since, `summarise` refuses. `stan_centred` samples the functions themselves; `numpyro`
samples the PyMC model.

What is compiled stays on the machine: `summarise` counts the longest that a rival has taken to compile.

pystan needs a C++ compiler. The wheel of httpstan 4.17 for Python 3.13 brings `stan_services.o` of Python
3.10, which does not load; compile its `stan_services.cpp` in its place, with the macros of `models.py`.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shutil import rmtree
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import psutil
import pymc as pm
from arviz_stats.base import array_stats
from rivals_elsewhere import PROGRAM, make_pymc, to_pymc
from rivals_marginal import FINE, MARGINAL, marginal_points, marginal_start
from rivals_problem import make_points, problem
from rivals_stan import listed, program, stan_model

from nssi_bayes.build import Built
from nssi_bayes.fit.chains import draw_chain, typical_coordinates
from nssi_bayes.fit.density import compile_density
from nssi_bayes.fit.sample import sample
from nssi_bayes.spec import Sampler
from nssi_bayes.store import digest, read_json, write_json

__all__ = [
    "Run", "agreement", "check", "named", "run_numpyro", "run_ours", "run_pymc", "run_stan", "summarise",
]  # fmt: skip

CHAINS: Final = 4
CORES: Final = 2
ACCEPT: Final = 0.6
POINTS: Final = 4
FEW: Final = 12
"""People of the problem on which densities are compared."""
TOLERANCE: Final = 1e-6
INTEGRAL_TOLERANCE: Final = 0.01
"""Nats, of differences of log-densities between points; the second where both are sums over nodes."""
ASKED: Final = {"stan": 5.0, "stan_marginal": 1.0, "pymc": 10.0}
RIVALS: Final = ("pymc", "stan", "stan_centred", "stan_marginal")
"""Those that state the model."""
MEAN_WITHIN: Final = 0.1
SD_WITHIN: Final = 0.1

type Array = np.ndarray[Any, Any]


class Run(SimpleNamespace):
    """What a rival leaves.

    Attributes
    ----------
    values : dict of str to numpy.ndarray
        Draws by parameter [`chain`, `draw`, ...]; a correlation matrix as such.
    seconds : dict of str to float
        ``compile``, ``sample`` (warm-up and draws), and ``after``: sampling after warm-up, of all chains on
        their cores; ``cpu``: of processors, for what ``sample`` is.
    steps : float
        Leapfrog steps a draw after warm-up.
    divergences : int
        After warm-up.
    further : dict
        What else there is to say.
    """

    values: dict[str, Array]
    seconds: dict[str, float]
    steps: float
    divergences: int
    further: dict[str, Any]


def run_ours(built: Built, seed: int, *, tune: int, draws: int) -> Run:
    """Fit as a user of nssi_bayes does.

    Seconds after warm-up: those of all chains, less the share that a chain of its own spends on warm-up.
    """
    began = time.perf_counter()
    density = compile_density(built)
    density.value_and_gradient(density.start)
    compiling = time.perf_counter() - began
    sampler = Sampler(chains=CHAINS, tune=tune, draws=draws, target_accept=ACCEPT)
    began, used = time.perf_counter(), _cpu()
    drawn = sample(built, sampler, np.random.SeedSequence(seed))
    total, used = time.perf_counter() - began, _cpu() - used
    began = time.perf_counter()
    found = typical_coordinates(built)
    coordinates = time.perf_counter() - began
    looks = [(0, time.perf_counter())]

    def look(_: int, finished: int) -> None:
        looks.append((finished, time.perf_counter()))

    draw_chain(density, found, sampler, np.random.SeedSequence([seed, 1]), say=look)
    done, at = np.array(looks).T
    share = (np.interp(tune, done, at) - at[0]) / (at[-1] - at[0])
    after = (total - coordinates) * (1 - float(share))
    seconds = {"compile": compiling, "sample": total, "after": after, "cpu": used}
    return Run(
        values=drawn.values, seconds=seconds, steps=float(drawn.statistics["n_steps"].mean()),
        divergences=int(drawn.statistics["diverging"].sum()),
        further={"rerun": drawn.rerun, "target_accept": drawn.target_accept, "warm_up_share": float(share),
                 "seconds_coordinates": coordinates, "parameters": density.size},
    )  # fmt: skip


def run_pymc(built: Built, seed: int, *, tune: int, draws: int) -> Run:
    """Sample the PyMC model with nutpie. Seconds after warm-up: by their share of all leapfrog steps."""
    import nutpie

    model = make_pymc(built)
    began = time.perf_counter()
    compiled = nutpie.compile_pymc_model(model)
    compiling, began, used = time.perf_counter() - began, time.perf_counter(), _cpu()
    trace = nutpie.sample(
        compiled, chains=CHAINS, cores=CORES, tune=tune, draws=draws, target_accept=ACCEPT, seed=seed,
        save_warmup=True, progress_bar=False,
    )  # fmt: skip
    total, used = time.perf_counter() - began, _cpu() - used
    steps = float(trace.sample_stats["n_steps"].sum())
    share = steps / (steps + float(trace.warmup_sample_stats["n_steps"].sum()))
    seconds = {"compile": compiling, "sample": total, "after": total * share, "cpu": used}
    values = named(built, {str(k): v.to_numpy() for k, v in trace.posterior.data_vars.items()})
    return Run(
        values=values, seconds=seconds, steps=steps / (CHAINS * draws),
        divergences=int(trace.sample_stats["diverging"].sum()), further={"warm_up_share": 1 - share},
    )  # fmt: skip


def run_numpyro(built: Built, seed: int, *, tune: int, draws: int) -> Run:
    """Sample the PyMC model with NumPyro's NUTS, all chains at a time; compiling is part of warm-up.

    Seconds after warm-up: by their share of all draws, since the steps of warm-up are not told.
    """
    model = make_pymc(built)
    began, used = time.perf_counter(), _cpu()
    with model:
        trace = pm.sample(
            draws, tune=tune, chains=CHAINS, nuts_sampler="numpyro", target_accept=ACCEPT, random_seed=seed,
            progressbar=False, compute_convergence_checks=False,
        )  # fmt: skip
    total, used = time.perf_counter() - began, _cpu() - used
    share = draws / (tune + draws)
    values = named(built, {str(k): v.to_numpy() for k, v in trace.posterior.data_vars.items()})
    return Run(
        values=values, seconds={"compile": 0.0, "sample": total, "after": total * share, "cpu": used},
        steps=float(trace.sample_stats["n_steps"].mean()),
        divergences=int(trace.sample_stats["diverging"].sum()), further={"warm_up_share": 1 - share},
    )  # fmt: skip


def run_stan(built: Built, seed: int, *, tune: int, draws: int, rival: str = "stan") -> Run:
    """Sample a Stan program. Seconds after warm-up: by their share of what Stan says of its chains."""
    import httpstan.cache
    import httpstan.models

    name = httpstan.models.calculate_model_name(program(rival))
    rmtree(httpstan.cache.model_directory(name) / "fits", ignore_errors=True)  # or an old one is handed out
    began = time.perf_counter()
    model = stan_model(built, seed, rival=rival)
    compiling, began, used = time.perf_counter() - began, time.perf_counter(), _cpu()
    begin = {"init": [listed(marginal_start(built))] * CHAINS} if rival == "stan_marginal" else {}
    fit = model.sample(num_chains=CHAINS, num_warmup=tune, num_samples=draws, delta=ACCEPT, **begin)
    total, used = time.perf_counter() - began, _cpu() - used
    said = re.findall(rb"([\d.]+) seconds \((Warm-up|Sampling)\)", b"\n".join(fit.stan_outputs))
    after, before = (sum(float(s) for s, which in said if which == w) for w in (b"Sampling", b"Warm-up"))
    share = before / (before + after)
    values = {
        k: np.moveaxis(fit[k].reshape(*fit.dims[fit.param_names.index(k)], draws, CHAINS), (-1, -2), (0, 1))
        for k in fit.param_names
    }
    return Run(
        values=named(built, values),
        seconds={"compile": compiling, "sample": total, "after": total * (1 - share), "cpu": used},
        steps=float(fit["n_leapfrog__"].mean()), divergences=int(fit["divergent__"].sum()),
        further={"warm_up_share": share},
    )  # fmt: skip


def named(built: Built, values: dict[str, Array]) -> dict[str, Array]:
    """Return our parameters from standardised ones and Cholesky factors [`chain`, `draw`, ...]."""
    found: dict[str, Array] = {}
    for p in built.parameters:
        if p.family == "lkj":
            root = values[f"{p.name}_root"]
            found[p.name] = root @ np.swapaxes(root, -1, -2)
        elif p.scale is None:
            found[p.name] = values[p.name]
        else:
            raw, scale = values[f"{p.name}_raw"], found[p.scale]
            aligned = (slice(None) if d in p.scale_dims else None for d in p.dims)
            found[p.name] = raw * scale[(slice(None), slice(None), *aligned)]
    return found


def _numbers(built: Built, run: Run) -> dict[str, Any]:
    """Effective sizes, means, sds and Monte Carlo errors of every element of every parameter."""
    labels, flat = [], []
    for p in built.parameters:
        value = run.values[p.name]
        element = list(np.ndindex(value.shape[2:]))
        if p.family == "lkj":
            element = [at for at in element if at[0] > at[1]]
        labels += [f"{p.name}{list(at)}" if at else p.name for at in element]
        flat += [value[(slice(None), slice(None), *at)] for at in element]
    stacked = np.stack(flat)
    return {
        "ess_bulk": array_stats.ess(stacked, method="bulk"),
        "ess_tail": array_stats.ess(stacked, method="tail", prob=(0.05, 0.95)),
        "rhat": array_stats.rhat(stacked), "mcse": array_stats.mcse(stacked, method="mean"),
        "mean": stacked.mean(axis=(1, 2)), "sd": stacked.std(axis=(1, 2)), "quantity": labels,
    }  # fmt: skip


def _cpu() -> float:
    """Seconds of processors that this process and those it started have used."""
    here = psutil.Process()
    every = [here.cpu_times(), *(child.cpu_times() for child in here.children(recursive=True))]
    return sum(t.user + t.system + t.children_user + t.children_system for t in every)


def measure(rival: str, seed: int, *, people: int, tune: int, draws: int) -> dict[str, Any]:
    """Run one rival on one data set, and say what came out."""
    runs: dict[str, Callable[..., Run]] = {"ours": run_ours, "pymc": run_pymc, "numpyro": run_numpyro}
    built = problem(seed, people)
    load = os.getloadavg()[0]
    run = runs.get(rival, partial(run_stan, rival=rival))(built, seed, tune=tune, draws=draws)
    numbers = _numbers(built, run)
    least = {kind: float(numbers[f"ess_{kind}"].min()) for kind in ("bulk", "tail")}
    return {
        "rival": rival, "seed": seed, "participants": people, "synthetic": True, "chains": CHAINS,
        "cores": CORES, "tune": tune, "draws": draws, "target_accept": ACCEPT, "text": _text(),
        "seconds": run.seconds, "load_before": load, "load_after": os.getloadavg()[0],
        "steps_a_draw": run.steps, "divergences": run.divergences, "max_rhat": float(numbers["rhat"].max()),
        "min_ess": least,
        "worst": numbers["quantity"][int(np.argmin(numbers["ess_bulk"]))], **run.further,
        "numbers": {k: numbers[k] for k in ("quantity", "mean", "sd", "mcse")},
    }  # fmt: skip


def _text() -> str:
    """Return a digest of what the rivals are stated in."""
    names = ("rivals_elsewhere.py", "rivals_marginal.py", "rivals_problem.py", PROGRAM.name, MARGINAL.name)
    return digest(b"".join(Path(__file__).with_name(name).read_bytes() for name in names))


def check(*, rivals: tuple[str, ...] = RIVALS, people: int = FEW) -> dict[str, Any]:
    """Hold the rivals' log-densities against ours: how far differences between points differ, in nats."""
    found = {}
    for rival in rivals:
        marginal, rng = rival == "stan_marginal", np.random.default_rng(1)
        built = problem(0, people, route="marginal" if marginal else "explicit")
        points = list(
            marginal_points(built, rng, POINTS) if marginal
            else make_points(built, rng, POINTS, centred=rival == "stan_centred")
        )  # fmt: skip
        theirs = _pymc_values(built, points) if rival == "pymc" else _stan_values(built, points, rival)
        away = float(np.ptp(np.array(theirs) - [point.ours for point in points]))
        spread = float(np.ptp([point.ours for point in points]))
        tolerance = INTEGRAL_TOLERANCE if marginal else TOLERANCE
        found[rival] = {
            "away": away, "points": len(points), "spread_of_the_density": spread, "tolerance": tolerance,
        }  # fmt: skip
    passed = all(one["away"] < one["tolerance"] for one in found.values())
    return {"rivals": found, "passed": passed, "text": _text(), "participants": people}


def _pymc_values(built: Built, points: list[Any]) -> list[float]:
    model = make_pymc(built)
    terms = model.compile_logp(jacobian=True, sum=False, mode="FAST_COMPILE")
    found = []
    for point in points:
        there, jacobian = to_pymc(model, point)
        found.append(sum(float(np.sum(term)) for term in terms(there)) - jacobian)
    return found


def _stan_values(built: Built, points: list[Any], rival: str) -> list[float]:
    nodes = FINE if rival == "stan_marginal" else {}
    model = stan_model(built, 1, rival=rival, **nodes)
    return [model.log_prob(model.unconstrain_pars(listed(p)), adjust_transform=False) for p in points]


def agreement(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Compare means and sds of all quantities, in posterior sd of ours and as ratios.

    Parameters
    ----------
    ours, theirs : dict
        Files of two runs on equal data.

    Returns
    -------
    dict
        Shares within what is asked, the farthest, and the farthest mean in Monte Carlo errors.
    """
    one, two = ({k: np.array(run["numbers"][k]) for k in ("mean", "sd", "mcse")} for run in (ours, theirs))
    away = np.abs(two["mean"] - one["mean"])
    ratio = np.abs(two["sd"] / one["sd"] - 1)
    return {
        "quantities": len(away),
        "means_within": float((away / one["sd"] < MEAN_WITHIN).mean()),
        "mean_farthest_in_sd": float((away / one["sd"]).max()),
        "mean_farthest_in_errors": float((away / np.hypot(one["mcse"], two["mcse"])).max()),
        "sds_within": float((ratio < SD_WITHIN).mean()), "sd_farthest": float(ratio.max()),
    }  # fmt: skip


def summarise(out: Path) -> dict[str, Any]:
    """Put the runs together: ratios by seed, their medians, agreement.

    Raises
    ------
    SystemExit
        If densities were not compared, differed, or were stated otherwise then.
    """
    checked = read_json(out / "check.json")
    runs = [read_json(path) for path in sorted(out.glob("seed_*.json"))]
    if not checked["passed"] or any(run["text"] != checked["text"] for run in runs):
        raise SystemExit(
            "a rival's density is not ours, or its text has changed since the check: run it again"
        )
    compiling: dict[str, float] = {}
    for run in runs:
        compiling[run["rival"]] = max(run["seconds"]["compile"], compiling.get(run["rival"], 0.0))
    ours = {run["seed"]: run for run in runs if run["rival"] == "ours"}
    found: dict[str, Any] = {}
    for rival in sorted(compiling.keys() - {"ours"}):
        pairs = [(ours[run["seed"]], run) for run in runs if run["rival"] == rival and run["seed"] in ours]
        times = {
            f"{kind}_{span}": [
                _a_second(one, kind, span, compiling) / _a_second(two, kind, span, compiling)
                for one, two in pairs
            ]
            for span in ("after", "sample", "all", "cpu")
            for kind in ("bulk", "tail")
        }
        found[rival] = {
            "seeds": [two["seed"] for _, two in pairs], "times_faster": times,
            "median": {name: float(np.median(values)) for name, values in times.items()},
            "asked": ASKED.get(rival), "agreement": [agreement(one, two) for one, two in pairs],
        }  # fmt: skip
    said = {"command": "python benchmarks/rivals.py", "synthetic": True, "check": checked}
    return {**said, "rivals": found, "seconds_to_compile": compiling}


def _a_second(run: dict[str, Any], kind: str, span: str, compiling: dict[str, float]) -> float:
    """Return the smallest effective size a second: after warm-up, with it, with compiling, of processors."""
    seconds = run["seconds"]["sample" if span == "all" else span]
    return run["min_ess"][kind] / (seconds + compiling[run["rival"]] * (span == "all"))


def main() -> None:
    """Check, run or summarise, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["check", "ours", "numpyro", *RIVALS, "summarise"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--tune", type=int)
    parser.add_argument("--draws", type=int)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.what in ("check", "summarise"):
        name, content = given.what, check() if given.what == "check" else summarise(given.out)
        write_json(given.out / ("check.json" if name == "check" else "summary.json"), content)
        return
    if given.what == "numpyro":  # before JAX begins: a device for each chain
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={CHAINS}"
    ours = given.what == "ours"
    tune, draws = given.tune or (150 if ours else 500), given.draws or (1000 if ours else 500)
    found = measure(given.what, given.seed, people=given.people, tune=tune, draws=draws)
    write_json(given.out / f"seed_{given.seed}_{given.what}.json", found)


if __name__ == "__main__":
    main()
