"""People left out for real: who they are, what the fit without them says, and what `compare` makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from artefacts import make_params, write_project
from designs import full_cohort, small_cohort, small_spec
from nssi_bayes import compare, crossvalidate
from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.conventional import log_predictive, table
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, build_design
from nssi_bayes.check import scores
from nssi_bayes.crossvalidate.folds import by_disorder, by_site, overlap, stratified
from nssi_bayes.crossvalidate.kept import Kept
from nssi_bayes.crossvalidate.refit import held_out, sets_of, without
from nssi_bayes.errors import ArtefactError
from nssi_bayes.fit.bridge import log_constant, log_marginal, log_ratio
from nssi_bayes.fit.sample import sample
from nssi_bayes.spec import ConventionalSpec, CrossValidation, Sampler, parse
from nssi_bayes.store import Layout, read_dataset, read_json, read_table, write_dataset

type Array = np.ndarray[Any, Any]
QUESTION = "heterogeneity"
MODELS = ["shared", "disorder_means", "disorder_circuits"]


def test_folds_hold_everybody_once_and_their_share_of_every_pattern_and_site() -> None:
    cohort = full_cohort(97)
    folds = stratified(cohort, 10, np.random.default_rng(1))
    assert sorted(np.concatenate(folds).tolist()) == list(range(97))
    assert {len(f) for f in folds} == {9, 10}
    has = cohort[n.DIAGNOSIS].transpose(n.PARTICIPANT, n.DISORDER).to_numpy().astype(int)
    site = cohort[n.SITE_OF].to_numpy().astype(str)
    stratum = np.array([f"{row.tolist()} {s}" for row, s in zip(has, site, strict=True)])
    for label in set(stratum):
        counts = [int((stratum[f] == label).sum()) for f in folds]
        assert max(counts) - min(counts) <= 1
    assert len(stratified(cohort.isel({n.PARTICIPANT: slice(4)}), 10, np.random.default_rng(1))) == 4


def test_groups_are_sites_and_everybody_who_has_a_disorder() -> None:
    cohort = full_cohort(50)
    sites = by_site(cohort)
    assert sorted(np.concatenate(list(sites.values())).tolist()) == list(range(50))
    disorders = by_disorder(cohort)
    assert list(disorders) == cohort[n.DISORDER].to_numpy().astype(str).tolist()
    has = cohort[n.DIAGNOSIS].transpose(n.PARTICIPANT, n.DISORDER).to_numpy()
    assert overlap(list(disorders.values()))
    assert not overlap(list(sites.values()))
    assert not overlap([])
    assert sum(map(len, disorders.values())) == int(has.sum()) > int((has.sum(axis=1) > 0).sum())


@pytest.mark.parametrize("size", [3, 30])
def test_the_density_of_a_group_is_that_of_a_conjugate_model(size: int) -> None:
    """y_i ~ N(m, 1), m ~ N(0, 1) but for 40 others: the group's density is a Gaussian in closed form."""
    rng = np.random.default_rng(size)
    others, group = rng.standard_normal(40) + 1, rng.standard_normal(size) + 1.3
    shape = (4, 1000)

    def posterior(data: Array) -> Array:
        precision = 1 + len(data)
        return data.sum() / precision + precision**-0.5 * rng.standard_normal(shape)

    def log_likelihood(m: Array) -> Array:
        return stats.norm.logpdf(group, m[..., None], 1).sum(axis=-1)

    found, error = log_ratio(
        log_likelihood(posterior(others)), log_likelihood(posterior(np.append(others, group)))
    )
    mean, precision = others.sum() / 41, 41.0
    covariance = np.eye(size) + 1 / precision
    truth = stats.multivariate_normal.logpdf(group, np.full(size, mean), covariance)
    assert error < 0.03
    assert abs(found - truth) < 4 * error


