"""The gate, the participant-level scores and the summaries, on fits that are right and fits that are not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import arviz_stats as azs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from designs import few, full_cohort, joint_spec, prior_tree, small_cohort, small_spec
from folders import params
from nssi_bayes import assemble, extract, ingest, score, simulate
from nssi_bayes import check as verb
from nssi_bayes import names as n
from nssi_bayes.blocks import joint, marginal, measurement
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.labelled import theta_of
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, build_design
from nssi_bayes.check import estimates, scores
from nssi_bayes.check.gate import judge, judge_ends
from nssi_bayes.check.levels import as_met, averages, weights_of
from nssi_bayes.check.printed import derived
from nssi_bayes.check.summarised import Summary
from nssi_bayes.compare import k_hat_limit
from nssi_bayes.fit import fit
from nssi_bayes.spec import JointSpec, OutcomeFrom, Sampler, parse, read_model, read_params
from nssi_bayes.store import Layout, read_dataset

type Array = np.ndarray[Any, Any]

ROOT = Path(__file__).parents[1]
PEOPLE = 60
SHORT = Sampler(chains=4, tune=200, draws=250)


def _made(spec: Any) -> Design:
    """Data from one draw of the prior, with loadings as published instruments have them."""
    design = make_design(small_cohort(PEOPLE), spec)
    rng = np.random.default_rng(3)
    parameters = build_design(spec, design).parameters
    theta = {name: v[0] for name, v in draw(parameters, design.coords, rng, 1).items()}
    theta["lambda"] = np.full_like(theta["lambda"], 1.8)
    return generate(theta, design, rng)


class Fitted:
    """One fit and what `check` makes of it."""

    def __init__(self) -> None:
        spec = small_spec(outcome="severity")
        self.built: Built = build_design(spec, _made(spec))
        self.design = self.built.design
        self.tree = fit(self.built, SHORT, np.random.SeedSequence(9))
        self.posterior = self.tree["posterior"].to_dataset()
        self.theta = theta_of(self.posterior, self.built.parameters)
        self.log_likelihood, self.moments = scores.evaluate(self.theta, self.design)
        self.blocks = joint.blocks_of(self.design)
        self.scores = scores.leave_one_out(self.log_likelihood, self.blocks, chains=4)
        names = {p.name for p in self.built.parameters}
        found = averages(self.moments, weights_of(self.design))
        met = as_met(found, self.design, np.random.default_rng(0), parameters=names)
        assert met is not None
        self.met = met

    def quantities(self) -> dict[str, Array]:
        printed: list[Array] = []
        spread, cohort = np.ones((len(self.met.level), len(self.design.coords["function"]))), xr.Dataset()
        found = estimates.estimate(
            self.tree, self.design, spread, self.met, params=params(), cohort=cohort, printed=printed
        )
        total = self.log_likelihood[tuple(self.blocks)].sum(axis=1)
        return {"log_likelihood": total.reshape(4, -1), **derived(found, printed, self.posterior)}


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return Fitted()


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_the_scores_are_those_of_arviz(fitted: Fitted) -> None:
    """`arviz_stats.loo` takes one relative efficiency for all people, we one for each: nearly equal.

    Where k-hat is over its limit the length of the tail, and with it the score, depends on that.
    """
    total = fitted.log_likelihood[tuple(fitted.blocks)].reshape(4, -1, PEOPLE)
    tree = xr.DataTree.from_dict(
        {
            "posterior": fitted.posterior,
            "log_likelihood": xr.Dataset({"data": (("chain", "draw", "participant"), total)}),
        }
    )
    theirs = azs.loo(tree, pointwise=True)
    good = fitted.scores.k_hat <= k_hat_limit(total.shape[0] * total.shape[1])
    assert good.sum() > 0.9 * PEOPLE
    away = fitted.scores.elpd["total"] - theirs.elpd_i.to_numpy()
    np.testing.assert_allclose(away[good], 0.0, atol=0.03)
    assert abs(away[good].sum()) < 0.05
    assert fitted.scores.p_loo["total"] + away.sum() == pytest.approx(theirs.p, abs=1e-6)


def test_blocks_add_up_to_the_total(fitted: Fitted) -> None:
    parts = sum(fitted.scores.elpd[b] for b in fitted.blocks)
    np.testing.assert_allclose(parts, fitted.scores.elpd["total"], atol=1e-8)


def test_the_bulk_form_agrees_with_the_reference(fitted: Fitted) -> None:
    """Kernel and JAX, value by value, and moments against a dense grid of the same integral."""
    from nssi_bayes.integrate import quadrature

    grid = quadrature.make_grid(2, **marginal.grid_settings(2, fine=True))
    for s in (0, 499, 999):
        one = {name: jnp.asarray(v[s]) for name, v in fitted.theta.items()}
        for include, values in fitted.log_likelihood.items():
            reference = joint.log_likelihood(one, fitted.design, grid, include=include)
            np.testing.assert_allclose(values[s], reference, atol=1e-8)
        mean = joint.person_moments(one, fitted.design, grid).mean
        np.testing.assert_allclose(fitted.moments.mean[s], mean, atol=1e-7)


def _optimism(theta: dict[str, Array], design: Design, moments: Any) -> float:
    """Return how much better items look if the latents of the person left out stay fitted to them."""
    rng = np.random.default_rng(1)
    root = np.linalg.cholesky(moments.covariance)
    eta = moments.mean + (root @ rng.standard_normal((*moments.mean.shape, 1)))[..., 0]

    def items_given(one: Any, eta: Any) -> Any:
        items = measurement.Items(one, design)
        return sum(items.curve(f, eta[:, [f]])[:, 0] for f in range(eta.shape[1])) + items.log_gap

    draws = {name: jnp.asarray(v) for name, v in theta.items()}
    conditional = np.asarray(jax.jit(jax.vmap(items_given))(draws, jnp.asarray(eta)))
    given = scores.leave_one_out({("items",): conditional}, ("items",), chains=4)
    found = marginal.evaluate(theta, design, include=("items",), grid=marginal.grid_settings(2, fine=True))
    left_out = scores.leave_one_out({("items",): found.log_integral}, ("items",), chains=4)
    return float(given.elpd["items"].sum() - left_out.elpd["items"].sum())


def test_conditional_scores_are_another_thing(fitted: Fitted) -> None:
    """Leaving one person out while their latents stay fitted to them rewards overfitting."""
    assert _optimism(fitted.theta, fitted.design, fitted.moments) > 20


@pytest.mark.slow
def test_conditional_scores_are_another_thing_on_the_demo(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    (tmp_path / "data" / "demo").mkdir(parents=True)
    shutil.copy(ROOT / "data" / "demo" / "study.yaml", tmp_path / "data" / "demo")
    params = read_params(ROOT / "profiles" / "demo.yaml")
    params = params.model_copy(update={"source": layout.bids("demo")})
    for room in (simulate, ingest, score, extract, assemble):
        room.run(layout, params)
    spec = parse(JointSpec, read_model(Layout(ROOT), "structure/shared").model_dump(), where="shared")
    built = build(spec, read_dataset(layout.cohort("demo")), where="shared")
    posterior = fit(built, SHORT, np.random.SeedSequence(9))["posterior"].to_dataset()
    theta = theta_of(posterior, built.parameters)
    _, moments = scores.evaluate(theta, built.design)
    assert _optimism(theta, built.design, moments) > 20


def test_who_has_nothing_that_is_scored_scores_nothing() -> None:
    """A person without the outcome has likelihood 1 at every draw; the others are not touched."""
    rng = np.random.default_rng(4)
    values = rng.normal(-1.0, 0.1, (400, 3))
    values[:, 1] = 0.0
    found = scores.leave_one_out({("outcome",): values}, ("outcome",), chains=4)
    assert found.elpd["outcome"][1] == pytest.approx(0.0, abs=1e-12)
    assert np.isfinite(found.k_hat).all()
    assert found.elpd["outcome"][[0, 2]] == pytest.approx([-1.01, -1.01], abs=0.03)


def test_the_outcome_is_scored_given_items_where_there_are_no_factors() -> None:
    rng = np.random.default_rng(5)
    items, outcome = rng.normal(-9, 0.1, (400, 3)), rng.normal(-1, 0.1, (400, 3))
    values = {("items",): items, ("items", "outcome"): items + outcome}
    found = scores.leave_one_out(values, ("items", "outcome"), chains=4)
    np.testing.assert_array_equal(found.elpd[scores.OUTCOME_GIVEN], found.elpd["outcome"])


def _stuck(posterior: xr.Dataset) -> xr.Dataset:
    changed = posterior.copy(deep=True)
    changed["w"][{"chain": 2}] = changed["w"][{"chain": 2}] + 5
    return changed


def _flat(posterior: xr.Dataset) -> xr.Dataset:
    changed = posterior.copy(deep=True)
    changed["w"][{"chain": 1}] = 0.1
    return changed


def _short(posterior: xr.Dataset) -> xr.Dataset:
    return posterior.isel(draw=slice(0, 40))


def _one_chain(posterior: xr.Dataset) -> xr.Dataset:
    return posterior.isel(chain=[0, 1])


@pytest.mark.parametrize(
    ("fault", "red"),
    [(_stuck, "rhat"), (_flat, "rhat"), (_short, "draws"), (_one_chain, "chains"), (_short, "ess_bulk")],
)
def test_a_planted_fault_turns_the_gate_red(
    fitted: Fitted, fault: Callable[[xr.Dataset], xr.Dataset], red: str
) -> None:
    changed = fault(fitted.posterior)
    tree = fitted.tree.copy()
    tree["posterior"] = xr.DataTree(changed)
    tree["sample_stats"] = xr.DataTree(
        fitted.tree["sample_stats"].to_dataset().sel(chain=changed.chain, draw=changed.draw)
    )
    gate = judge(tree, {})
    assert not gate.certified
    assert red in [c.name for c in gate.checks if c.passed is False]


def test_a_divergence_turns_the_gate_red(fitted: Fitted) -> None:
    tree = fitted.tree.copy(deep=True)
    tree["sample_stats"]["diverging"][{"chain": 0, "draw": 3}] = True
    names = [c.name for c in judge(tree, {}).checks if c.passed is False]
    assert "divergences" in names


def test_the_gate_sees_every_reported_quantity(fitted: Fitted) -> None:
    """A contrast or the log-likelihood that does not mix is seen even if all parameters mix."""
    quantities = fitted.quantities()
    assert "log_likelihood" in quantities
    kinds = {"contrasts[adjusted": 2 * 10, "contrasts[as_met": 2 * 10, "levels[as_met": 2 * 5}
    for kind, count in kinds.items():
        assert sum(name.startswith(kind) for name in quantities) == count, kind
    for what in ("finite_sd", "largest"):
        assert sum("heterogeneity[" in k and f"posterior, {what}" in k for k in quantities) == 2
    for name in ("log_likelihood", *(next(k for k in quantities if k.startswith(kind)) for kind in kinds)):
        broken = {**quantities, name: quantities[name] + 1e4 * np.arange(4)[:, None]}
        gate = judge(fitted.tree, broken)
        assert gate.sampling["worst"][0]["quantity"] == name
        assert gate.sampling["max_rhat"] > 2


@pytest.mark.parametrize("model", ["heterogeneity/disorder_circuits", "structure/skewed"])
def test_every_interval_of_a_page_is_of_a_quantity_that_is_judged(model: str) -> None:
    """A page has as many intervals as there are judged parameters and derived quantities behind them."""
    spec, cohort = joint_spec(model), full_cohort(30)
    built = build(spec, cohort)
    tree, printed = prior_tree(built), list[Array]()
    functions = len(built.design.coords["function"])
    found = estimates.estimate(
        tree, built.design, np.random.default_rng(1).uniform(1, 2, (100, functions)), None,
        params=params(), cohort=cohort, printed=printed,
    )  # fmt: skip
    posterior = tree["posterior"].to_dataset()
    quantities = derived(found, printed, posterior)
    assert not [name for name in quantities if name.startswith("printed")]
    judged = {q.ravel().tobytes() for q in quantities.values()}
    for array in posterior.data_vars.values():
        flat = array.transpose("chain", "draw", ...).to_numpy().reshape(100, -1)
        judged |= {np.ascontiguousarray(column).tobytes() for column in flat.T}
    left = [d for d in printed if np.ascontiguousarray(d).tobytes() not in judged and np.ptp(d) > 0]
    values = np.array([np.frombuffer(one) for one in judged])
    assert all(np.isclose(values, d, rtol=1e-6, atol=1e-9).all(axis=1).any() for d in left)
    told = {name.split("[")[0] for name in quantities}
    if model.endswith("skewed"):
        assert "skewness" in told
        assert any("excess_kurtosis" in name for name in quantities)
    else:
        assert told >= {"contrasts", "heterogeneity", "slopes_by_disorder", "rois", "edges"}
        for what in ("loadings", "edge loadings"):
            assert any(name.startswith(f"heterogeneity[{what}, ") for name in quantities)
        assert any(name.startswith("rois[") and name.endswith("standardised]") for name in quantities)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_a_fit_is_judged_on_what_its_page_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, cohort = small_spec(outcome="severity"), small_cohort(30)
    seen: dict[str, Array] = {}

    def stop(_: Any, quantities: dict[str, Array], **__: Any) -> None:
        seen.update(quantities)
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "judge", stop)
    tree = prior_tree(build(spec, cohort))
    with pytest.raises(KeyboardInterrupt):
        verb._joint(spec, cohort, tree, params=params(), rng=np.random.default_rng(2), where="here")
    assert "log_likelihood" in seen
    assert {name.split("[")[0] for name in seen} >= {"levels", "contrasts", "heterogeneity"}
    assert all(draws.shape == (4, 25) for draws in seen.values())


def test_the_ends_of_every_printed_interval_are_judged() -> None:
    """The hardest end is that of ArviZ; what is fixed, and the prior, do not count."""
    sticky = np.repeat(np.random.default_rng(8).standard_normal((4, 25)), 10, axis=1)
    summary = Summary(0.9, 0.2, chains=4)
    summary.interval(np.random.default_rng(9).standard_normal(1000))
    summary.interval(np.ones(1000))
    free = summary.fewest()
    summary.interval(np.zeros(7), prior=True)
    assert summary.fewest() == free
    summary.signed(sticky.ravel())
    values = xr.DataArray(sticky, dims=("chain", "draw")).rename("v")
    theirs = min(float(azs.ess(values, method="quantile", prob=p)) for p in (0.05, 0.95))
    assert summary.fewest() == pytest.approx(theirs)
    assert theirs < free
    assert judge_ends(999.0).passed is False
    assert judge_ends(1000.0).passed is True


def test_loadings_of_disorders_are_less_their_mean() -> None:
    rng = np.random.default_rng(10)
    draws = rng.normal(0.3, 0.1, (200, 2, 3, 2))
    coords = {n.DISORDER: ["a", "b"], n.ROI: ["X", "Y", "Z"], n.FUNCTION: ["f", "g"]}
    flat = xr.Dataset({"L_disorder": (("sample", *coords), draws)}, coords=coords)
    places = {n.ROI_NETWORK: ["u", "u", "v"], n.ROI_HEMISPHERE: ["L", "R", "M"]}
    places |= {axis: [1.0, 2.0, 3.0] for axis in (n.ROI_X, n.ROI_Y, n.ROI_Z)}
    cohort = xr.Dataset(coords={n.ROI: ["X", "Y", "Z"], **{k: (n.ROI, v) for k, v in places.items()}})
    summary = Summary(0.9, 0.2, chains=4)
    rows = estimates._rois_by_disorder(summary, flat, cohort)
    assert len(rows) == 2 * 3 * 2
    (row,) = [r for r in rows if (r["function"], r["disorder"], r["roi"]) == ("g", "b", "Y")]
    expected = (draws[:, 1, 1, 1] - draws[:, 0, 1, 1]) / 2
    assert row["mean"] == pytest.approx(expected.mean())
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(expected, [0.05, 0.95])))
    assert (row["network"], row["hemisphere"], row["x"]) == ("u", "R", 2.0)
    assert len(summary._printed) == len(rows)  # their ends are judged with the others


def test_a_dropped_block_changes_the_scores(fitted: Fitted) -> None:
    """Were the likelihood to lose a block, its scores would be zero; none is."""
    for block in fitted.blocks:
        assert np.abs(fitted.scores.elpd[block]).sum() > 1


def test_observed_values_decide_the_digest(fitted: Fitted) -> None:
    same = scores.observed_digests(fitted.design, "severity")
    assert same == scores.observed_digests(replace(fitted.design), "severity")
    response = fitted.design.response.copy()
    response[0, 0] = 1 if response[0, 0] != 1 else 0
    other = scores.observed_digests(replace(fitted.design, response=response), "severity")
    assert {k for k in same if same[k] != other[k]} == {"items", "total"}


def test_as_met_is_the_difference_of_group_means(fitted: Fitted) -> None:
    has = fitted.design.diagnosis[:, 0] > 0
    mean = fitted.moments.mean
    plain = mean[:, has].mean(axis=1) - mean[:, ~has].mean(axis=1)
    np.testing.assert_allclose(fitted.met.level[:, 0].mean(axis=0), plain.mean(axis=0), atol=0.03)
    assert (fitted.met.level[:, 0].std(axis=0) > plain.std(axis=0)).all()


def test_rounding_of_who_has_no_data_is_not_smoothed() -> None:
    rng = np.random.default_rng(4)
    total = rng.normal(-20, 0.4, (2000, 3))
    total[:, 1] = 1e-13 * rng.standard_t(2, 2000)
    log_weight, k_hat = scores.leave_out(total, chains=4)
    assert k_hat[1] == 0
    np.testing.assert_allclose(log_weight[1], -np.log(2000))
    assert (k_hat[[0, 2]] != 0).all()


@pytest.mark.slow
def test_exact_refits_agree_for_ten_people(fitted: Fitted) -> None:
    """PSIS against leaving the person out for real; the Monte Carlo errors of both are allowed for."""
    spec, total = small_spec(outcome="severity"), fitted.log_likelihood[tuple(fitted.blocks)]
    log_weight, _ = scores.leave_out(total, chains=4)
    order = np.argsort(-fitted.scores.k_hat)
    for person in [*order[:5], *np.random.default_rng(2).choice(order[5:], 5, replace=False)]:
        keep = np.setdiff1d(np.arange(PEOPLE), [person])
        tree = fit(build_design(spec, few(fitted.design, keep)), SHORT, np.random.SeedSequence(int(person)))
        theta = theta_of(tree["posterior"].to_dataset(), fitted.built.parameters)
        alone = few(fitted.design, np.array([person]))
        values = marginal.evaluate(
            theta, alone, include=tuple(fitted.blocks), grid=marginal.grid_settings(2, fine=True)
        ).log_integral[:, 0]
        exact = np.log(np.exp(values - values.max()).mean()) + values.max()
        error = np.std(np.exp(values - values.max())) / np.mean(np.exp(values - values.max())) / np.sqrt(300)
        weight, density = np.exp(log_weight[person]), np.exp(total[:, person] - total[:, person].max())
        mean = (weight * density).sum()
        own = np.sqrt((weight**2 * (density - mean) ** 2).sum()) / mean
        assert abs(exact - fitted.scores.elpd["total"][person]) < max(0.1, 3 * np.hypot(error, own))


def test_what_the_outcome_is_conditioned_on_is_what_the_model_has() -> None:
    for blocks, given in ((["factors", "items"], "factors, items"), (["items"], "items")):
        assert scores.conditions([*blocks, "outcome"], OutcomeFrom())[scores.OUTCOME_GIVEN] == given
