"""Sensitivity: what depends on a prior, on a block, on an assumption, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from designs import full_cohort, joint_spec, small_cohort, small_spec
from nssi_bayes import fit, sensitivity
from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.joint import BLOCKS
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.marginal import evaluate, grid_settings
from nssi_bayes.blocks.parameter import Parameter, draw
from nssi_bayes.build import Built, build, build_design, fingerprint
from nssi_bayes.fit.sample import Drawn, sample
from nssi_bayes.integrate.quadrature import Moments
from nssi_bayes.sensitivity.conclusions import changes, conclusions, state
from nssi_bayes.sensitivity.scaling import THRESHOLD, log_priors, power_scale
from nssi_bayes.sensitivity.variants import Fitted, Variant, scaled, variants
from nssi_bayes.spec import JointSpec, Params, Sampler, parse, read_model
from nssi_bayes.spec.settings import Sensitivity
from nssi_bayes.store import (
    Layout,
    read_dataset,
    read_json,
    seed_sequence,
    write_dataset,
    write_text,
    write_tree,
)

type Array = np.ndarray[Any, Any]
SHAPE = (4, 1000)


def _conjugate(
    prior_sd: float, data_sd: float
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Posterior of a mean with prior N(0, prior_sd) and likelihood N(1, data_sd), and a bystander."""
    rng = np.random.default_rng(0)
    precision = prior_sd**-2 + data_sd**-2
    draws = data_sd**-2 / precision + precision**-0.5 * rng.standard_normal(SHAPE)
    other = rng.standard_normal(SHAPE)
    priors = {
        "m": stats.norm.logpdf(draws.ravel(), 0, prior_sd), "o": stats.norm.logpdf(other.ravel(), 0, 1),
    }  # fmt: skip
    likelihoods = {
        "items": stats.norm.logpdf(1.0, draws.ravel(), data_sd), "outcome": 1e-3 * other.ravel(),
    }  # fmt: skip
    return {"mean": draws, "bystander": other}, priors, likelihoods


def test_a_strong_prior_is_named_and_a_weak_one_is_not() -> None:
    found = {row["conclusion"]: row for row in power_scale(*_conjugate(0.3, 0.3))[0]}
    row = found["mean"]
    assert row["strongest_prior"] == "m"
    assert row["strongest_prior_sensitivity"] > 0.05
    assert row["blocks"]["items"] > 0.05 > row["blocks"]["outcome"]
    assert "prior of m and with the data" in row["diagnosis"]
    weak = {row["conclusion"]: row for row in power_scale(*_conjugate(20.0, 0.1))[0]}["mean"]
    assert weak["strongest_prior_sensitivity"] < 0.02
    assert weak["diagnosis"] == "no sensitivity to the prior"


def test_what_the_data_do_not_touch_is_led_by_its_prior() -> None:
    found = {row["conclusion"]: row for row in power_scale(*_conjugate(1.0, 0.3))[0]}
    assert found["bystander"]["strongest_prior"] == "o"
    assert "led by the prior, of o" in found["bystander"]["diagnosis"]


def test_what_moves_by_chance_alone_is_not_called_sensitive() -> None:
    rng = np.random.default_rng(11)
    conclusions = {f"c{i}": rng.standard_normal((4, 1000)) for i in range(40)}
    priors = {"many": 16 * rng.standard_normal(4000), "one": rng.standard_normal(4000)}
    rows, limits = power_scale(conclusions, priors, {"items": 10 * rng.standard_normal(4000)})
    assert max(row["prior"] for row in rows) > THRESHOLD  # by chance, as 4 000 draws of such a weight do
    assert limits["many"] > limits["one"] == THRESHOLD
    assert sum(row["sensitive"] for row in rows) <= 8


