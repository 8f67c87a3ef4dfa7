"""The baseline: table, formula, scores as Bambi's own, equal draws in two processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from nssi_bayes.blocks import conventional
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.spec import ConventionalSpec, Sampler

PEOPLE = 60
FUNCTIONS = {"emotion regulation": ("calm", "numb"), "self-punishment": ("punish",)}
SAMPLER = Sampler(chains=2, tune=300, draws=200)


def spec(**changes: object) -> ConventionalSpec:
    values = {
        "kind": "conventional", "description": "d", "outcome": "severity", "functions": FUNCTIONS,
        "factors": ("trauma",),
    }  # fmt: skip
    return ConventionalSpec.model_validate({**values, **changes})


def cohort() -> xr.Dataset:
    rng = np.random.default_rng(11)
    subscale = ["calm"] * 2 + ["numb"] * 2 + ["punish"] * 3 + ["other"]
    trait = rng.normal(size=PEOPLE)
    response = np.clip(np.round(1 + trait[:, None] + rng.normal(size=(PEOPLE, 8))), 0, 2)
    response[rng.random(response.shape) < 0.05] = np.nan
    response[:4] = np.nan  # skipped the instrument
    response[4:6, 4:7] = np.nan  # skipped one function: too few for a column of its own
    trauma = rng.normal(size=PEOPLE)
    trauma[2:9] = np.nan
    diagnosis = rng.binomial(1, 0.4, size=(PEOPLE, 3))
    diagnosis[:, 2] = 0  # nobody
    severity = 0.5 * trait + rng.normal(size=PEOPLE)
    severity[-5:] = np.nan
    return xr.Dataset(
        {
            "response": (("participant", "item"), response),
            "diagnosis": (("participant", "disorder"), diagnosis),
            "site_of": ("participant", np.array(["north-1", "north_1", "a"])[np.arange(PEOPLE) % 3]),
            "covariate_value": (("participant", "covariate"), rng.normal(size=(PEOPLE, 1))),
            "factor_score": (("participant", "factor"), trauma[:, None]),
            "outcome_value": (("participant", "outcome"), severity[:, None]),
        },
        coords={
            "participant": [f"sub-{k:03d}" for k in range(PEOPLE)],
            "item": [f"q_{k}" for k in range(8)],
            "item_subscale": ("item", subscale),
            "item_instrument": ("item", ["q"] * 8),
            "item_categories": ("item", [3] * 8),
            "disorder": ["mood", "eating", "rare"],
            "covariate": ["age"],
            "factor": ["trauma"],
            "outcome": ["severity"],
        },
    )


def test_everybody_with_the_outcome_is_in_and_nothing_is_missing() -> None:
    data = conventional.table(spec(), cohort())
    assert list(data.index) == [f"sub-{k:03d}" for k in range(PEOPLE - 5)]
    assert not data.isna().any().any()
    assert list(data.columns) == [
        "outcome", "score_emotion_regulation", "score_self_punishment", "factor_trauma", "missing_q",
        "missing_self_punishment", "missing_trauma", "diagnosis_mood", "diagnosis_eating", "covariate_age",
        "site_north_1", "site_north_1_2", "pattern",
    ]  # fmt: skip
    assert np.array_equal(data["outcome"], cohort()["outcome_value"][:-5, 0])
    assert (data["missing_q"] > 0).sum() == 4
    assert (data["missing_self_punishment"] > 0).sum() == 6
    assert np.abs(data.drop(columns=["outcome", "pattern"]).mean()).max() < 1e-12
    share = float(cohort()["diagnosis"][:-5, 0].mean())
    assert sorted(data["diagnosis_mood"].unique()) == pytest.approx([-share, 1 - share])
    assert set(data["pattern"]) == {"none", "mood", "eating", "mood+eating"}


def test_a_score_is_the_standardised_mean_of_the_answered_items() -> None:
    score = conventional.table(spec(), cohort())["score_emotion_regulation"].to_numpy()
    raw = cohort()["response"].to_numpy()[4:-5, :4]
    mean = np.nanmean(raw, axis=1)
    assert np.isnan(raw).any()
    np.testing.assert_allclose(score[4:], (mean - mean.mean()) / mean.std(), rtol=1e-12)
    assert np.abs(score[:4]).max() < 1e-12  # the mean, for those who skipped the instrument


def test_a_column_for_what_is_missing_needs_some_people() -> None:
    few = cohort()
    few["factor_score"][4:9] = 0.1
    assert "missing_trauma" in conventional.table(spec(), cohort())
    assert "missing_trauma" not in conventional.table(spec(), few)


def test_items_with_more_categories_do_not_weigh_more() -> None:
    wide = cohort()
    wide["response"][:, :2] *= 2
    wide["item_categories"][:2] = 5
    name = "score_emotion_regulation"
    np.testing.assert_allclose(
        conventional.table(spec(), wide)[name], conventional.table(spec(), cohort())[name], atol=1e-12
    )


def test_the_pooled_formula_adds_effects_by_pattern() -> None:
    plain, pooled = (conventional.formula(spec(pooled=p), cohort()) for p in (False, True))
    assert plain.startswith("outcome ~ 1 + score_emotion_regulation + ")
    assert pooled == plain + " + (1 + score_emotion_regulation + score_self_punishment | pattern)"


def test_unknown_names_are_told_together() -> None:
    wrong = spec(outcome="severty", factors=("truma",), functions={"a": ("calmm",), "b": ()})
    with pytest.raises(SpecError) as caught:
        conventional.table(wrong, cohort(), where="x.yaml")
    text = str(caught.value)
    assert text.startswith("x.yaml: 4 problems")
    assert all(f"Did you mean {name!r}?" in text for name in ("severity", "trauma", "calm"))
    with pytest.raises(SpecError, match="at least one"):
        conventional.table(spec(functions={}), cohort())


def test_an_outcome_or_scores_that_do_not_vary_are_refused() -> None:
    same = cohort()
    same["outcome_value"][:] = 1.0
    with pytest.raises(DataError, match="does not vary"):
        conventional.table(spec(), same)
    nobody = cohort()
    nobody["response"][:] = np.nan
    with pytest.raises(DataError, match="no function"):
        conventional.table(spec(), nobody)


def test_the_fingerprint_follows_formula_and_data_and_no_label() -> None:
    mark = conventional.fingerprint(spec(), cohort())
    renamed = cohort().assign_coords(participant=[f"p{k}" for k in range(PEOPLE)])
    changed = cohort()
    changed["outcome_value"][0] += 1e-9
    assert conventional.fingerprint(spec(description="other"), renamed) == mark
    assert conventional.fingerprint(spec(), changed) != mark
    assert conventional.fingerprint(spec(pooled=True), cohort()) != mark


def test_the_likelihood_is_a_normal_density_in_any_order_of_dims() -> None:
    rng = np.random.default_rng(3)
    data = conventional.table(spec(pooled=True), cohort())
    columns = [c for c in data.columns if c not in ("outcome", "pattern")]
    patterns = sorted(set(data["pattern"]), reverse=True)
    draws = xr.Dataset(
        {
            **{name: (("chain", "draw"), rng.normal(size=(2, 3))) for name in ["Intercept", *columns]},
            "sigma": (("chain", "draw"), rng.uniform(0.5, 2, size=(2, 3))),
            **{
                f"{name}|pattern": (("draw", "pattern", "chain"), rng.normal(size=(3, len(patterns), 2)))
                for name in ("1", *columns[:2])
            },
        },
        coords={"pattern": patterns},
    )
    found = conventional.log_likelihood(draws, spec(pooled=True), cohort())
    one = draws.isel(chain=1, draw=0)
    row = data.iloc[7]
    mine = one.sel(pattern=row["pattern"])
    mean = float(one["Intercept"]) + sum(float(one[c]) * row[c] for c in columns) + float(mine["1|pattern"])
    mean += sum(float(mine[f"{c}|pattern"]) * row[c] for c in columns[:2])
    assert found.shape == (6, PEOPLE - 5)
    assert found[3, 7] == pytest.approx(norm.logpdf(row["outcome"], mean, float(one["sigma"])), abs=1e-12)


_TWICE = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
import test_conventional as t
from nssi_bayes.fit.conventional import build_conventional, fit_conventional
from nssi_bayes.store import write_tree
from pathlib import Path
spec, cohort = t.spec(pooled=True), t.cohort()
tree = fit_conventional(spec, cohort, t.SAMPLER, np.random.SeedSequence(5))
write_tree(Path(sys.argv[1]), tree)
if len(sys.argv) > 2:
    model = build_conventional(spec, t.conventional.table(spec, cohort))
    own = tree.copy()
    own["posterior"] = own["posterior"].to_dataset().rename(pattern="pattern__factor_dim")
    model.compute_log_likelihood(own)
    np.save(sys.argv[2], own["log_likelihood"]["outcome"].transpose("chain", "draw", ...).to_numpy())
"""


