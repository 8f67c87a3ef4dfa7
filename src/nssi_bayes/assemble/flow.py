"""Who is in the cohort, what is missing, and how motion goes with severity; counts of people only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.schema import roi_table
from nssi_bayes.study import Study

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["assessed_of", "flow", "imaging", "motion_and_outcome", "treated"]

_ENOUGH = 10  # people for a correlation


def assessed_of(study: Study, people: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Say whose diagnoses are known (`participant`,)."""
    return people[[f"disorder_{d}" for d in study.disorders.names]].notna().all(axis=1).to_numpy()


def flow(study: Study, dataset: xr.Dataset, *, people: pd.DataFrame) -> dict[str, Any]:
    """Count who is in the cohort and what is missing.

    Parameters
    ----------
    study : Study
        Its mapping.
    dataset : xarray.Dataset
        The cohort.
    people : pandas.DataFrame
        The tidy table of participants.

    Returns
    -------
    dict
        ``steps``, ``missing``, ``disorders``, ``treatments``, ``overlap``, ``motion``, ``coverage``,
        ``imaging``, ``synthetic`` and ``title``; counts of people.
    """
    total = dataset.sizes[n.PARTICIPANT]
    blocks = {"items": (n.RESPONSE, n.ITEM), "scores": (n.SCORE_VALUE, n.SCORE),
              "factors": (n.FACTOR_SCORE, n.FACTOR), "activation": (n.ACTIVATION, n.ROI),
              "connectivity": (n.CONNECTIVITY, n.EDGE), "outcome": (n.OUTCOME_VALUE, n.OUTCOME)}  # fmt: skip
    seen = {
        block: np.isfinite(dataset[variable].to_numpy())
        for block, (variable, _) in blocks.items()
        if variable in dataset
    }
    has = {block: observed.any(axis=1) for block, observed in seen.items()}
    steps = [
        ("in the table of participants", len(people)),
        ("diagnoses assessed", int(assessed_of(study, people).sum())),
        ("in the cohort: any item, factor, scan or outcome", total),
        *((f"of these, with any data in block {block}", int(some.sum())) for block, some in has.items()),
        ("of these, with data in every block", int(np.all(list(has.values()), axis=0).sum())),
    ]
    missing = []
    for block, observed in seen.items():
        labels = dataset[blocks[block][1]].to_numpy()
        for label, count in zip(labels, observed.sum(axis=0), strict=True):
            missing.append({"block": block, "variable": str(label), "observed": int(count),
                            "missing": total - int(count)})  # fmt: skip
    several = int((dataset[n.DIAGNOSIS].to_numpy().sum(axis=1) >= 2).sum())
    return {
        "steps": [{"step": step, "participants": count} for step, count in steps],
        "missing": missing,
        "disorders": _diagnosed(dataset),
        "treatments": treated(dataset),
        "overlap": {"participants_with_two_or_more": several},
        "motion": motion_and_outcome(dataset),
        "coverage": _coverage(dataset),
        "imaging": imaging(dataset),
        "synthetic": study.synthetic,
        "title": study.title,
    }


