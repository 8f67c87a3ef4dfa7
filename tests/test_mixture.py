"""Mixtures of normals as priors: normalised, drawn, sampled, scaled, and chosen by `prior_set`."""

from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from densities import assert_density_is_pymcs
from designs import small_cohort, small_spec
from nssi_bayes.blocks.compiled import Slots
from nssi_bayes.blocks.parameter import Parameter, draw, from_prior
from nssi_bayes.build import build, fingerprint
from nssi_bayes.calibrate.replication import _size
from nssi_bayes.errors import SpecError
from nssi_bayes.families.mixture import log_density
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.sensitivity.scaling import log_priors
from nssi_bayes.sensitivity.variants import _other_set, scaled
from nssi_bayes.spec import read_priors

THREE = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, -1.0]), np.array([0.1, 0.4, 1.5])
"""Weights, means and sds."""
MIXTURE = Parameter("m", ("function",), "mixture", weights=THREE[0], mu=THREE[1], sigma=THREE[2])


def _density(x: Any, parts: Any = THREE) -> Any:
    return stats.norm.pdf(np.asarray(x)[..., None], parts[1], parts[2]) @ parts[0]


def test_a_mixture_is_normalised_and_its_slope_is_its_slope() -> None:
    total, _ = integrate.quad(lambda v: np.exp(log_density(np.array(v), *THREE)[0]), -15, 15, limit=200)
    assert total == pytest.approx(1, abs=1e-8)
    x = np.linspace(-3, 3, 13)
    value, slope = log_density(x, *THREE)
    np.testing.assert_allclose(value, np.log(_density(x)))
    near = [log_density(x + e, *THREE)[0] for e in (1e-6, -1e-6)]
    np.testing.assert_allclose(slope, (near[0] - near[1]) / 2e-6, atol=1e-6)


def test_a_mixture_in_the_vector_of_the_sampler_is_the_same() -> None:
    free = Unconstrained([MIXTURE], Slots({"m": (3,)}))
    x = np.array([0.1, -0.7, 2.0])
    value, theta, pull_back = free(x)
    assert value == pytest.approx(np.log(_density(x)).sum())
    np.testing.assert_array_equal(theta, x)
    slopes = [(free(x + e)[0] - free(x - e)[0]) / 2e-6 for e in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(pull_back(np.zeros(3)), slopes, atol=1e-6)


def test_draws_of_a_mixture_are_of_it() -> None:
    drawn = draw([MIXTURE], {"function": ["a", "b"]}, np.random.default_rng(0), 20_000)["m"]
    for element in range(2):
        found = stats.kstest(
            drawn[:, element], lambda v: stats.norm.cdf(v[:, None], THREE[1], THREE[2]) @ THREE[0]
        )
        assert found.pvalue > 0.01


def test_a_mixture_beside_a_normal_leaves_the_normal_as_it_is() -> None:
    priors = read_priors(prior_set="informed")
    each = [priors["B_trauma"], priors["B_attachment"]]
    p = from_prior("B", ("function", "factor"), priors["B"], each=each)
    x = np.array([[0.3, 0.3], [-0.1, -0.1]])
    value, _ = log_density(x, p.weights, p.mu, p.sigma)
    np.testing.assert_allclose(value[:, 1], stats.norm.logpdf(x[:, 1], 0.15, 0.2))
    np.testing.assert_allclose(np.exp(value[:, 0]), _density(x[:, 0], priors["B_trauma"].components))
    assert _size(p, x) == pytest.approx(value.sum(axis=1))
    assert log_priors({"B": x[None]}, [p])["B"] == pytest.approx(value.sum())


def test_the_density_of_an_informed_model_is_the_one_that_pymc_states() -> None:
    built = build(small_spec(prior_set="informed", outcome="severity"), small_cohort(40))
    assert {p.name for p in built.parameters if p.family == "mixture"} == {"B", "w"}
    assert_density_is_pymcs(built, scales=(0.3, 1.0))


def test_the_set_changes_the_fingerprint_and_a_change_by_name_stays() -> None:
    cohort = small_cohort(40)
    weak, informed = (build(small_spec(prior_set=s), cohort) for s in ("weak", "informed"))
    assert fingerprint(weak, weak.spec) != fingerprint(informed, informed.spec)
    own = build(small_spec(prior_set="informed", priors={"tau_mean": {"sigma": 0.11}}), cohort)
    assert next(p for p in own.parameters if p.name == "tau_mean").sigma == 0.11
    with pytest.raises(SpecError, match="prior_set"):
        small_spec(prior_set="strong")


def test_informed_priors_are_a_variant_and_mixtures_are_scaled_about_their_mean() -> None:
    variant = _other_set(build(small_spec(), small_cohort(40)), "informed").built
    assert variant is not None
    assert variant.spec.prior_set == "informed"
    again = _other_set(variant, "informed")
    assert again.built is None
    assert again.note
    moments = []
    for built in (variant, scaled(variant, 2.0)):
        p = next(p for p in built.parameters if p.name == "B")
        mean = (p.weights * p.mu).sum(axis=-1)
        variance = (p.weights * (p.sigma**2 + (p.mu - mean[..., None]) ** 2)).sum(axis=-1)
        moments.append((mean, np.sqrt(variance)))
    np.testing.assert_allclose(moments[1][0], moments[0][0])
    np.testing.assert_allclose(moments[1][1], 2 * moments[0][1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": [0.5, 0.4], "mus": [0, 1], "sigmas": [1, 1]},
        {"weights": [0.5, 0.5], "mus": [0], "sigmas": [1, 1]},
        {"weights": [0.5, 0.5], "mus": [0, 1], "sigmas": [1, -1]},
        {"mu": 0},
    ],
)
def test_a_mixture_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        read_priors(small_spec(priors={"w": {"family": "mixture", **wrong}}).priors)


def test_a_scale_cannot_become_a_mixture() -> None:
    mixture = {"family": "mixture", "weights": [1.0], "mus": [0.0], "sigmas": [1.0]}
    with pytest.raises(SpecError, match="cannot become"):
        read_priors(small_spec(priors={"tau_mean": mixture}).priors)