def test_densities_of_priors_are_those_of_scipy_and_of_top_level_priors_only() -> None:
    rng = np.random.default_rng(1)
    declared = [
        Parameter("a", ("x",), "normal", mu=0.3, sigma=0.5), Parameter("t", (), "halfnormal", sigma=0.4),
        Parameter("l", ("x",), "lognormal", mu=0.5, sigma=0.6), Parameter("z", ("x",), scale="t"),
        Parameter("d", ("x",), "dirichlet", alpha=2.0), Parameter("R", ("x", "y"), "lkj", alpha=3.0),
        Parameter("f", ("x",), "dirichlet", alpha=1.0),
    ]  # fmt: skip
    theta = draw(declared, {"x": [0, 1, 2], "y": [0, 1, 2]}, rng, 50)
    found = log_priors(theta, declared)
    assert set(found) == {"a", "t", "l", "d", "R"}
    np.testing.assert_allclose(found["a"], stats.norm(0.3, 0.5).logpdf(theta["a"]).sum(axis=1))
    np.testing.assert_allclose(found["t"], stats.halfnorm(scale=0.4).logpdf(theta["t"]))
    np.testing.assert_allclose(
        found["l"], stats.lognorm(0.6, scale=np.exp(0.5)).logpdf(theta["l"]).sum(axis=1)
    )
    dirichlet = [stats.dirichlet([2.0] * 3).logpdf(v) for v in theta["d"]]
    np.testing.assert_allclose(np.diff(found["d"]), np.diff(dirichlet))
    root = theta["R"]
    correlation = root @ np.swapaxes(root, 1, 2)
    np.testing.assert_allclose(found["R"], 2 * np.log(np.linalg.det(correlation)))


def test_a_conclusion_changes_with_its_sign_or_the_rope() -> None:
    rng = np.random.default_rng(2)
    noise = 0.1 * rng.standard_normal(SHAPE)
    before = {"a": 0.5 + noise, "b": 0.3 + noise, "c": noise, "d": -0.3 + noise, "gone": noise}
    after = {"a": 0.5 + noise, "b": 0.05 + noise, "c": 0.02 + noise, "d": 0.3 + noise, "new": noise}
    found = changes(before, after, interval=0.9, rope=0.2)
    assert [row["conclusion"] for row in found["which"]] == ["b", "d"]
    assert (found["conclusions"], found["reversed"], found["not_compared"]) == (4, 1, 2)
    assert found["largest_shift_of"] == "d"
    assert found["largest_shift"] == pytest.approx(6, abs=0.2)
    assert state(before["a"], interval=0.9, rope=0.2)["beyond_rope"]
    assert not state(before["b"], interval=0.9, rope=0.2)["beyond_rope"]


def _built(people: int = 60) -> tuple[Built, Fitted]:
    spec = joint_spec(outcome="severity")
    built = build_design(spec, make_design(full_cohort(people, seed=4), spec))
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(5), 3)
    functions = len(built.design.plain_of)
    mean = np.random.default_rng(6).standard_normal((3, people, functions))
    covariance = np.tile(0.3 * np.eye(functions), (3, people, 1, 1))
    return built, Fitted(theta, Moments(np.zeros((3, people)), mean, covariance))


def _of(built: Built, fitted: Fitted, *refits: str, **settings: Any) -> list[Variant]:
    asked = Sensitivity(refits=refits, **settings)  # type: ignore[arg-type]
    return list(variants(built, asked, fitted, np.random.default_rng(1)))


def test_scales_of_all_top_level_priors_are_halved_and_doubled() -> None:
    built, fitted = _built()
    half, double = _of(built, fitted, "half", "double")
    assert half.built is not None
    assert double.built is not None
    for p, small, large in zip(built.parameters, half.built.parameters, double.built.parameters, strict=True):
        top = p.scale is None and p.family in ("normal", "halfnormal", "lognormal")
        for changed, factor in ((small, 0.5), (large, 2.0)):
            np.testing.assert_allclose(changed.sigma, np.asarray(p.sigma) * (factor if top else 1))
            np.testing.assert_allclose(changed.mu, p.mu)
    assert len({fingerprint(b, b.spec) for b in (built, half.built, double.built)}) == 3


