"""What people as met are like by disorder: means of groups, and differences of pairs of groups."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nssi_bayes import names as n
from nssi_bayes.check.levels import as_met, averages, contrasts, weights_of
from nssi_bayes.integrate.quadrature import Moments


def test_a_pair_as_met_are_those_who_have_one_less_those_who_have_the_other() -> None:
    """Five exclusive groups, of which two have one mean: a difference of levels would be .15."""
    group = np.repeat(np.arange(5), [96, 36, 24, 24, 20])
    known = np.array([0.4, 0.4, -0.3, -0.3, 0.0])
    moments = Moments(
        np.zeros((3000, 200)), np.tile(known[group][None, :, None], (3000, 1, 1)),
        np.full((3000, 200, 1, 1), 0.3),
    )  # fmt: skip
    design: Any = SimpleNamespace(diagnosis=np.eye(5)[group], coords={n.GROUP: []})
    met = as_met(averages(moments, weights_of(design)), design, np.random.default_rng(1), parameters=())
    assert met is not None
    for kind, a, b, difference in contrasts(None, met):
        assert kind == "as_met"
        sd = np.sqrt(0.3 * (1 / (group == a).sum() + 1 / (group == b).sum()))
        assert difference.mean() == pytest.approx(known[a] - known[b], abs=5 * sd / np.sqrt(3000))
        assert difference.std() == pytest.approx(sd, rel=0.05)
    others = np.delete(known[group], np.flatnonzero(group == 0)).mean()
    assert met.level[:, 0].mean() == pytest.approx(known[0] - others, abs=0.01)


def test_a_disorder_of_everybody_has_no_level_as_met_and_one_of_nobody_no_contrast() -> None:
    diagnosis = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]])
    moments = Moments(np.zeros((5, 4)), np.zeros((5, 4, 2)), np.tile(np.eye(2), (5, 4, 1, 1)))
    design: Any = SimpleNamespace(diagnosis=diagnosis, coords={n.GROUP: []})
    met = as_met(averages(moments, weights_of(design)), design, np.random.default_rng(1), parameters=())
    assert met is not None
    assert [bool(np.isfinite(met.level[:, k]).all()) for k in range(3)] == [False, True, False]
    assert [(a, b) for _, a, b, _ in contrasts(None, met)] == [(0, 1)]