def test_the_constant_of_a_skewed_density_is_found() -> None:
    """x = A sinh(.15 u + .1) / .15 of 50 standard normals u, times e^7."""
    rng = np.random.default_rng(1)
    size, bend, shift = 50, 0.15, 0.1
    mix = rng.standard_normal((size, size)) / 7 + np.eye(size)
    constant = 7 - 0.5 * size * np.log(2 * np.pi) - np.linalg.slogdet(mix)[1]

    def log_density(x: Array) -> float:
        w = np.linalg.solve(mix, x)
        u = (np.arcsinh(bend * w) - shift) / bend
        return float(constant - 0.5 * u @ u - 0.5 * np.log1p((bend * w) ** 2).sum())

    draws = (np.sinh(bend * rng.standard_normal((4, 1000, size)) + shift) / bend) @ mix.T
    found, error = log_constant(log_density, draws, rng)
    assert error < 0.1
    assert abs(found - 7) < 4 * error


@pytest.mark.slow
def test_marginal_likelihoods_with_and_without_a_group_differ_by_its_density(built: Built) -> None:
    out = np.arange(0, 60, 12)
    blocks = tuple(joint.blocks_of(built.design))
    sampler = Sampler(chains=4, tune=200, draws=1000)
    part = build_design(built.spec, without(built.design, out))
    whole, error, max_rhat, _ = log_marginal(built, sampler, np.random.SeedSequence(1))
    rest, other, *_ = log_marginal(part, sampler, np.random.SeedSequence(2))
    values = []
    for model in (part, built):
        drawn = sample(model, sampler, np.random.SeedSequence(3))
        found = sets_of(_theta(model, drawn.values), built.design, out, last=True)[blocks]
        values.append(found.sum(axis=1).reshape(4, -1))
    ratio, third = log_ratio(*values)
    assert max(error, other) < 0.1
    assert max_rhat < 1.01
    assert abs(whole - rest - ratio) < 4 * np.sqrt(error**2 + other**2 + third**2)


def _theta(built: Built, values: dict[str, Array]) -> dict[str, Array]:
    correlated = {p.name for p in built.parameters if p.family == "lkj"}
    flat = {k: v.reshape(-1, *v.shape[2:]) for k, v in values.items()}
    return {k: np.linalg.cholesky(v) if k in correlated else v for k, v in flat.items()}


def test_draws_that_never_meet_are_said_to_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    far, near = rng.normal(-900, 3, (2, 500)), rng.normal(-40, 3, (2, 500))
    _, error = log_ratio(far, near)
    assert not error < 1


def _made() -> Built:
    spec = small_spec(outcome="severity")
    design = build(spec, small_cohort(60)).design
    rng = np.random.default_rng(3)
    theta = {k: v[0] for k, v in draw(build_design(spec, design).parameters, design.coords, rng, 1).items()}
    theta["lambda"] = np.full_like(theta["lambda"], 1.5)
    return build_design(spec, generate(theta, design, rng))


@pytest.fixture(scope="module")
def built() -> Built:
    """A small model with an outcome, on data of its own."""
    return _made()


def test_a_fit_without_a_group_never_sees_it_and_its_blocks_add_up(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    out = np.array([4, 17, 33])
    assert len(without(built.design, out).diagnosis) == 57
    sampler, seed = Sampler(chains=2, tune=100, draws=100), [np.random.SeedSequence(5)]
    (held,) = held_out(built, [out], sampler, seed)
    blocks = joint.blocks_of(built.design)
    elpd = held.elpd(blocks)
    assert set(elpd) == {*blocks, scores.TOTAL, scores.OUTCOME_GIVEN}
    np.testing.assert_allclose(sum(elpd[b] for b in blocks), elpd[scores.TOTAL], atol=1e-8)
    assert held.of_group.shape == (2, 100)
    # by a fit of its own, by the usual way
    drawn = sample(
        build_design(built.spec, without(built.design, out)), Sampler(chains=4, tune=200, draws=500),
        np.random.SeedSequence(8),
    )  # fmt: skip
    values = sets_of(_theta(built, drawn.values), built.design, out, last=True)[tuple(blocks)]
    usual = np.log(np.exp(values - values.max(axis=0)).mean(axis=0)) + values.max(axis=0)
    np.testing.assert_allclose(elpd[scores.TOTAL], usual, atol=0.25)


def test_people_without_a_block_score_nothing_there() -> None:
    built = build_design(*_full())
    scanned = set(built.design.scanned.tolist())
    out = np.array([i for i in range(len(built.design.diagnosis)) if i not in scanned][:2])
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(0), 3)
    found = sets_of(theta, built.design, out)
    blocks = joint.blocks_of(built.design)
    before, after = (tuple(blocks[: blocks.index("activation") + i]) for i in (0, 1))
    np.testing.assert_allclose(found[before], found[after], rtol=1e-9)