def test_a_covariate_is_left_out_wherever_it_enters() -> None:
    built, fitted = _built()
    (motion,) = _of(built, fitted, "motion")
    assert motion.built is not None
    design = motion.built.design
    for dim, field in ((n.CONFOUND, "confound"), (n.CONFOUND_EDGE, "confound_edge")):
        at = [i for i, v in enumerate(design.coords[dim]) if "motion" in v]
        assert len(at) == 1
        gone = np.delete(np.arange(len(design.coords[dim])), at)
        assert not getattr(design, field)[:, at].any()
        np.testing.assert_array_equal(getattr(design, field)[:, gone], getattr(built.design, field)[:, gone])


def test_what_is_not_there_is_said_and_not_fitted() -> None:
    built, fitted = _built()
    (variant,) = _of(built, fitted, "medication")
    assert variant.built is None
    assert variant.note
    spec = small_spec()
    design = make_design(small_cohort(40), spec)
    small = build_design(spec, design)
    (variant,) = _of(small, fitted, "missing_scans")
    assert variant.built is None


def test_each_site_is_left_out_once() -> None:
    built, fitted = _built()
    found = _of(built, fitted, "site")
    sites = built.design.coords[n.SITE]
    assert [v.name for v in found] == [f"without site {s}" for s in sites]
    for s, variant in enumerate(found):
        assert variant.built is not None
        assert not variant.built.design.site[:, s].any()
        assert len(variant.built.design.site) == int((built.design.site[:, s] == 0).sum())


@pytest.mark.parametrize("kind", ["missing_scans", "missing_outcome"])
def test_what_is_missing_is_filled_in_deltas_apart(kind: str) -> None:
    """What was seen stays; what was not differs between deltas by their difference, exactly."""
    built, fitted = _built()
    low, middle, high = (v.built.design for v in _of(built, fitted, kind, deltas=(-0.5, 0.0, 0.5)) if v.built)
    old = built.design

    def filled(design: Design) -> Array:
        if kind == "missing_outcome":
            assert design.outcome_seen.all()
            np.testing.assert_array_equal(design.outcome[old.outcome_seen], old.outcome[old.outcome_seen])
            return design.outcome[~old.outcome_seen]
        assert sorted(design.scanned) == sorted(design.connected) == list(range(len(old.diagnosis)))
        np.testing.assert_array_equal(design.activation[: len(old.scanned)], old.activation)
        np.testing.assert_array_equal(design.activation_seen[: len(old.scanned)], old.activation_seen)
        return design.activation[len(old.scanned) :]

    values = [filled(d) for d in (low, middle, high)]
    assert values[0].size > 0
    np.testing.assert_allclose(values[1] - values[0], 0.5)
    np.testing.assert_allclose(values[2] - values[1], 0.5)
    assert np.std(values[1]) > 0.3


def test_conclusions_are_named_by_their_labels() -> None:
    built, _ = _built()
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(5), 20)
    values = {k: (v @ np.swapaxes(v, 1, 2) if k.startswith("Omega") else v)[None] for k, v in theta.items()}
    found = conclusions(label(values, built.parameters, built.design))
    levels = values["A"][0]
    np.testing.assert_allclose(
        found["contrast adjusted[mood - bipolar, emotion_regulation]"][0], levels[:, 0, 0] - levels[:, 0, 1]
    )
    assert sum(k.startswith("Omega[") for k in found) == 3
    assert sum(k.startswith("B[") for k in found) == 3 * 2
    assert "w[self_punishment]" in found


def test_every_variant_integrates_with_the_nodes_of_the_posterior() -> None:
    """Those of steep items are finer; the marginal likelihood takes `scaled`, at all scales, too."""
    built, fitted = _built()
    asked = ("half", "informed", "motion", "site", "missing_scans", "missing_outcome")
    (same,) = _of(built, fitted, "weak")
    assert same.note == "the priors are the weak ones already"
    (other,) = _of(built, fitted, "informed")
    assert other.built is not None
    (weak,) = _of(other.built, fitted, "weak")
    assert weak.built is not None
    assert weak.built.spec.prior_set == "weak"
    for fine in (False, True):
        found = [v.built for v in _of(replace(built, fine=fine), fitted, *asked) if v.built is not None]
        assert len(found) > len(asked)
        assert {v.fine for v in found} == {fine}
        assert scaled(replace(built, fine=fine), 1.0).fine == fine


