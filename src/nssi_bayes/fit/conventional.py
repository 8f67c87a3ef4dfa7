"""The baseline: Bambi's model of a formula, sampled by NUTS.

Priors are Bambi's defaults, computed from the table: coefficients N(0, (2.5 sd(y) / sd(x))^2), the
intercept N(mean(y), (2.5 sd(y))^2), sigma half-Student-t(4, sd(y)); of a yes N(0, 1 / sd(x)^2) and
the intercept N(0, 1.5^2); of a count N(0, (2.5 / sd(x))^2), N(0, 2.5^2) and alpha half-Cauchy(1), and
behind a hurdle N(0, 1) of all that is of any, whose names begin with ``psi_``; the
sd of an effect of diagnostic pattern half-normal with the scale of its coefficient's prior. Effects of
pattern are non-centred, and intercept and slopes are uncorrelated: Bambi's ``|`` is what others
write ``||``. Bambi's own centring is off: the columns of the table are centred, so that draws and
likelihood speak of the same intercept.

Compiling is most of the time: for 115 people numba takes 5 to 8 s of CPU with everything, where
JAX compiles in 1.5 s and then samples for 19 to 33 s.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.conventional import FAMILY, formulas, table, written
from nssi_bayes.fit.chains import run_nuts, statistics
from nssi_bayes.spec import ConventionalSpec, Sampler

__all__ = ["build_conventional", "draw_bambi", "fit_conventional", "fit_table"]

_LOG: Final = logging.getLogger(__name__)
_FEWEST: Final = {"tune": 500, "target_accept": 0.8}
"""Bambi's coordinates are not whitened: they need a longer warm-up and smaller
steps than the joint model's."""
_CAREFUL: Final = 0.97
"""Target acceptance of the one rerun after a divergence."""
_BY_PERSON: Final = ("mu", "p", "psi")
_BAMBI: Final = {
    n.GAUSSIAN: "gaussian", n.BERNOULLI: "bernoulli", n.NEGATIVE_BINOMIAL: "negativebinomial",
    n.HURDLE: "hurdle_negativebinomial",
}  # fmt: skip
_UNIT: Final = {n.BERNOULLI: "logits of {}", **dict.fromkeys(n.COUNTS, "log of the rate of {}")}
_BAMBI_DIM: Final = f"{n.PATTERN}__factor_dim"


def build_conventional(spec: ConventionalSpec, data: pd.DataFrame) -> Any:
    """Build Bambi's model of a spec on a table.

    Parameters
    ----------
    spec : ConventionalSpec
        The model.
    data : pandas.DataFrame
        From `blocks.conventional.table`, or rows of it.

    Returns
    -------
    bambi.Model
        Built, with default priors.
    """
    import bambi

    data = data.reset_index(drop=True)
    family = _BAMBI[data.attrs[FAMILY]]
    formula = bambi.Formula(*formulas(spec, data))
    model = bambi.Model(formula, data, family=family, center_predictors=False, noncentered=True)
    model.build()
    return model


def fit_conventional(
    spec: ConventionalSpec, cohort: xr.Dataset, sampler: Sampler, seeds: np.random.SeedSequence
) -> xr.DataTree:
    """Draw from the posterior of a conventional model; once more after a divergence.

    Parameters
    ----------
    spec : ConventionalSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    sampler : Sampler
        Chains and draws.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` (Bambi's names; effects of diagnostic pattern along `pattern`; nothing
        by person) and ``sample_stats``. Attributes hold formula and priors.

    Raises
    ------
    SpecError
        If the spec names what the cohort does not have.
    DataError
        If outcome or scores do not vary.
    """
    return fit_table(spec, table(spec, cohort), sampler, seeds)


def fit_table(
    spec: ConventionalSpec, data: pd.DataFrame, sampler: Sampler, seeds: np.random.SeedSequence
) -> xr.DataTree:
    """Draw from the posterior of a conventional model of a table, or of rows of it.

    Parameters
    ----------
    spec : ConventionalSpec
        The model.
    data : pandas.DataFrame
        From `blocks.conventional.table`.
    sampler : Sampler
        Chains and draws.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    xarray.DataTree
        As `fit_conventional`.
    """
    model = build_conventional(spec, data)
    tree = draw_bambi(model, sampler, seeds=seeds)
    tree["posterior"] = _posterior(tree["posterior"].to_dataset(), spec, data.attrs[FAMILY])
    tree.attrs.update(kind=spec.kind, formula=written(spec, data), priors=str(model))
    return tree


def draw_bambi(
    model: Any, sampler: Sampler, *, seeds: np.random.SeedSequence, adaptation: str = "diag"
) -> xr.DataTree:
    """Draw from the posterior of any Bambi model; once more, carefully, after a divergence.

    Parameters
    ----------
    model : bambi.Model
        Built.
    sampler : Sampler
        Chains and draws; warm-up and target acceptance are raised to what such models need.
    seeds : numpy.random.SeedSequence
        Source of every random number.
    adaptation : str
        nutpie's way to a mass matrix.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` (Bambi's names and dims, in the order of the model, means of rows left out)
        and ``sample_stats``; attributes say how it was drawn.
    """
    import nutpie
    import pytensor

    graph = model.backend.model
    every = [*graph.free_RVs, *graph.deterministics]
    kept = [v.name for v in every if v.name not in _BY_PERSON]
    # fast arithmetic gives other draws from a cached compilation than from a fresh one
    with pytensor.config.change_flags(numba__fastmath=False):
        compiled = nutpie.compile_pymc_model(graph, backend="numba", var_names=kept)
    first, second = seeds.spawn(2)
    least = {name: max(getattr(sampler, name), value) for name, value in _FEWEST.items()}
    sampler = sampler.model_copy(update=least)
    accept, rerun = sampler.target_accept, False
    trace = run_nuts(compiled, sampler, accept=accept, seeds=first, adaptation=adaptation)
    if bool(trace.sample_stats["diverging"].any()):
        _LOG.info("divergences: once more at target acceptance %.2f", _CAREFUL)
        accept, rerun = _CAREFUL, True
        trace = run_nuts(compiled, sampler, accept=accept, seeds=second, adaptation=adaptation)
    tree = xr.DataTree.from_dict(
        {
            "posterior": trace.posterior.to_dataset()[kept],
            "sample_stats": statistics(trace, sampler.chains, sampler.draws),
        }
    )
    tree.attrs.update(target_accept=accept, rerun=int(rerun), tune=sampler.tune)
    return tree


def _posterior(draws: xr.Dataset, spec: ConventionalSpec, family: str) -> xr.Dataset:
    """Give the draws labels and units, and take clocks away."""
    if spec.pooled:
        draws = draws.rename({_BAMBI_DIM: n.PATTERN})
        draws = draws.assign_coords({n.PATTERN: draws[n.PATTERN].to_numpy().astype(str)})
    found = draws.drop_attrs()
    for name in found.data_vars:
        said = _UNIT.get(family, "pooled within-site sd of {}").format(spec.outcome)
        said = f"logits of any {spec.outcome}" if str(name).startswith("psi_") else said
        one = "1" if str(name).endswith("_offset") or name == "alpha" else said
        found[name].attrs["units"] = one
    return found
