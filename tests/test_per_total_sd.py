"""Effects per total sd of a function beside those per residual sd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from artefacts import make_params
from designs import small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build
from nssi_bayes.check.estimates import estimate
from nssi_bayes.report.sections.history import _slopes_table
from nssi_bayes.report.sections.profiles import _contrast_table
from nssi_bayes.spec import JointSpec

SAMPLES = 400


def _estimates(spec: JointSpec) -> tuple[Built, dict[str, Any], np.ndarray, dict[str, Any]]:
    """Return a model, draws of its prior, variances of its functions, and what is estimated."""
    cohort = small_cohort(40)
    built = build(spec, cohort)
    drawn = draw(built.parameters, built.design.coords, np.random.default_rng(1), SAMPLES)
    correlated = {p.name for p in built.parameters if p.is_correlation}
    values = {k: v @ np.swapaxes(v, 1, 2) if k in correlated else v for k, v in drawn.items()}
    posterior = label(
        {k: v.reshape(4, SAMPLES // 4, *v.shape[1:]) for k, v in values.items()},
        built.parameters,
        built.design,
    )
    spread = np.random.default_rng(2).uniform(1, 4, (SAMPLES, 2))
    tree = xr.DataTree.from_dict({"posterior": posterior, "prior": posterior})
    found = estimate(tree, built.design, spread, None, params=make_params(), cohort=cohort)
    return built, values, spread, found


def test_of_skewed_functions_nothing_is_told_per_total_sd() -> None:
    _, _, _, found = _estimates(small_spec(distribution="sinh_arcsinh", disorder={"levels": False}))
    assert found["slopes"]
    assert not [r for part in ("slopes", "contrasts") for r in found[part] if "standardised" in r]
    assert "per total sd" in _slopes_table(found)


def test_slopes_and_contrasts_are_told_per_total_sd_as_well() -> None:
    built, values, spread, found = _estimates(small_spec())
    functions, disorders = built.design.coords[n.FUNCTION], built.design.coords[n.DISORDER]
    assert found["slopes"]
    for row in found["slopes"]:
        f = functions.index(row["function"])
        expected = values["B"][:, f, 0] / np.sqrt(spread[:, f])
        assert row["standardised"]["mean"] == pytest.approx(expected.mean())
        assert row["standardised"]["low"] == pytest.approx(np.quantile(expected, 0.05))
    assert found["contrasts"]
    for row in found["contrasts"]:
        f, a, b = functions.index(row["function"]), *(disorders.index(row[k]) for k in ("disorder", "other"))
        expected = (values["A"][:, f, a] - values["A"][:, f, b]) / np.sqrt(spread[:, f])
        assert row["standardised"]["mean"] == pytest.approx(expected.mean())
    for table, rows in ((_slopes_table, "slopes"), (_contrast_table, "contrasts")):
        shown = table(found) if rows == "slopes" else table(found[rows], found)  # type: ignore[call-arg]
        assert "per total sd" in shown
        assert f"{found[rows][0]['standardised']['mean']:.2f}".lstrip("-") in shown