def _line(tmp: Any) -> tuple[Layout, dict[str, Any]]:
    layout = Layout(tmp)
    cohort = small_cohort(50)
    write_dataset(layout.cohort("s"), cohort)
    functions = "  self_related: [affect_regulation, anti_dissociation, marking_distress]\n"
    write_text(layout.spec("q/m"), f"description: tiny\nfunctions:\n{functions}factors: [trauma]\n")
    content = {
        "study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"],
        "sampler": {"chains": 2, "tune": 100, "draws": 300},
    }  # fmt: skip
    return layout, content


def test_the_verb_writes_power_scaling_and_refits_only_what_is_asked_for(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, content = _line(tmp_path)
    params = parse(Params, content, where="test")
    spec = read_model(layout, "q/m")
    assert isinstance(spec, JointSpec)
    built = build(spec, read_dataset(layout.cohort("s")))
    tree = fit.fit(built, Sampler(chains=2, tune=100, draws=300), seed_sequence(1, "x"))
    tree.attrs.update(fingerprint=fingerprint(built, spec), fine=1)
    write_tree(layout.posterior("q/m"), tree)
    sensitivity.run(layout, params, model="q/m")
    found = read_json(layout.numbers("sensitivity", "q/m"))
    assert found["refits"] == []
    assert {row["conclusion"] for row in found["power_scaling"]} == set(found["states"])
    assert all(set(row["blocks"]) == {"factors", "items"} for row in found["power_scaling"])
    contracted = {row["parameter"]: row for row in found["contraction"]}
    assert contracted["mu_x"]["median"] > 0.7  # fifty people know a mean that the prior does not
    asked = {**content, "sensitivity": {"models": ["q/m"], "refits": ["double", "medication"]}}
    nodes = []
    monkeypatch.setattr(sensitivity, "sample", lambda b, *rest: nodes.append(b.fine) or sample(b, *rest))
    sensitivity.run(layout, parse(Params, asked, where="test"), model="q/m")
    assert nodes == [True]
    double, medication = read_json(layout.numbers("sensitivity", "q/m"))["refits"]
    assert double["conclusions"] == len(found["states"])
    assert "conclusions change" in double["text"]
    assert medication["changed"] is None
    assert "not done" in medication["text"]


def test_a_prior_without_a_variance_has_no_contraction() -> None:
    rng = np.random.default_rng(5)
    draws = [xr.Dataset({k: ((n.CHAIN, n.DRAW), rng.standard_normal(SHAPE)) for k in "ab"}) for _ in range(2)]
    tree = xr.DataTree.from_dict({"posterior": draws[0], "prior": 2 * draws[1]})
    known = [Parameter("a", (), "normal"), Parameter("b", (), "halfcauchy")]
    (row,) = sensitivity.contraction(tree, known)
    assert row["parameter"] == "a"
    assert row["median"] == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("reliability", [0.5, 1.0])
def test_filled_in_outcomes_go_with_scores_as_observed_ones_do(reliability: float) -> None:
    """With `delta` 0 outcomes go with factor scores, which hold error, as those of observed people do."""
    people, rng = 4000, np.random.default_rng(3)
    spec = small_spec(outcome="severity", disorder={})
    built = build(spec, small_cohort(people, factors={"trauma": reliability}))
    theta = {
        k: v[0] for k, v in draw(built.parameters, built.design.coords, np.random.default_rng(1), 1).items()
    }
    for name in {
        "M",
        "N",
        "mu_x",
        "G",
        "d",
        "outcome_covariate",
        "site_outcome",
        "u_site",
        "a",
    } & theta.keys():
        theta[name] = np.zeros_like(theta[name])
    theta |= {"B": np.full_like(theta["B"], 0.3), "q": np.array([0.6]), "w": np.full_like(theta["w"], 0.2)}
    theta |= {"sigma_x": np.array([reliability**0.5]), "sigma_outcome": np.array(0.5)}
    design = generate(theta, built.design, np.random.default_rng(2))
    seen, there = rng.random(people) < 0.5, design.factor_seen[:, 0]
    design = replace(design, outcome_seen=seen, outcome=np.where(seen, design.outcome, 0.0))
    draws = {k: v[None] for k, v in theta.items()}
    moments = evaluate(draws, design, include=BLOCKS, grid=grid_settings(2))
    (variant,) = _of(replace(built, design=design), Fitted(draws, moments), "missing_outcome", deltas=(0.0,))
    assert variant.built is not None
    found = variant.built.design
    slopes, errors = zip(
        *(_regressed(found.outcome[who], found.factor[who, 0]) for who in (seen & there, ~seen & there)),
        strict=True,
    )
    assert abs(slopes[0] - slopes[1]) < 4 * np.hypot(*errors)


def _regressed(y: Array, x: Array) -> tuple[float, float]:
    """Return a slope and its standard error."""
    found = stats.linregress(x, y)
    return float(found.slope), float(found.stderr)


def test_a_refit_takes_the_draws_that_the_spec_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sampler] = []

    def taken(built: Built, sampler: Sampler, seeds: np.random.SeedSequence) -> Any:
        asked.append(sampler)
        raise InterruptedError

    monkeypatch.setattr(sensitivity, "sample", taken)
    content = {"study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"]}
    params = parse(Params, {**content, "sampler": {"chains": 3}}, where="test")
    built = build(small_spec(sampler={"tune": 170, "draws": 2300}), small_cohort(40))
    with pytest.raises(InterruptedError):
        sensitivity._refit(params, Variant("twice", built), {}, np.random.SeedSequence(1))
    assert [(s.chains, s.tune, s.draws) for s in asked] == [(3, 170, 2300)]


