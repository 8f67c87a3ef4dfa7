"""Parts of params.yaml: the synthetic cohort, the sampler, and what is fitted again for sensitivity."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from nssi_bayes.spec.strict import Strict

__all__ = ["DEEPEST", "CrossValidation", "Refit", "Sampler", "Sensitivity", "Simulate"]

type Refit = Literal[
    "half",
    "double",
    "weak",
    "informed",
    "motion",
    "medication",
    "site",
    "overlaps",
    "missing_scans",
    "missing_outcome",
    "selection",
]


class Simulate(Strict):
    """The synthetic cohort: number of people."""

    participants: int = Field(default=120, ge=20)


DEEPEST: Final = 8
"""Depth at which a NUTS tree is not doubled again: 255 steps, where models that mix take 7 to 60. A
posterior that needs more is not certified anyway, and says so in a quarter of the time."""


class Sampler(Strict):
    """How a posterior is drawn; these change results.

    Parameters
    ----------
    chains, tune, draws : int
        Chains, and warm-up and kept draws of each.
    target_accept : float
        Target acceptance of NUTS; raised once, automatically, after a divergence.
    double : bool
        Twice the warm-up and twice the draws of every model, whatever else is asked for: do the
        numbers stay (WAMBS, Depaoli & van de Schoot 2017, 10.1037/met0000065)?
    """

    chains: int = Field(default=4, ge=2)
    tune: int = Field(default=150, ge=100)
    draws: int = Field(default=1000, ge=100)
    target_accept: float = Field(default=0.6, gt=0.5, lt=1)
    double: bool = False

    def resolved(self) -> Sampler:
        """Return the sampler whose `tune` and `draws` are what is run."""
        if not self.double:
            return self
        return self.model_copy(update={"tune": 2 * self.tune, "draws": 2 * self.draws, "double": False})


class Sensitivity(Strict):
    """What is fitted again, beside the power-scaling that needs no fit.

    Parameters
    ----------
    models : tuple of str
        Entries of the roster; none: the stage does nothing.
    refits : tuple of str
        ``half``, ``double``: scales of the top-level priors. ``informed``: another prior set.
        ``motion``, ``medication``: without that covariate. ``site``: each site left out.
        ``overlaps``: without each disorder and factor that study.yaml marks as overlapping.
        ``missing_scans``, ``missing_outcome``: what is missing is filled in, `deltas` apart.
        ``selection``: who was scanned is an outcome of the functions, in a model without another.
    deltas : tuple of float
        How far what is missing lies from what the model expects, in sd of the column.
    """

    models: tuple[str, ...] = ()
    refits: tuple[Refit, ...] = ("half", "double")
    deltas: tuple[float, ...] = (-0.5, 0.0, 0.5)


class CrossValidation(Strict):
    """Which fits are made without some of the people, to score those.

    Parameters
    ----------
    scheme : str
        ``psis``: nobody is left out for real; scores are doubted where k-hat is large. ``auto``: people
        over the k-hat limit are left out for real, and where they are more than 5 % in any model, all models
        of the question are scored by folds. ``folds``: always by folds.
    folds : int
        How many, each with its share of every diagnostic pattern and site.
    leave : tuple of str
        ``site``: each site left out; ``disorder``: everybody who has a disorder left out.
    evidence : bool
        Whether to find the log marginal likelihood of each joint model, under its priors and under
        priors of half and of double scale: three fits a model.
    sampler : Sampler
        Of each fit without some people, which are many.
    """

    scheme: Literal["psis", "auto", "folds"] = "psis"
    folds: int = Field(default=10, ge=2)
    leave: tuple[Literal["site", "disorder"], ...] = ()
    evidence: bool = False
    sampler: Sampler = Sampler(chains=2, tune=150, draws=500)