def _full() -> tuple[Any, Any]:
    from designs import full_design, joint_spec

    return joint_spec(), full_design()


def _hold(layout: Layout, values: Array, *, scheme: str, fingerprint: str | None = None) -> None:
    """Write scores of people who were left out for real, for all models of the question."""
    loo = read_dataset(layout.loo(f"{QUESTION}/shared"))
    mark = str(loo.attrs.get("fingerprint", "")) if fingerprint is None else fingerprint
    fits = {}
    for m in MODELS:
        own = str(read_dataset(layout.loo(f"{QUESTION}/{m}")).attrs.get("fingerprint", ""))
        fits[m] = {"fits": 10, "divergences": 0, "max_rhat": 1.01,
                   "fingerprint": mark if fingerprint is not None else own}  # fmt: skip
    write_dataset(
        layout.held_out("demo", QUESTION),
        xr.Dataset(
            {n.ELPD: ((n.MODEL, n.PARTICIPANT, n.BLOCK), values)},
            coords={n.MODEL: MODELS, n.PARTICIPANT: loo[n.PARTICIPANT].to_numpy(),
                    n.BLOCK: loo[n.BLOCK].to_numpy()},
            attrs={"scheme": scheme, "because": "", "fits": json.dumps(fits)},
        ),
    )  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project with made-up artefacts, all models with their fingerprints."""
    return write_project(tmp_path)


def _shape(layout: Layout) -> tuple[int, ...]:
    loo = read_dataset(layout.loo(f"{QUESTION}/shared"))
    return len(MODELS), loo.sizes[n.PARTICIPANT], loo.sizes[n.BLOCK]


def _compared(layout: Layout) -> pd.DataFrame:
    compare.run(layout, make_params(), QUESTION)
    return read_table(layout.comparison(QUESTION))


def test_folds_take_the_place_of_psis_for_all_models_alike(layout: Layout) -> None:
    data = read_dataset(layout.loo(f"{QUESTION}/shared"))
    data[n.K_HAT][:] = 2.0
    write_dataset(layout.loo(f"{QUESTION}/shared"), data)
    before = _compared(layout)
    assert before["verdict"].str.contains("not trusted").any()
    values = np.random.default_rng(0).normal(-9, 1, _shape(layout))
    _hold(layout, values, scheme="10-fold")
    after = _compared(layout)
    assert set(after["method"]) == {"10-fold"}
    assert not after["verdict"].str.contains("k-hat").any()
    total = after.query("block == 'total'").set_index("model")
    block = read_dataset(layout.loo(f"{QUESTION}/shared"))[n.BLOCK].to_numpy().tolist().index("total")
    for i, model in enumerate(MODELS):
        assert total.loc[model, "elpd"] == pytest.approx(values[i, :, block].sum())
    # what a model fits beyond what it predicts is the same likelihood less another score
    old = before.query("block == 'total'").set_index("model")
    np.testing.assert_allclose(total["p_loo"] + total["elpd"], (old["p_loo"] + old["elpd"])[total.index])
    said = read_json(layout.comparison_notes(QUESTION))["warnings"]
    assert any("10-fold cross-validation" in warning for warning in said)


def test_refits_replace_only_who_was_refitted(layout: Layout) -> None:
    path = layout.loo(f"{QUESTION}/shared")
    data = read_dataset(path)
    data[n.K_HAT][:2] = 1.5
    write_dataset(path, data)
    values = np.full(_shape(layout), np.nan)
    values[0, :2] = -7.0
    _hold(layout, values, scheme="refits")
    after = _compared(layout).query("block == 'total'").set_index("model")
    old = data[n.ELPD].sel({n.BLOCK: "total"}).to_numpy()
    assert after.loc["shared", "elpd"] == pytest.approx(old[2:].sum() - 14)
    assert after.loc["shared", "k_hat_over"] == 0
    assert after.loc["shared", "method"] == "PSIS, refits"
    assert after.loc["disorder_means", "method"] == "PSIS"


@pytest.mark.parametrize(("over", "scheme"), [(5, "refits"), (11, "refits"), (13, "10-fold")])
def test_draws_are_moved_before_anybody_is_left_out_for_real(over: int, scheme: str) -> None:
    """Of 60 people; whoever is not believed after that is refitted, and many over the limit make folds."""
    k_hat, asked, refitted = (n.PARTICIPANT, np.where(np.arange(60) < over, 1.2, 0.3)), [], []
    loo = xr.Dataset({n.K_HAT: k_hat}, {n.BLOCK: ["items", "total"]}, {"draws": 4000, "fingerprint": "f"})
    model = crossvalidate._Model("q/one", small_spec(), loo, {})

    def moved(model: Any) -> Any:
        asked.extend(model.over.tolist())
        return ((p, ({"items": -3.0, "total": -3.0}, 0.4)) for p in model.over[1:].tolist())

    def held(model: Any, groups: Any) -> Any:
        refitted.extend(groups)
        elpd = [{b: np.full(len(g), -5.0) for b in ("items", "total")} for g in groups]
        return [Kept(i, e, np.zeros((1, 1)), None, 0, 1.2) for i, e in enumerate(elpd)]

    params = make_params().model_copy(update={"cross_validation": CrossValidation(scheme="auto")})
    work: Any = SimpleNamespace(params=params, cohort=small_cohort(60), moved=moved, held=held)
    work.built = lambda m: build(m.spec, work.cohort)
    found = crossvalidate._people(work, [model], "q")
    assert found.attrs["scheme"] == scheme
    note = json.loads(found.attrs["fits"])["one"]
    total = found[n.ELPD].sel({n.BLOCK: "total"}).to_numpy()[0]
    if scheme == "refits":
        assert asked == list(range(over))
        assert [g.tolist() for g in refitted] == [[0]]
        assert (note["moved"], note["fits"], note["failed"]) == (over - 1, 1, 1)
        np.testing.assert_array_equal(total[:over], [-5.0] + [-3.0] * (over - 1))
        assert np.isnan(total[over:]).all()
    else:
        assert (asked, note["moved"], len(refitted)) == ([], 0, 10)
        assert (total == -5).all()


def test_who_was_moment_matched_refitted_and_failed_is_said_by_model(layout: Layout) -> None:
    path = layout.loo(f"{QUESTION}/shared")
    data = read_dataset(path)
    data[n.K_HAT][:3] = 1.5
    write_dataset(path, data)
    values = np.full(_shape(layout), np.nan)
    values[0, :3] = -7.0
    _hold(layout, values, scheme="refits")
    held = read_dataset(layout.held_out("demo", QUESTION))
    k_hat = np.full(values.shape[:2], np.nan)
    k_hat[0, :3] = [0.4, 0.5, 0.0]  # two were moved, one was refitted
    held[n.K_HAT] = ((n.MODEL, n.PARTICIPANT), k_hat)
    fits = json.loads(held.attrs["fits"])
    fits["shared"] |= {"fits": 1, "moved": 2, "failed": 1}
    for other in MODELS[1:]:
        fits[other] |= {"fits": 0}
    write_dataset(layout.held_out("demo", QUESTION), held.assign_attrs(fits=json.dumps(fits)))
    after = _compared(layout).query("block == 'total'").set_index("model")
    assert after.loc["shared", "method"] == "PSIS, moment matching and refits"
    assert after.loc["shared", "k_hat_over"] == 0
    assert after.loc["shared", "k_hat_max"] == max(0.5, float(data[n.K_HAT][3:].max()))
    said = read_json(layout.comparison_notes(QUESTION))["warnings"]
    assert any("shared by moment matching and refits of which some failed" in one for one in said)


@pytest.mark.parametrize(("max_rhat", "elpd"), [(2.7, 0.0), (np.nan, 0.0), (1.0, np.nan)])
@pytest.mark.parametrize(("scheme", "over"), [("auto", 4), ("folds", 120)])
def test_people_of_a_fit_that_failed_are_not_trusted(
    layout: Layout, scheme: Any, over: int, max_rhat: float, elpd: float
) -> None:
    """Fits of `shared` fail, those of the others do not."""
    models = []
    for m in MODELS:
        loo = read_dataset(layout.loo(f"{QUESTION}/{m}"))
        loo[n.K_HAT][:4] = 1.2 if m == "shared" else 0.3
        write_dataset(layout.loo(f"{QUESTION}/{m}"), loo)
        models.append(crossvalidate._Model(f"{QUESTION}/{m}", small_spec(), loo, {}))

    def held(model: Any, groups: Any) -> Any:
        add, rhat = (elpd, max_rhat) if model.name == "shared" else (0.0, 1.01)
        for i, out in enumerate(groups):
            old = model.loo[n.ELPD].isel({n.PARTICIPANT: out})
            score = {str(b): old.sel({n.BLOCK: b}).to_numpy() + add for b in model.loo[n.BLOCK].to_numpy()}
            yield Kept(i, score, np.zeros((1, 1)), None, 0, rhat)

    cohort = small_cohort(120).assign_coords({n.PARTICIPANT: models[0].loo[n.PARTICIPANT].to_numpy()})
    params = make_params().model_copy(update={"cross_validation": CrossValidation(scheme=scheme)})
    work: Any = SimpleNamespace(params=params, cohort=cohort, held=held)
    work.built = lambda _: SimpleNamespace(explicit=True)
    write_dataset(layout.held_out("demo", QUESTION), crossvalidate._people(work, models, QUESTION))
    table = _compared(layout).query("block == 'total'").set_index("model")
    assert table["k_hat_over"].to_dict() == {"shared": over, "disorder_means": 0, "disorder_circuits": 0}
    assert np.isinf(table.loc["shared", "k_hat_max"])
    said = read_json(layout.comparison_notes(QUESTION))["warnings"]
    assert sum("shared: of fits without some of the people the largest R-hat" in one for one in said) == 1
    assert not any(" 4 " in one for one in said)
    assert table["verdict"].str.contains("not trusted").loc["shared"]  # by 11, with a standard error of 1
    assert table["verdict"].str.contains("not trusted").sum() == (2 if scheme == "folds" else 1)


def test_scores_of_another_model_are_refused(layout: Layout) -> None:
    _hold(layout, np.full(_shape(layout), -1.0), scheme="10-fold", fingerprint="another")
    with pytest.raises(ArtefactError, match="another model"):
        _compared(layout)


def test_nothing_is_left_out_unless_it_is_asked_for(layout: Layout) -> None:
    before = _compared(layout)
    crossvalidate.run(layout, make_params(), question=QUESTION)
    assert read_dataset(layout.held_out("demo", QUESTION)).attrs["scheme"] == "psis"
    pd.testing.assert_frame_equal(_compared(layout), before)


def test_a_pattern_that_was_never_seen_gets_an_effect_of_its_population() -> None:
    cohort = small_cohort(60)
    functions = {"all": sorted(set(cohort[n.ITEM_SUBSCALE].to_numpy().astype(str).tolist()))}
    content = {"kind": "conventional", "description": "", "functions": functions, "outcome": "severity",
               "factors": ["trauma"], "pooled": True}  # fmt: skip
    spec = parse(ConventionalSpec, content, where="test")
    data = table(spec, cohort)
    names = [c for c in data.columns if c not in (n.OUTCOME, n.PATTERN)]
    known = [p for p in data[n.PATTERN].cat.categories if p != data[n.PATTERN].iloc[0]]
    size = (2, 4000)
    dims = ("chain", "draw")
    draws: dict[str, Any] = {c: (dims, np.zeros(size)) for c in names}
    draws |= {"Intercept": (dims, np.zeros(size)), "sigma": (dims, np.ones(size))}
    for name in ("1", *[c for c in names if c.startswith("score_")]):
        draws[f"{name}|pattern"] = ((*dims, n.PATTERN), np.zeros((*size, len(known))))
        draws[f"{name}|pattern_sigma"] = (dims, np.full(size, 2.0 if name == "1" else 0.0))
    posterior = xr.Dataset(draws, coords={n.PATTERN: known})
    found = log_predictive(posterior, spec, data.iloc[:1], np.random.default_rng(0))
    y = float(data[n.OUTCOME].iloc[0])
    assert np.log(np.exp(found).mean()) == pytest.approx(stats.norm.logpdf(y, 0, np.sqrt(5)), abs=0.05)