@pytest.mark.parametrize("slow", [False, True])
def test_a_refit_is_certified_by_the_rules_of_a_fit(monkeypatch: pytest.MonkeyPatch, slow: bool) -> None:
    """Chains that go through the same values from low to high agree, and hold few effective draws."""
    built = build(small_spec(), small_cohort(40))
    drawn = draw(built.parameters, built.design.coords, np.random.default_rng(2), 500)
    drawn["lambda"] = 1.2 + 0.05 * np.tanh(drawn["lambda"])  # steeper items need other nodes
    order = np.tile(np.argsort(drawn["B"][:, 0, 0]) if slow else np.arange(500), 2)
    correlated = {p.name for p in built.parameters if p.is_correlation}
    values = {
        name: np.broadcast_to(
            (v @ np.swapaxes(v, 1, 2) if name in correlated else v)[order], (4, 1000, *v.shape[1:])
        )
        for name, v in drawn.items()
    }
    energy = np.random.default_rng(3).standard_normal((4, 1000))
    zero = np.zeros((4, 1000), dtype=int)
    statistics = xr.Dataset(
        {k: (("chain", "draw"), v) for k, v in {"diverging": zero, "energy": energy, "depth": zero}.items()}
    )
    found = Drawn(values, statistics, 0.6, 150, rerun=False)
    monkeypatch.setattr(sensitivity, "sample", lambda *_: found)
    content = {"study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"]}
    params, before = (
        parse(Params, content, where="test"),
        conclusions(label(values, built.parameters, built.design)),
    )
    row = sensitivity._refit(params, Variant("again", built), before, np.random.SeedSequence(1))
    assert row["max_rhat"] < 1.01
    assert row["divergences"] == row["changed"] == 0
    assert row["certified"] is not slow
    assert row["text"].endswith("; this refit is not certified") is slow
