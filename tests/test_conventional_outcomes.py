"""The baseline of a yes and of a count: Bambi's families, its own scores, people left out."""

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit
from scipy.stats import bernoulli, nbinom

import test_conventional as gaussian
from nssi_bayes import names as n
from nssi_bayes.blocks import conventional
from nssi_bayes.errors import SpecError
from nssi_bayes.spec import Sampler

FAMILIES = (n.BERNOULLI, n.NEGATIVE_BINOMIAL, n.HURDLE)


def cohort(family: str) -> xr.Dataset:
    """Return the Gaussian cohort with another outcome, and exposures where it is a count."""
    found = gaussian.cohort()
    severity = found["outcome_value"].to_numpy()
    seen, rng = np.isfinite(severity), np.random.default_rng(4)
    rate = np.exp(1.0 + 0.5 * np.nan_to_num(severity))
    exposure = rng.uniform(0.5, 3.0, severity.shape)
    value = (severity > 0) * 1.0 if family == n.BERNOULLI else rng.poisson(exposure * rate) * 1.0
    value = value * rng.integers(0, 2, severity.shape) if family == n.HURDLE else value
    found["outcome_value"] = (("participant", "outcome"), np.where(seen, value, np.nan))
    if family in n.COUNTS:
        found[n.OUTCOME_EXPOSURE] = (("participant", "outcome"), np.where(seen, exposure, np.nan))
    return found.assign_coords({n.OUTCOME_FAMILY: ("outcome", [family])})


def test_a_count_has_its_exposure_as_offset() -> None:
    people = cohort(n.NEGATIVE_BINOMIAL)
    data = conventional.table(gaussian.spec(), people)
    formula = conventional.written(gaussian.spec(), data)
    assert formula.endswith(" + offset(log_exposure)")
    exposure = people[n.OUTCOME_EXPOSURE].to_numpy()[: len(data), 0]
    np.testing.assert_allclose(np.exp(data["log_exposure"]), exposure)
    assert (data["outcome"] == people["outcome_value"].to_numpy()[: len(data), 0]).all()
    assert "offset" not in conventional.formula(gaussian.spec(), cohort(n.BERNOULLI))


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_scipys_log_probabilities(family: str) -> None:
    people = cohort(family)
    data = conventional.table(gaussian.spec(), people)
    columns = [c for c in data.columns if c not in ("outcome", "pattern", "log_exposure")]
    rng = np.random.default_rng(5)
    dims = ("chain", "draw")
    names = [f"{of}{name}" for of in ("", "psi_") for name in ["Intercept", *columns]]
    draws = xr.Dataset({name: (dims, 0.3 * rng.normal(size=(2, 3))) for name in names})
    draws["alpha"] = (dims, rng.uniform(0.5, 2, (2, 3)))
    found = conventional.log_likelihood(draws, gaussian.spec(), people)
    one = draws.isel(chain=1, draw=2)
    mu = float(one["Intercept"]) + data[columns].to_numpy() @ [float(one[c]) for c in columns]
    if family == n.BERNOULLI:
        expected = bernoulli.logpmf(data["outcome"], expit(mu))
    else:
        size, rate = float(one["alpha"]), np.exp(mu + data["log_exposure"])
        expected = nbinom.logpmf(data["outcome"], size, size / (size + rate))
    if family == n.HURDLE:
        own = np.array([float(one[f"psi_{c}"]) for c in columns])
        some = float(one["psi_Intercept"]) + data[columns].to_numpy() @ own
        behind = np.log(expit(some)) + expected - nbinom.logsf(0, size, size / (size + rate))
        expected = np.where(data["outcome"] > 0, behind, np.log(expit(-some)))
    np.testing.assert_allclose(found[5], expected, atol=1e-10)


