"""What an outcome was before: another outcome of the study, as a column of a regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.errors import SpecError
from nssi_bayes.schema import family_of

__all__ = ["baseline", "baseline_of"]

type Array = np.ndarray[Any, Any]


def baseline_of(cohort: xr.Dataset, outcome: str) -> str:
    """Return the name of the outcome that this one was before; empty if the study declares none.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    outcome : str
        One of its outcomes.
    """
    if n.OUTCOME_BASELINE not in cohort.coords:
        return ""
    return str(cohort[n.OUTCOME_BASELINE].sel({n.OUTCOME: outcome}).item())


def baseline(cohort: xr.Dataset, outcome: str) -> tuple[Array, Array]:
    """Return what an outcome was before, in the unit in which it predicts.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    outcome : str
        One of its outcomes.

    Returns
    -------
    tuple of numpy.ndarray
        Values [`participant`], 0 where there is none: of a Gaussian outcome in sd, of a count
        log(1 + count per unit of exposure), of a yes 1, of a category its number from 0. And who has one
        [`participant`].

    Raises
    ------
    SpecError
        If the study declares none.
    """
    name = baseline_of(cohort, outcome)
    if not name:
        raise SpecError(
            f"outcome {outcome!r}: the study declares no baseline of it",
            where="study.yaml",
            cure="name, under this outcome, `baseline:` another outcome, or do without",
        )
    value = cohort[n.OUTCOME_VALUE].sel({n.OUTCOME: name}).to_numpy().astype(float)
    if family_of(cohort, name) in n.COUNTS:
        exposure = np.ones(len(value))
        if n.OUTCOME_EXPOSURE in cohort:
            exposure = cohort[n.OUTCOME_EXPOSURE].sel({n.OUTCOME: name}).to_numpy().astype(float)
        value = np.log1p(value / exposure)
    seen = np.isfinite(value)
    return np.where(seen, value, 0.0), seen
