"""Groups of the invariance ladder as a cohort names and fills them."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from designs import small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.build import build, run
from nssi_bayes.check.groups import mark_few
from nssi_bayes.errors import SpecError
from nssi_bayes.report import against
from nssi_bayes.report.sections.profiles import _groups
from nssi_bayes.spec import JointSpec, Params, parse
from nssi_bayes.store import Layout, write_dataset, write_text


def _sites(*labels: str) -> xr.Dataset:
    """Return a cohort of two factors, its people in turn in each of the sites."""
    cohort = small_cohort(60, factors={"trauma": 0.8, "attachment": 0.8})
    site = np.array(labels, dtype=object)[np.arange(60) % len(labels)]
    return cohort.assign({n.SITE_OF: (n.PARTICIPANT, site, {"units": "site label"})})


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


def _crowds(*sizes: int) -> xr.Dataset:
    """Return a cohort with so many people in each site."""
    cohort = small_cohort(sum(sizes), factors={"trauma": 0.8, "attachment": 0.8})
    site = np.repeat(np.array(["A", "B", "C"][: len(sizes)], dtype=object), sizes)
    return cohort.assign({n.SITE_OF: (n.PARTICIPANT, site, {"units": "site label"})})


def test_a_group_of_one_is_refused() -> None:
    with pytest.raises(SpecError, match=r"fewer than 2 people are of C, whose(?s:.*)join it with another"):
        build(_spec(), _crowds(30, 29, 1))
    build(_spec(), _crowds(30, 28, 2))


def test_a_group_without_people_is_refused_also_as_the_reference() -> None:
    cohort = small_cohort(60).copy(deep=True)
    diagnosis = cohort[n.DIAGNOSIS].to_numpy()
    diagnosis[:] = 0
    diagnosis[:30, 1], diagnosis[30:, 2:] = 1, 0
    diagnosis[30:, 2] = 1
    spec = small_spec(disorder={}, groups={"by": "disorder", "invariance": "scalar"})
    with pytest.raises(SpecError, match="fewer than 2 people are of mood"):
        build(spec, cohort)


@pytest.mark.parametrize(("smallest", "warned"), [(1, ["C"]), (25, ["B, C"])])
def test_groups_smaller_than_their_parameters_or_than_a_cell_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, smallest: int, warned: list[str]
) -> None:
    layout = Layout(tmp_path)
    write_dataset(layout.cohort("s"), _crowds(40, 24, 3))
    functions = "  self_related: [affect_regulation, anti_dissociation, marking_distress]\n"
    groups = "groups: {by: site, invariance: configural}\n"
    write_text(layout.spec("q/m"), f"description: tiny\nfunctions:\n{functions}{groups}")
    content = {"study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"]}
    params = parse(Params, {**content, "min_cell": smallest}, where="test")
    with caplog.at_level(logging.WARNING):
        run(layout, params, model="q/m")
    found = [re.search(r"of its own: ([A-C, ]+)\.", r.getMessage()) for r in caplog.records]
    assert [match[1] for match in found if match] == warned


def test_what_is_said_of_a_small_group_is_not_printed() -> None:
    design = build(_spec("scalar"), _crowds(30, 26, 4)).design
    row = {"what": "mean", "function": "inner", "mean": 0.5, "low": 0.1, "high": 0.9, "p_positive": 0.9}
    rows = mark_few([{**row, "group": "B"}, {**row, "group": "C", "mean": 0.77}], design, 11)
    assert [r.get("few", False) for r in rows] == [False, True]
    page = " ".join(part.body for part in _groups({"groups": rows}))
    assert "0.50" in page
    assert "0.77" not in page
    assert "Not printed of groups of too few people: C." in page
    assert not against.conclusions({"interval": 0.9, "groups": rows[1:]}, {"interval": 0.9})