def _fit(folder: Path, name: str, *more: str, cache: Path) -> Path:
    tests = str(Path(__file__).parent)
    path = folder / name
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTENSOR_FLAGS": f"base_compiledir={cache}"}
    command = [sys.executable, "-W", "ignore", "-c", _TWICE.format(tests=tests), str(path), *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.slow
def test_equal_bytes_in_two_processes_and_scores_as_bambis(tmp_path: Path) -> None:
    """Traps 7, 8, 12 and 21: the first process compiles afresh, the second finds its compilation."""
    cache = tmp_path / "cache"
    first = _fit(tmp_path, "a.nc", str(tmp_path / "own.npy"), cache=cache)
    second = _fit(tmp_path, "b.nc", cache=cache)
    assert first.read_bytes() == second.read_bytes()
    with xr.open_datatree(first, engine="h5netcdf") as tree:
        tree.load()
    assert set(tree.children) == {"posterior", "sample_stats"}
    posterior = tree["posterior"].to_dataset()
    assert not {"participant", "mu", "__obs__"} & {*posterior.dims, *posterior.data_vars}
    assert list(posterior["1|pattern"].dims) == ["chain", "draw", "pattern"]
    assert tree.attrs["kind"] == "conventional"
    assert tree.attrs["tune"] == 500  # longer than it was asked for: its coordinates are Bambi's
    assert all("units" in v.attrs for v in posterior.data_vars.values())
    own = np.load(tmp_path / "own.npy")
    found = conventional.log_likelihood(posterior, spec(pooled=True), cohort())
    np.testing.assert_allclose(found, own.reshape(found.shape), rtol=0, atol=1e-8)


@pytest.mark.slow
def test_without_pooling_the_posterior_is_that_of_least_squares() -> None:
    from nssi_bayes.fit.conventional import fit_conventional

    tree = fit_conventional(spec(), cohort(), Sampler(chains=2), np.random.SeedSequence(2))
    data = conventional.table(spec(), cohort())
    columns = [c for c in data.columns if c not in ("outcome", "pattern")]
    X = np.column_stack([np.ones(len(data)), data[columns].to_numpy(dtype=float)])
    y = data["outcome"].to_numpy()
    b, (rss,), *_ = np.linalg.lstsq(X, y, rcond=None)
    error = np.sqrt(np.diag(np.linalg.inv(X.T @ X)) * rss / (len(y) - X.shape[1]))
    posterior = tree["posterior"].to_dataset()
    means = np.array([float(posterior[c].mean()) for c in ("Intercept", *columns)])
    assert (np.abs(means - b) < 0.2 * error).all()  # priors are wide
    assert int(tree["sample_stats"]["diverging"].sum()) == 0
