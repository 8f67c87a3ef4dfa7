"""Groups of the invariance ladder as a cohort names and fills them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from designs import small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.build import build
from nssi_bayes.errors import SpecError
from nssi_bayes.spec import JointSpec


def _sites(*labels: str) -> xr.Dataset:
    """Return a cohort of two factors, its people in turn in each of the sites."""
    cohort = small_cohort(60, factors={"trauma": 0.8, "attachment": 0.8})
    site = np.array(labels, dtype=object)[np.arange(60) % len(labels)]
    return cohort.assign({n.SITE_OF: (n.PARTICIPANT, site)})


def _spec(rung: str = "metric") -> JointSpec:
    groups = {"by": "site", "invariance": rung}
    return small_spec(factors=["trauma", "attachment"], disorder={}, groups=groups)


def test_no_label_of_a_group_takes_the_name_of_another_parameter() -> None:
    """Correlations of a group that is called x are none of the factors, x*."""
    names = [p.name for p in build(_spec(), _sites("a", "x")).parameters]
    assert len(names) == len(set(names))
    assert {"Omega", "Omega_x", "Omega_group_x"} <= set(names)


def test_groups_whose_parameters_would_share_a_name_are_refused() -> None:
    with pytest.raises(SpecError, match=r"two parameters are called (?s:.*)another label"):
        build(_spec(), _sites("1", "A/B", "A_B"))
