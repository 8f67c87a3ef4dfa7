"""The default priors are those of the contract, number by number: a typo would move every posterior alike."""

from __future__ import annotations

import pytest

from nssi_bayes.spec import read_priors

CONTRACT = {
    "lambda": ("lognormal", 0.5, 0.5), "B": ("normal", 0.0, 0.25), "B_trauma": ("normal", 0.15, 0.2),
    "B_attachment": ("normal", 0.15, 0.2), "tau_mean": ("halfnormal", 0.5), "tau_slope": ("halfnormal", 0.15),
    "tau_bias": ("halfnormal", 0.25), "tau_spread": ("halfnormal", 0.2), "L_network": ("normal", 0.0, 0.15),
    "tau_roi": ("halfnormal", 0.1), "tau_neural": ("halfnormal", 0.1), "sigma": ("halfnormal", 1.0),
    "residual_loading": ("halfnormal", 0.5), "tau_site": ("halfnormal", 0.25), "w": ("normal", 0.0, 0.5),
    "gamma": ("halfnormal", 1.5), "cross_loading": ("normal", 0.0, 0.25),
}  # fmt: skip
FLAT = {"Omega": ("lkj", 1.0), "category_probability": ("dirichlet", 1.0)}


@pytest.mark.parametrize("name", CONTRACT)
def test_a_default_prior_is_that_of_the_contract(name: str) -> None:
    prior, (family, *constants) = read_priors()[name], CONTRACT[name]
    given = [prior.sigma] if family == "halfnormal" else [prior.mu, prior.sigma]
    assert (prior.family, *given) == (family, *constants)


@pytest.mark.parametrize("name", FLAT)
def test_what_is_flat_is_flat(name: str) -> None:
    prior = read_priors()[name]
    assert (prior.family, prior.alpha) == FLAT[name]