def _diagnosed(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """Return how many people have each diagnosis, and how many none, if anybody."""
    diagnosis = dataset[n.DIAGNOSIS].to_numpy()
    disorders = [
        {"disorder": str(d), "participants": int(count)}
        for d, count in zip(dataset[n.DISORDER].to_numpy(), diagnosis.sum(axis=0), strict=True)
    ]
    nobody = int((diagnosis.sum(axis=1) == 0).sum())
    return disorders + ([{"disorder": n.NONE_LEVEL, "participants": nobody}] if nobody else [])


def treated(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """Return how many people had each treatment, and how many had not, as far as it is known.

    Had not is 0. Where nobody has 0 it is the lower of two values (two arms, 1 and 2); of three or more it
    is nobody, and those had it who differ from the value that most have: on them its association rests.

    Parameters
    ----------
    dataset : xarray.Dataset
        The cohort.

    Returns
    -------
    list of dict
        ``treatment``, ``with`` and ``without``, counts of people; under ``outcomes`` the same of those who
        have each outcome, on whom its association with this rests.
    """
    if n.TREATMENT_VALUE not in dataset:
        return []
    outcomes = {}
    if n.OUTCOME in dataset.dims:
        seen = dataset[n.OUTCOME_VALUE].transpose(n.PARTICIPANT, n.OUTCOME).notnull().to_numpy()
        outcomes = dict(zip(dataset[n.OUTCOME].to_numpy().astype(str), seen.T, strict=True))
    values = dataset[n.TREATMENT_VALUE].to_numpy()
    return [
        {
            "treatment": str(label),
            **_had(column),
            "outcomes": [{"outcome": str(name), **_had(column[who])} for name, who in outcomes.items()],
        }
        for label, column in zip(dataset[n.TREATMENT].to_numpy(), values.T, strict=True)
    ]


def _had(doses: Any) -> dict[str, int]:
    """Return how many people had a treatment, and how many had not."""
    dose, count = np.unique(doses[np.isfinite(doses)], return_counts=True)
    without = int(count[dose == 0].sum()) or (int(count[0]) if len(dose) == 2 else 0)
    return {"with": int(count.sum()) - (without or int(count.max(initial=0))), "without": without}


def motion_and_outcome(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """Return how motion in each kind of scan goes with each outcome.

    Where people who are more severely ill move more, an association of brain and severity may be one
    of motion.

    Parameters
    ----------
    dataset : xarray.Dataset
        The cohort.

    Returns
    -------
    list of dict
        ``motion``, ``outcome``, ``participants``, and Pearson's ``r`` of values less the mean of
        their site with the ends ``low`` and ``high`` of 90 %; without those where fewer than 10
        people have both.
    """
    if n.OUTCOME_VALUE not in dataset:
        return []
    motions = {"activation": dataset[n.MOTION]} if n.MOTION in dataset else {}
    if n.QUALITY in dataset and "connectivity_motion" in dataset[n.QUALITY_MEASURE]:
        motions["connectivity"] = dataset[n.QUALITY].sel({n.QUALITY_MEASURE: "connectivity_motion"})
    site = dataset[n.SITE_OF].to_numpy()
    rows = []
    for kind, motion in motions.items():
        for outcome in dataset[n.OUTCOME].to_numpy():
            value = dataset[n.OUTCOME_VALUE].sel({n.OUTCOME: outcome})
            both = pd.DataFrame({"motion": motion.to_numpy(), "value": value.to_numpy()}).dropna()
            both = both - both.groupby(site[both.index]).transform("mean")
            row: dict[str, Any] = {"motion": kind, "outcome": str(outcome), "participants": len(both)}
            if len(both) >= _ENOUGH and (both.std() > 0).all():
                r = float(both["motion"].corr(both["value"]))
                reach = 1.645 / np.sqrt(len(both) - 3 - len(np.unique(site[both.index])) + 1)
                ends = np.tanh(np.arctanh(r) + np.array([-reach, reach]))
                row |= {"r": r, "low": float(ends[0]), "high": float(ends[1])}
            rows.append(row)
    return rows


def imaging(dataset: xr.Dataset) -> dict[str, Any]:
    """Return how the images were read, and how reliable what was read is.

    Parameters
    ----------
    dataset : xarray.Dataset
        The cohort.

    Returns
    -------
    dict
        For ``activation`` and ``connectivity``, where the cohort has them: ``settings`` by name, and
        ``reliability`` (None where nothing is known of it) with ``people`` or ``declared`` and, by
        region or edge, ``icc`` and the ends ``low`` and ``high`` of 90 % where it was estimated.
    """
    found: dict[str, Any] = {}
    for block, variable, dim in (
        (n.ACTIVATION, n.ACTIVATION_RELIABILITY, n.ROI),
        (n.CONNECTIVITY, n.CONNECTIVITY_RELIABILITY, n.EDGE),
    ):
        if block not in dataset:
            continue
        prefix = f"{block}_"
        told = {k.removeprefix(prefix): v for k, v in dataset.attrs.items() if k.startswith(prefix)}
        settings = {k: v if isinstance(v, str) else f"{float(v):g}" for k, v in told.items() if v != ""}
        reliability = None
        if variable in dataset:
            icc = dataset[variable]
            people = int(icc.attrs.get("people", 0))
            rows = zip(icc[dim].to_numpy(), icc.to_numpy(), strict=True)
            reliability = {
                "people": people, "declared": str(icc.attrs.get("declared", "")),
                "icc": {str(label): _icc(float(v), people) for label, v in rows if np.isfinite(v)},
            }  # fmt: skip
        found[block] = {"settings": settings, "reliability": reliability}
    return found


def _icc(value: float, people: int) -> dict[str, float]:
    """Return an ICC(1,1) of two runs with the ends of its 90 % interval (Shrout & Fleiss 1979)."""
    from scipy.stats import f as f_ratio

    if people < 3:  # declared
        return {"icc": value}
    ratio = (1 + value) / max(1 - value, 1e-12)
    ends = ratio / f_ratio.ppf(0.95, people - 1, people), ratio * f_ratio.ppf(0.95, people, people - 1)
    low, high = ((end - 1) / (end + 1) for end in ends)
    return {"icc": value, "low": float(low), "high": float(high)}


def _coverage(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """Return the mean coverage of each region over the people with images, and where it is (mm)."""
    if n.ACTIVATION_COVERAGE not in dataset:
        return []
    mean = dataset[n.ACTIVATION_COVERAGE].mean(n.PARTICIPANT).to_numpy()
    return [
        {"roi": roi, "coverage": float(mean[r]), **{axis: place[axis] for axis in "xyz"}}
        for r, (roi, place) in enumerate(roi_table(dataset).items())
    ]
