"""Reliability of regions and edges: declared by the study, or from people with several runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.extract.regions import reliability
from nssi_bayes.imaging import ActivationSource, ConnectivitySource

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["add_reliability"]

log = logging.getLogger(__name__)


def add_reliability(
    dataset: xr.Dataset, rule: ActivationSource | ConnectivitySource, *, value: npt.NDArray[Any], where: str
) -> None:
    """Add ``activation_reliability`` or ``connectivity_reliability``, if anything is known of it.

    What the study declares comes first: runs that are different tasks are no repetitions, and only
    the study knows.

    Parameters
    ----------
    dataset : xarray.Dataset
        What was extracted; gets the variable with ``people`` (the least number of people behind a
        correlation) or ``declared`` (its source) among its attributes.
    rule : ActivationSource or ConnectivitySource
        With `reliability`.
    value : numpy.ndarray
        (run, `participant`, column) before runs were combined.
    where : str
        Part of the study file.

    Raises
    ------
    SpecError
        If a reliability is declared for a region or edge that is not there.
    """
    edges = isinstance(rule, ConnectivitySource)
    dim, name = (n.EDGE, n.CONNECTIVITY_RELIABILITY) if edges else (n.ROI, n.ACTIVATION_RELIABILITY)
    declared = rule.reliability
    if declared is not None:
        labels = [str(label) for label in dataset[dim].to_numpy()]
        given = declared.icc if isinstance(declared.icc, dict) else dict.fromkeys(labels, declared.icc)
        unknown = [
            f"no {dim} {label!r}. {did_you_mean(label, labels)}" for label in given if label not in labels
        ]
        if unknown:
            raise SpecError(unknown, where=f"{where}.reliability.icc", cure=f"name a {dim} of this study")
        icc = np.array([given.get(label, np.nan) for label in labels])
        told: dict[str, Any] = {"declared": declared.source}
        if len(value) > 1:
            log.info("%s: reliability as declared, not from the runs", where)
    elif len(value) > 1:
        icc, people = reliability(value)
        known = people[np.isfinite(icc)]
        if not known.size:
            return
        told = {"people": int(known.min())}
    else:
        return
    dataset[name] = (dim, icc, {"units": "ICC(1,1) of one run", **told})
