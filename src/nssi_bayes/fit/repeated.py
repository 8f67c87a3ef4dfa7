"""A model of a repeated count: Bambi's, with effects of people and occasions, sampled by NUTS.

Priors are Bambi's defaults, computed from the table: the intercept N(0, 2.5^2 (1 + s)) with s the sum of
(mean(x) / sd(x))^2 over the predictors, coefficients N(0, (2.5 / sd(x))^2), the sd of effects half-normal
with the scale of the intercept's prior, alpha of a negative binomial half-Cauchy(1). They are wide: with
59 people means are within .15 posterior sd of those under brms' flat and half-t ones (docs/comparison.md).

Effects are sampled and not kept: they are of people, and scores integrate them out. Coefficients of
what differs between people run along with all effects. A diagonal mass matrix leaves 150 to 350
effective draws of 4 000 (epilepsy trial); with effects of people alone, centred, one of low rank
leaves more than there are draws. With one effect a count that adaptation is slow; non-centred, with
scales from the variances of draws, 800 to 900 of 2 000 are left.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.repeated import EVERY, OCCASION_SD, PERSON, PERSON_SD, Rows, rows, written
from nssi_bayes.fit.conventional import draw_bambi
from nssi_bayes.spec import RepeatedSpec, Sampler

__all__ = ["build_repeated", "fit_repeated", "fit_rows"]

_BAMBI: Final = {"poisson": "poisson", n.NEGATIVE_BINOMIAL: "negativebinomial"}
_SDS: Final = {f"1|{PERSON}_sigma": PERSON_SD, f"1|{EVERY}_sigma": OCCASION_SD}


def build_repeated(found: Rows) -> Any:
    """Build Bambi's model of a repeated count.

    Parameters
    ----------
    found : Rows
        From `blocks.repeated.rows`, or some people of them.

    Returns
    -------
    bambi.Model
        Built, with default priors.
    """
    import bambi

    family = _BAMBI[found.spec.family]
    model = bambi.Model(
        written(found), found.frame, family=family, center_predictors=False,
        noncentered=found.spec.occasion_effect,
    )  # fmt: skip
    model.build()
    return model


def fit_repeated(
    spec: RepeatedSpec, cohort: xr.Dataset, sampler: Sampler, seeds: np.random.SeedSequence
) -> xr.DataTree:
    """Draw from the posterior of a model of a repeated count; once more after a divergence.

    Parameters
    ----------
    spec : RepeatedSpec
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
        Groups ``posterior`` (coefficients ``x_*``, ``Intercept``, ``person_sd`` and what else the spec
        asks for; nothing by person) and ``sample_stats``. Attributes hold formula and priors.

    Raises
    ------
    SpecError
        If the spec names what the cohort does not have.
    DataError
        If a predictor is missing for people who were counted, or the counts do not vary.
    """
    return fit_rows(rows(spec, cohort), sampler, seeds)


def fit_rows(found: Rows, sampler: Sampler, seeds: np.random.SeedSequence) -> xr.DataTree:
    """Draw from the posterior of a model of a repeated count of everybody, or of some people.

    Parameters
    ----------
    found : Rows
        From `blocks.repeated.rows`, or some people of them.
    sampler : Sampler
        Chains and draws.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    xarray.DataTree
        As `fit_repeated`.
    """
    model = build_repeated(found)
    adaptation = "draw_diag" if found.spec.occasion_effect else "low_rank"
    tree = draw_bambi(model, sampler, seeds=seeds, adaptation=adaptation)
    draws = tree["posterior"].to_dataset()
    kept = [name for name in draws if draws[name].dims == (n.CHAIN, n.DRAW)]
    draws = draws[kept].rename({old: new for old, new in _SDS.items() if old in draws}).drop_attrs()
    for name in draws.data_vars:
        draws[name].attrs["units"] = "1" if name == "alpha" else f"log of the rate of {found.spec.outcome}"
    tree["posterior"] = draws
    tree.attrs.update(kind=found.spec.kind, formula=written(found), priors=str(model))
    return tree
