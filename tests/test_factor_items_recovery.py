"""What a fit says of slopes on a factor that its items measure: the truth, without a certificate's doubts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arviz_stats.base import array_stats

from designs import item_factor_cohort, item_factor_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.fit.accuracy import LARGEST_ERROR, errors
from nssi_bayes.fit.sample import sample
from nssi_bayes.spec import Sampler, read_priors

TRUE = np.array([[0.0, 0.5], [0.2, 0.6]])
"""Slopes of two functions on attachment, by its score, and trauma, by its items."""
CHANGES: dict[str, Any] = {
    "B": TRUE, "M": np.array([[0.0] * 5, [0.6, -0.3, 0.0, 0.3, -0.3]]), "sigma_x": 0.8, "mu_x": 0.0,
    "Omega": np.linalg.cholesky([[1, 0.5], [0.5, 1]]), "Omega_x": np.linalg.cholesky([[1, 0.3], [0.3, 1]]),
    "u_site": 0.0,
}  # fmt: skip


def _simulated(participants: int) -> Built:
    spec = item_factor_spec(priors={"B": {"sigma": 1.0}, "B_trauma": {"mu": 0.0, "sigma": 1.0},
                                    "B_attachment": {"mu": 0.0, "sigma": 1.0}})  # fmt: skip
    design = make_design(item_factor_cohort(participants), spec)
    rng = np.random.default_rng(21)
    drawn = draw(joint.parameters(spec, design, read_priors()), design.coords, rng, 1)
    theta = {name: value[0] for name, value in drawn.items()}
    theta["lambda"] = np.linspace(1.2, 2.4, len(theta["lambda"]))
    for name, value in CHANGES.items():
        theta[name] = np.broadcast_to(value, theta[name].shape).copy()
    return build_design(spec, generate(theta, design, rng))


@pytest.mark.slow
def test_slopes_on_a_factor_with_items_are_recovered() -> None:
    built = _simulated(250)
    sampler = Sampler(chains=4, tune=150, draws=500, target_accept=0.6)
    drawn = sample(built, sampler, np.random.SeedSequence(3))
    slopes = drawn.values["B"].reshape(-1, 2, 2)
    low, high = np.quantile(slopes, [0.025, 0.975], axis=0)
    assert ((low < TRUE) & (high > TRUE)).all()
    assert (high - low)[:, 1].max() < 0.8  # it says something
    assert int(drawn.statistics["diverging"].sum()) == 0
    flat = [np.moveaxis(v.reshape(*v.shape[:2], -1), -1, 0) for v in drawn.values.values()]
    stacked = np.concatenate(flat)
    stacked = stacked[stacked.std(axis=(1, 2)) > 1e-9]
    assert float(array_stats.rhat(stacked).max()) < 1.02
    labelled = label(drawn.values, built.parameters, built.design)
    assert labelled["M"].dims[-2:] == (n.FACTOR, n.DISORDER)
    found = errors(theta_of(labelled, built.parameters), built)
    assert found is not None
    assert found.std() < LARGEST_ERROR
