"""The contract of the cohort: all violations at once, no row value in a message."""

import numpy as np
import pytest
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.errors import DataError
from nssi_bayes.schema import VARIABLES, validate, violations

SECRET = "sub-secret"


def _cohort() -> xr.Dataset:
    people = [f"{SECRET}{i}" for i in range(4)]
    cohort = xr.Dataset(
        {
            n.RESPONSE: ((n.PARTICIPANT, n.ITEM), np.array([[0.0, 1], [2, np.nan], [1, 1], [0, 2]])),
            n.DIAGNOSIS: ((n.PARTICIPANT, n.DISORDER), np.array([[1, 0], [0, 1], [1, 1], [0, 0]])),
            n.SITE_OF: ((n.PARTICIPANT,), np.array(["A", "B", "A", "B"])),
            n.ACTIVATION: ((n.PARTICIPANT, n.ROI), np.array([[0.1], [np.nan], [-0.3], [0.0]])),
            n.ACTIVATION_SE: ((n.PARTICIPANT, n.ROI), np.array([[0.1], [np.nan], [0.2], [0.1]])),
            n.MOTION: ((n.PARTICIPANT,), np.array([0.1, np.nan, -0.2, 0.0])),
        },
        coords={
            n.PARTICIPANT: people,
            n.ITEM: ["isas_01", "isas_02"],
            n.DISORDER: ["mood", "eating"],
            n.ROI: ["AMY_L"],
            n.ITEM_INSTRUMENT: (n.ITEM, ["isas", "isas"]),
            n.ITEM_SUBSCALE: (n.ITEM, ["a", "b"]),
            n.ITEM_CATEGORIES: (n.ITEM, [3, 3]),
            n.ROI_NETWORK: (n.ROI, ["limbic"]),
            n.ROI_HEMISPHERE: (n.ROI, ["L"]),
            n.ROI_X: (n.ROI, [-24.0]),
            n.ROI_Y: (n.ROI, [-4.0]),
            n.ROI_Z: (n.ROI, [-20.0]),
            n.ROI_RADIUS: (n.ROI, [6.0]),
        },
        attrs={"study": "demo", "synthetic": 1, "title": "synthetic"},
    )
    for name in (n.ACTIVATION, n.MOTION):
        dims = cohort[name].dims[1:]
        for suffix in (n.CENTER, n.SCALE):
            cohort[name + suffix] = (dims, np.ones([cohort.sizes[d] for d in dims]))
    for name in cohort.data_vars:
        if name in VARIABLES:
            cohort[name].attrs["units"] = VARIABLES[str(name)].unit
    return cohort


def _out_of_range(c: xr.Dataset) -> xr.Dataset:
    c[n.RESPONSE].to_numpy()[:, 0] = [3, 0.5, -1, 0]
    return c


def _nobody_ill(c: xr.Dataset) -> xr.Dataset:
    c[n.DIAGNOSIS].to_numpy()[:] = 0
    return c


def _twice(c: xr.Dataset) -> xr.Dataset:
    return c.assign_coords({n.PARTICIPANT: [SECRET] * 4})


def _moving_unseen(c: xr.Dataset) -> xr.Dataset:
    c[n.MOTION].to_numpy()[0] = np.nan
    return c


def _without_se(c: xr.Dataset) -> xr.Dataset:
    c[n.ACTIVATION_SE].to_numpy()[0] = np.nan
    return c


def _infinite(c: xr.Dataset) -> xr.Dataset:
    c[n.ACTIVATION].to_numpy()[0] = np.inf
    return c


def _another_unit(c: xr.Dataset) -> xr.Dataset:
    c[n.MOTION].attrs["units"] = "mm"
    return c


def test_a_cohort_that_keeps_the_contract_comes_back() -> None:
    cohort = _cohort()
    assert violations(cohort) == []
    assert validate(cohort) is cohort


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_out_of_range, "item 'isas_01': 3 responses outside its categories"),
        (_nobody_ill, "nobody has a diagnosis"),
        (_twice, "labels along 'participant' are not unique"),
        (_moving_unseen, "motion is missing for a scanned person"),
        (_without_se, "an activation without a standard error"),
        (_infinite, "'activation' holds 1 infinite values"),
        (_another_unit, "'motion' has units 'mm'"),
        (lambda c: c.drop_vars(n.SITE_OF), "variable 'site_of' is missing"),
        (lambda c: c.drop_vars(n.ROI_X), "coord 'roi_x' along 'roi' is missing"),
        (lambda c: c.drop_vars(n.MOTION + n.SCALE), "'motion_scale' is missing"),
        (lambda c: c.assign(other=1.0), "unknown variable 'other'"),
        (lambda c: c.drop_vars(n.DISORDER), "dim 'disorder' has no labels"),
        (lambda c: c.drop_attrs(deep=False), "attribute 'study' is missing"),
    ],
)
def test_a_violation_is_found_and_quotes_no_person(change, problem: str) -> None:
    broken = change(_cohort())
    with pytest.raises(DataError) as caught:
        validate(broken)
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_edge_is_known_by_its_regions_and_has_an_error() -> None:
    cohort = _cohort()
    both = (n.PARTICIPANT, n.EDGE)
    places = {c: (n.EDGE, [0.0]) for c in n.EDGE_COORDS[3:]}
    ends = {n.EDGE_NETWORK: "default--limbic", n.EDGE_A: "AMY_L", n.EDGE_B: "PCC"}
    places |= {c: (n.EDGE, [word]) for c, word in ends.items()}
    cohort = cohort.assign_coords({n.EDGE: ["AMY_L--PCC"], **places})
    for name, values in ((n.CONNECTIVITY, 0.1), (n.CONNECTIVITY_SE, 0.2)):
        cohort[name] = (both, np.full((4, 1), values), {"units": VARIABLES[name].unit})
    for suffix in (n.CENTER, n.SCALE):
        cohort[n.CONNECTIVITY + suffix] = ((n.EDGE,), np.ones(1))
    assert violations(cohort) == []
    cohort[n.CONNECTIVITY_SE].to_numpy()[2] = 0
    cohort = cohort.assign_coords({n.EDGE_B: (n.EDGE, ["DACC"])})
    found = violations(cohort)
    assert any("standard error above 0" in line for line in found)
    assert any("not that of its two regions" in line for line in found)
    assert SECRET not in " ".join(found)


def test_all_violations_are_said_at_once() -> None:
    broken = _another_unit(_cohort()).drop_vars([n.SITE_OF, n.ROI_X])
    assert len(violations(broken)) == 3