def test_the_fingerprint_follows_the_family_and_the_exposure() -> None:
    marks = {conventional.fingerprint(gaussian.spec(), cohort(f)) for f in FAMILIES}
    longer = cohort(n.NEGATIVE_BINOMIAL)
    longer[n.OUTCOME_EXPOSURE][0] *= 2
    plain = cohort(n.BERNOULLI).assign_coords({n.OUTCOME_FAMILY: ("outcome", [n.GAUSSIAN])})
    marks |= {conventional.fingerprint(gaussian.spec(), c) for c in (longer, plain)}
    assert len(marks) == 5


def test_both_parts_of_a_hurdle_have_the_same_terms_and_one_the_offset() -> None:
    spec = gaussian.spec(pooled=True)
    data = conventional.table(spec, cohort(n.HURDLE))
    count, some = conventional.formulas(spec, data)
    assert count.replace(" + offset(log_exposure)", "") == some.replace("psi ~", "outcome ~")
    assert " | pattern)" in some
    assert conventional.written(spec, data) == f"{count}; {some}"


def test_an_ordinal_outcome_has_no_baseline_and_says_so() -> None:
    people = cohort(n.BERNOULLI).assign_coords({n.OUTCOME_FAMILY: ("outcome", [n.ORDINAL])})
    with pytest.raises(SpecError, match="is ordinal"):
        conventional.table(gaussian.spec(), people)


@pytest.mark.parametrize("pooled", [False, True])
def test_a_hurdle_is_scored_as_bambis_graph_does(*, pooled: bool) -> None:
    """At a point of its parameters, without a sampler: by name, both parts, and effects of patterns."""
    from nssi_bayes.fit.conventional import build_conventional

    people, spec = cohort(n.HURDLE), gaussian.spec(pooled=pooled)
    graph = build_conventional(spec, conventional.table(spec, people)).backend.model
    rng, inputs = np.random.default_rng(1), list(graph.value_vars)
    point = {k: v + 0.1 * rng.standard_normal(np.shape(v)) for k, v in graph.initial_point().items()}
    shown = [v for v in (*graph.free_RVs, *graph.deterministics) if v.name not in ("mu", "psi")]
    how = {"inputs": inputs, "mode": "FAST_COMPILE", "on_unused_input": "ignore"}
    (own,) = graph.compile_fn(graph.logp(vars=[graph["outcome"]], sum=False), **how)(point)
    values = graph.compile_fn(graph.replace_rvs_by_values(shown), **how)(point)
    dims = [("chain", "draw", *([n.PATTERN] if np.ndim(v) else [])) for v in values]
    draws = xr.Dataset(
        {v.name: (d, np.asarray(x)[None, None]) for v, d, x in zip(shown, dims, values, strict=True)}
    )
    if pooled:
        draws = draws.assign_coords({n.PATTERN: list(graph.coords["pattern__factor_dim"])})
    np.testing.assert_allclose(conventional.log_likelihood(draws, spec, people)[0], own, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_bambis_own_and_people_can_be_left_out(family: str) -> None:
    from nssi_bayes.crossvalidate.conventional import held_out
    from nssi_bayes.fit.conventional import build_conventional, fit_conventional

    people, spec = cohort(family), gaussian.spec()
    sampler = Sampler(chains=2, tune=300, draws=200)
    tree = fit_conventional(spec, people, sampler, np.random.SeedSequence(5))
    posterior = tree["posterior"].to_dataset()
    assert not {"participant", "mu", "p", "psi", "__obs__"} & {*posterior.dims, *posterior.data_vars}
    assert all("units" in v.attrs for v in posterior.data_vars.values())
    found = conventional.log_likelihood(posterior, spec, people)
    model = build_conventional(spec, conventional.table(spec, people))
    model.compute_log_likelihood(tree)
    own = tree["log_likelihood"]["outcome"].transpose("chain", "draw", ...).to_numpy()
    np.testing.assert_allclose(found, own.reshape(found.shape), rtol=0, atol=1e-8)
    out = np.array([3, 20, gaussian.PEOPLE - 1])
    left, _, rhat = held_out(spec, people, out, sampler, seeds=np.random.SeedSequence(6))
    assert left[2] == 0.0  # who has no outcome
    assert (left[:2] < 0).all()
    assert rhat < 1.1
