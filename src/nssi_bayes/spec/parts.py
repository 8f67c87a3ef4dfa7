"""Parts of a joint model's spec: measurement, groups, variation by disorder, images, terms of the outcome."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from nssi_bayes.spec.strict import Strict

__all__ = ["Disorder", "Groups", "Measurement", "Neural", "OutcomeFrom"]


class Measurement(Strict):
    """How functions are measured.

    Parameters
    ----------
    testlets : {"sum", "factor", "none"}
        ``sum``: a subscale enters as one graded indicator (Thissen 1989). ``factor``: every item is
        an indicator, and the items of a subscale share a residual factor, unless the subscale is a
        function by itself. ``none``: every item is an indicator of its own.
    keep_items : tuple of str
        Subscales whose items stay. In a model where such a subscale is not a function by itself
        its items share a residual factor, so that all models of a question observe the same.
    bias : {"none", "dense", "sparse"}
        Whether the meaning of indicators differs by disorder, zero-sum over disorders and over the
        indicators of a function. ``dense`` moves the thresholds of every indicator a little, ``sparse``
        those of a few (regularised horseshoe, Piironen & Vehtari 2017, 10.1214/17-EJS1337SI).
    nonuniform : bool
        Whether loadings differ by disorder, too, under the same prior and constraints: how strongly an
        indicator goes with its function.
    cross_loadings : bool
        Whether every indicator may also load on the other functions, a little (Muthen & Asparouhov
        2012, 10.1037/a0026802). Items do not separate by function then: the explicit route.
    anchors : tuple of str
        Indicators without bias, at least one a function: the others need not sum to zero then.
    unit : {"sd", "original"}
        Of continuous indicators: the cohort's pooled within-site sd, or the unit of the file, so
        that published priors can be written as they are published.
    """

    testlets: Literal["sum", "factor", "none"] = "sum"
    keep_items: tuple[str, ...] = ()
    bias: Literal["none", "dense", "sparse"] = "none"
    anchors: tuple[str, ...] = ()
    nonuniform: bool = False
    cross_loadings: bool = False
    unit: Literal["sd", "original"] = "sd"

    @model_validator(mode="after")
    def _anchors_hold_something(self) -> Measurement:
        if self.anchors and self.bias == "none":
            raise ValueError("anchors are named, but no indicator may be biased: write bias: dense or sparse")
        if self.nonuniform and self.bias == "none":
            raise ValueError("nonuniform: no indicator may be biased: write bias: dense or sparse")
        if self.nonuniform and self.cross_loadings:
            raise ValueError(
                "nonuniform: loadings on one function differ by disorder; beside cross_loadings that is not "
                "there. Leave one of them out"
            )
        return self


class Groups(Strict):
    """The classical ladder of measurement invariance; indicators are all continuous or all ordinal.

    Each rung makes equal what it names, and what rungs before it do: `configural` nothing, `thresholds` (of
    ordinal indicators alone) thresholds, `metric` loadings, `scalar` intercepts, `strict` residual sds
    or scales. Of later groups correlations are always free, spreads from metric on, and means from
    scalar on; those of the first are 0 and 1 (continuous: Meredith 1993, 10.1007/BF02294825).

    Of ordinal indicators intercepts and residual scales exist from equal thresholds on (Wu & Estabrook
    2016, 10.1007/s11336-016-9506-0). An indicator of four categories or more tests equal thresholds.
    One of three says nothing of them: its two thresholds a group become intercept and scale. One of two
    does not either, its threshold becomes the intercept, and its scale is 1 on every rung, so that `metric`
    tests its loading given equal scales, and `strict` is `scalar` (`blocks.ladder`).

    Parameters
    ----------
    by : {"disorder", "site"}
        What a group is; of disorders every person needs exactly one.
    invariance : {"configural", "thresholds", "metric", "scalar", "strict"}
        The rung.
    """

    by: Literal["disorder", "site"]
    invariance: Literal["configural", "thresholds", "metric", "scalar", "strict"]


class Disorder(Strict):
    """What varies by disorder.

    Parameters
    ----------
    coding : {"additive", "averaged", "primary"}
        How several diagnoses of one person combine: each adds its own; weights that sum to 1; the primary
        one alone, where the cohort tells it.
    levels, slopes, loadings, spread, outcome : bool
        Function levels, psychosocial slopes, neural loadings, residual sd of functions, slopes of the
        outcome on functions.
    burden : bool
        Whether slopes and loadings that vary also change with every further diagnosis, as levels always do.
    """

    coding: Literal["additive", "averaged", "primary"] = "additive"
    levels: bool = False
    slopes: bool = False
    loadings: bool = False
    spread: bool = False
    outcome: bool = False
    burden: bool = False

    @model_validator(mode="after")
    def _burden_of_something(self) -> Disorder:
        if self.burden and (self.coding != "additive" or not (self.slopes or self.loadings or self.outcome)):
            raise ValueError("burden: write coding: additive, and slopes, loadings or outcome")
        return self


class Neural(Strict):
    """The block of regional activation, or of connectivity.

    `residual`: whether residuals of one person's regions, or edges, share factors.
    """

    residual: Literal["factor", "independent"] = "factor"


class OutcomeFrom(Strict):
    """What an outcome is regressed on beside functions, factors, diagnoses, covariates and site.

    Parameters
    ----------
    treatment : tuple of str
        Treatments of the study: each has an effect, and one that changes with the functions, which is
        heterogeneity of its effect. Everybody with the outcome needs a known treatment.
    baseline : bool
        What the outcome was before, as the study declares it (`blocks.baseline`); of who lacks it, a
        term says so (White & Thompson 2005, 10.1002/sim.1981: fit for randomised treatments).
    activation : bool
        The latent activation of each network: what its regions have in common, without what is of one
        region alone, of the scanner or of motion. It needs `neural` with its residual factors, by which
        activation differs from what functions tell anyway.
    """

    treatment: tuple[str, ...] = ()
    baseline: bool = False
    activation: bool = False
