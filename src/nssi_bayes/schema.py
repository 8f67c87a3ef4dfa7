"""The contract of the cohort data set: dims, coords, units and allowed missingness.

`assemble` writes a data set that satisfies it, `build` reads nothing else. `validate` lists all
violations at once and never quotes a row value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.errors import DataError
from nssi_bayes.names import EDGE_SEPARATOR

__all__ = [
    "FAMILIES", "VARIABLES", "Variable", "edge_table", "family_of", "roi_table", "validate", "violations",
]  # fmt: skip


@dataclass(frozen=True)
class Variable:
    """What one variable of the cohort must look like.

    Parameters
    ----------
    dims : tuple of str
        In this order.
    unit : str
        Unit of the values, as written into the attributes.
    missing : bool
        Whether NaN is allowed (and means "not observed").
    required : bool
        Whether every cohort has it.
    meaning : str
        One line for a reader of the file.
    """

    dims: tuple[str, ...]
    unit: str
    missing: bool
    required: bool
    meaning: str


VARIABLES: Final[dict[str, Variable]] = {
    n.RESPONSE: Variable(
        (n.PARTICIPANT, n.ITEM), "category from 0", True, True, "oriented ordinal item responses"
    ),
    n.SCORE_VALUE: Variable(
        (n.PARTICIPANT, n.SCORE), "pooled within-site sd", True, False, "centred continuous indicators"
    ),
    n.DIAGNOSIS: Variable((n.PARTICIPANT, n.DISORDER), "0 or 1", False, True, "multi-label diagnoses"),
    n.PRIMARY: Variable(
        (n.PARTICIPANT, n.DISORDER), "0 or 1", False, False, "which of a person's diagnoses is primary"
    ),
    n.SITE_OF: Variable((n.PARTICIPANT,), "site label", False, True, "site of the person"),
    n.COVARIATE_VALUE: Variable(
        (n.PARTICIPANT, n.COVARIATE), "pooled within-site sd", False, False, "centred covariates"
    ),
    n.FACTOR_SCORE: Variable(
        (n.PARTICIPANT, n.FACTOR),
        "pooled within-site sd",
        True,
        False,
        "centred psychosocial factor scores, measured with error",
    ),
    n.FACTOR_RELIABILITY: Variable(
        (n.FACTOR,), "proportion of variance", False, False, "reliability of each factor score"
    ),
    n.ACTIVATION: Variable(
        (n.PARTICIPANT, n.ROI), "pooled within-site sd", True, False, "centred regional effects"
    ),
    n.ACTIVATION_SE: Variable(
        (n.PARTICIPANT, n.ROI), "pooled within-site sd", True, False, "first-level standard errors"
    ),
    n.ACTIVATION_COVERAGE: Variable(
        (n.PARTICIPANT, n.ROI), "proportion of voxels", True, False, "share of a region with data"
    ),
    n.ACTIVATION_RELIABILITY: Variable(
        (n.ROI,), "ICC(1,1) of one run", True, False, "agreement of two runs, for the report only"
    ),
    n.CONNECTIVITY: Variable(
        (n.PARTICIPANT, n.EDGE), "pooled within-site sd", True, False, "centred Fisher z of edges"
    ),
    n.CONNECTIVITY_SE: Variable(
        (n.PARTICIPANT, n.EDGE), "pooled within-site sd", True, False, "standard errors of Fisher z"
    ),
    n.CONNECTIVITY_FRAMES: Variable(
        (n.PARTICIPANT, n.EDGE), "independent frames", True, False, "effective frames behind an edge"
    ),
    n.CONNECTIVITY_RELIABILITY: Variable(
        (n.EDGE,), "ICC(1,1) of one run", True, False, "agreement of two runs, for the report only"
    ),
    n.QUALITY: Variable(
        (n.PARTICIPANT, n.QUALITY_MEASURE),
        "pooled within-site sd",
        True,
        False,
        "centred quality of the images: motion, censored frames, signal, coverage",
    ),
    n.OUTLYING: Variable((n.PARTICIPANT,), "0 or 1", False, False, "images of unusual quality, not dropped"),
    n.MOTION: Variable(
        (n.PARTICIPANT,), "pooled within-site sd", True, False, "centred mean framewise displacement"
    ),
    n.OUTCOME_VALUE: Variable(
        (n.PARTICIPANT, n.OUTCOME), "pooled within-site sd", True, False, "centred outcomes"
    ),
    n.OUTCOME_EXPOSURE: Variable(
        (n.PARTICIPANT, n.OUTCOME), "as the study counts", True, False, "how long a count was counted"
    ),
    n.TREATMENT_VALUE: Variable(
        (n.PARTICIPANT, n.TREATMENT), "as coded", True, False, "treatments, neither centred nor scaled"
    ),
}
"""Variables of a cohort. For each centred variable `v` the constants `v_center` and `v_scale`, in
the original unit, stand beside it along the last dim (or as scalars), frozen in every refit. An outcome
whose `outcome_family` is not Gaussian stands as it is, with the constants 0 and 1."""

FAMILIES: Final = (n.GAUSSIAN, n.BERNOULLI, *n.COUNTS, n.ORDINAL)
"""What an outcome may be."""

_CENTRED: Final = (
    n.COVARIATE_VALUE, n.FACTOR_SCORE, n.ACTIVATION, n.CONNECTIVITY, n.QUALITY, n.MOTION, n.OUTCOME_VALUE,
    n.SCORE_VALUE,
)  # fmt: skip
_COORDS: Final = {
    n.ITEM: (n.ITEM_INSTRUMENT, n.ITEM_SUBSCALE, n.ITEM_CATEGORIES),
    n.ROI: (n.ROI_NETWORK, n.ROI_HEMISPHERE, n.ROI_X, n.ROI_Y, n.ROI_Z, n.ROI_RADIUS),
    n.EDGE: n.EDGE_COORDS,
}
_ATTRS: Final = ("study", "synthetic", "title")


def violations(cohort: xr.Dataset) -> list[str]:
    """List every way in which `cohort` breaks the contract.

    Parameters
    ----------
    cohort : xarray.Dataset
        The data set to look at.

    Returns
    -------
    list of str
        One sentence each; empty when the contract holds. Counts people, names none.
    """
    found: list[str] = []
    found += [f"attribute {key!r} is missing" for key in _ATTRS if key not in cohort.attrs]
    known = set(VARIABLES) | {v + suffix for v in _CENTRED for suffix in (n.CENTER, n.SCALE)}
    found += [f"unknown variable {name!r}" for name in cohort.data_vars if name not in known]
    for name, rule in VARIABLES.items():
        if name not in cohort:
            if rule.required:
                found.append(f"variable {name!r} is missing ({rule.meaning})")
            continue
        found += _variable_violations(name, rule, cohort)
    for dim, coords in _COORDS.items():
        if dim in cohort.dims:
            found += [f"coord {c!r} along {dim!r} is missing" for c in coords if c not in cohort.coords]
    for label in cohort.dims:
        if label not in cohort.coords:
            found.append(f"dim {label!r} has no labels; a row or column is known by name only")
        elif cohort.indexes[label].has_duplicates:
            found.append(f"labels along {label!r} are not unique")
    return found or _value_violations(cohort)


def _variable_violations(name: str, rule: Variable, cohort: xr.Dataset) -> list[str]:
    found = []
    array = cohort[name]
    if array.dims != rule.dims:
        return [f"{name!r} has dims {array.dims}, expected {rule.dims}"]
    if array.attrs.get("units") != rule.unit:
        found.append(f"{name!r} has units {array.attrs.get('units')!r}, expected {rule.unit!r}")
    if name in _CENTRED:
        found += [
            f"{name + suffix!r} is missing" for suffix in (n.CENTER, n.SCALE) if name + suffix not in cohort
        ]
    if array.dtype.kind == "f":
        values = array.to_numpy()
        if np.isinf(values).any():
            found.append(f"{name!r} holds {int(np.isinf(values).sum())} infinite values")
        if not rule.missing and np.isnan(values).any():
            found.append(f"{name!r} holds {int(np.isnan(values).sum())} missing values, none allowed")
    return found


def _value_violations(cohort: xr.Dataset) -> list[str]:
    found = []
    response = cohort[n.RESPONSE].to_numpy()
    top = cohort[n.ITEM_CATEGORIES].to_numpy()[None, :] - 1
    seen = np.isfinite(response)
    bad = seen & ((response < 0) | (response > top) | (response != np.round(response)))
    for item, count in zip(cohort[n.ITEM].to_numpy(), bad.sum(axis=0), strict=True):
        if count:
            found.append(f"item {str(item)!r}: {int(count)} responses outside its categories")
    if not np.isin(cohort[n.DIAGNOSIS].to_numpy(), (0, 1)).all():
        found.append("diagnosis holds values other than 0 and 1")
    if not cohort[n.DIAGNOSIS].to_numpy().any():
        found.append("nobody has a diagnosis")
    if n.PRIMARY in cohort:
        primary = cohort[n.PRIMARY].to_numpy()
        if not np.isin(primary, (0, 1)).all() or (primary.sum(axis=1) > 1).any():
            found.append("primary_diagnosis is not one of a person's at most")
        elif (primary > cohort[n.DIAGNOSIS].to_numpy()).any():
            found.append("primary_diagnosis marks what a person does not have")
    if n.FACTOR_RELIABILITY in cohort:
        reliability = cohort[n.FACTOR_RELIABILITY].to_numpy()
        if ((reliability <= 0) | (reliability > 1)).any():
            found.append("factor_reliability must lie in (0, 1]")
    if n.ACTIVATION in cohort:
        value, se = cohort[n.ACTIVATION].to_numpy(), cohort[n.ACTIVATION_SE].to_numpy()
        if (np.isfinite(value) & ~(se >= 0)).any():
            found.append("an activation without a standard error of 0 or more")
        scanned = np.isfinite(value).any(axis=1)
        if n.MOTION in cohort and (scanned & ~np.isfinite(cohort[n.MOTION].to_numpy())).any():
            found.append("motion is missing for a scanned person")
    return found + _outcome_violations(cohort) + _edge_violations(cohort)


def _outcome_violations(cohort: xr.Dataset) -> list[str]:
    """Say how values of outcomes contradict their families; people are counted, values not told."""
    found = []
    if n.OUTCOME_BASELINE in cohort.coords:
        known = cohort[n.OUTCOME].to_numpy().astype(str).tolist()
        before = cohort[n.OUTCOME_BASELINE].to_numpy().astype(str).tolist()
        found += [
            f"outcome_baseline of {outcome!r}: no other outcome {name!r}"
            for outcome, name in zip(known, before, strict=True)
            if name and (name not in known or name == outcome)
        ]
    for outcome in cohort[n.OUTCOME].to_numpy() if n.OUTCOME_VALUE in cohort else ():
        family = family_of(cohort, str(outcome))
        if family not in FAMILIES:
            found.append(f"outcome {str(outcome)!r} is of no family that there is")
            continue
        values = cohort[n.OUTCOME_VALUE].sel({n.OUTCOME: outcome}).to_numpy()
        seen = np.isfinite(values)
        values, whole = values[seen], values[seen] == np.round(values[seen])
        if family == n.BERNOULLI and (bad := int((~np.isin(values, (0, 1))).sum())):
            found.append(f"outcome {str(outcome)!r} (bernoulli): {bad} values that are not 0 or 1")
        if family in n.COUNTS:
            bad = int((~whole | (values < 0)).sum())
            if bad:
                found.append(f"outcome {str(outcome)!r} ({family}): {bad} values that are no counts")
            if n.OUTCOME_EXPOSURE in cohort:
                exposure = cohort[n.OUTCOME_EXPOSURE].sel({n.OUTCOME: outcome}).to_numpy()[seen]
                bad = int((~(exposure > 0)).sum())
                if bad:
                    found.append(f"outcome {str(outcome)!r}: {bad} counts without an exposure over 0")
        if family == n.ORDINAL:
            top = int(cohort[n.OUTCOME_CATEGORIES].sel({n.OUTCOME: outcome}))
            bad = int((~whole | (values < 0) | (values >= top)).sum())
            if bad:
                found.append(f"outcome {str(outcome)!r} (ordinal): {bad} values outside its {top} categories")
    return found


def _edge_violations(cohort: xr.Dataset) -> list[str]:
    if n.CONNECTIVITY not in cohort:
        return []
    found = []
    value, se = cohort[n.CONNECTIVITY].to_numpy(), cohort[n.CONNECTIVITY_SE].to_numpy()
    if (np.isfinite(value) & ~(se > 0)).any():
        found.append("an edge without a standard error above 0")
    ends = zip(cohort[n.EDGE_A].to_numpy(), cohort[n.EDGE_B].to_numpy(), strict=True)
    told = [f"{a}{EDGE_SEPARATOR}{b}" for a, b in ends]
    if told != [str(edge) for edge in cohort[n.EDGE].to_numpy()]:
        found.append("the label of an edge is not that of its two regions")
    return found


def family_of(cohort: xr.Dataset, outcome: str) -> str:
    """Return the family of an outcome: Gaussian unless the cohort says otherwise."""
    if n.OUTCOME_FAMILY not in cohort.coords:
        return n.GAUSSIAN
    return str(cohort[n.OUTCOME_FAMILY].sel({n.OUTCOME: outcome}).item())


def validate(cohort: xr.Dataset, *, where: str = "cohort") -> xr.Dataset:
    """Return `cohort` unchanged if it satisfies the contract.

    Parameters
    ----------
    cohort : xarray.Dataset
        The data set to check.
    where : str
        The file it came from, for the message.

    Returns
    -------
    xarray.Dataset
        `cohort`.

    Raises
    ------
    DataError
        With all violations at once.
    """
    found = violations(cohort)
    if found:
        raise DataError(
            found, where=where, cure="mend the study file or the tables and run `dvc repro` again"
        )
    return cohort


def roi_table(cohort: xr.Dataset) -> dict[str, dict[str, object]]:
    """Return network, hemisphere and coordinates (mm) of each region.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies the contract and has regions.

    Returns
    -------
    dict of str to dict
        By region.
    """
    kinds = {
        "network": (n.ROI_NETWORK, str),
        "hemisphere": (n.ROI_HEMISPHERE, str),
        "x": (n.ROI_X, float),
        "y": (n.ROI_Y, float),
        "z": (n.ROI_Z, float),
    }
    columns = {key: [kind(v) for v in cohort[coord].to_numpy()] for key, (coord, kind) in kinds.items()}
    return {
        str(roi): {key: column[r] for key, column in columns.items()}
        for r, roi in enumerate(cohort[n.ROI].to_numpy())
    }


def edge_table(cohort: xr.Dataset) -> dict[str, dict[str, object]]:
    """Return the two regions, their networks' pair and coordinates (mm) of each edge.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies the contract and has edges.

    Returns
    -------
    dict of str to dict
        By edge: ``a``, ``b``, ``network``, and ``from`` and ``to`` as (x, y, z).
    """
    ends = {
        "from": (n.EDGE_A_X, n.EDGE_A_Y, n.EDGE_A_Z), "to": (n.EDGE_B_X, n.EDGE_B_Y, n.EDGE_B_Z),
    }  # fmt: skip
    places = {
        side: np.stack([cohort[c].to_numpy() for c in of], axis=1).tolist() for side, of in ends.items()
    }
    return {
        str(edge): {
            "a": str(cohort[n.EDGE_A].to_numpy()[e]),
            "b": str(cohort[n.EDGE_B].to_numpy()[e]),
            "network": str(cohort[n.EDGE_NETWORK].to_numpy()[e]),
            **{side: place[e] for side, place in places.items()},
        }
        for e, edge in enumerate(cohort[n.EDGE].to_numpy())
    }
