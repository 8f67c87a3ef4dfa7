"""A repeated count from spec to comparison: the table, its scores, and the published numbers of a trial."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from epilepsy import EPILEPSY, epilepsy, spec_of
from scipy.integrate import quad
from scipy.stats import nbinom, norm

from nssi_bayes import build, check, compare, crossvalidate, fit
from nssi_bayes import names as n
from nssi_bayes.blocks.repeated import counts_of, fingerprint, rows, written
from nssi_bayes.check import repeated
from nssi_bayes.errors import ArtefactError, DataError, SpecError
from nssi_bayes.integrate.counts import log_likelihood
from nssi_bayes.schema import violations
from nssi_bayes.spec import CrossValidation, Params, RepeatedSpec, Sampler, parse, read_model
from nssi_bayes.store import Layout, read_dataset, read_json, read_table, read_tree, write_dataset, write_text

# brms' README: means and sds of `count ~ zAge + zBase * Trt + (1|patient)`
PUBLISHED = {
    "Intercept": (1.78, 0.12), "x_base": (0.71, 0.12), "x_treatment": (-0.27, 0.16),
    "person_sd": (0.59, 0.07),
}  # fmt: skip
WITH_OCCASIONS = "occasion_effect: true"

type Array = np.ndarray[Any, Any]


def draws(samples: int = 400, **more: float) -> xr.Dataset:
    """Draws near the posterior of the trial, without a fit."""
    rng = np.random.default_rng(3)
    about = {
        "Intercept": (1.73, 0.12), "x_age": (0.09, 0.09), "x_base": (0.71, 0.12),
        "x_treatment": (-0.26, 0.17), "x_base_x_treatment": (0.05, 0.17),
        "person_sd": (0.54, 0.07), "occasion_sd": (0.37, 0.04),
    }  # fmt: skip
    values = {k: rng.normal(m, s, (2, samples // 2)) for k, (m, s) in about.items()}
    values |= {k: np.full((2, samples // 2), v) for k, v in more.items()}
    return xr.Dataset({k: ((n.CHAIN, n.DRAW), v) for k, v in values.items()})


def test_the_cohort_of_the_trial_is_one_and_its_table_is_the_published_one() -> None:
    cohort = epilepsy()
    assert violations(cohort) == []
    found = rows(spec_of(), cohort)
    frame = found.frame
    assert (len(frame), frame["person"].nunique(), frame["each"].nunique()) == (236, 59, 236)
    assert written(found) == "count ~ 1 + x_age + x_base + x_treatment + x_base_x_treatment + (1|person)"
    assert set(frame["x_treatment"]) == {0, 1}
    first = frame.groupby("person").first()
    assert first["x_base"].mean() == pytest.approx(0, abs=1e-12)
    assert first["x_base"].std() == pytest.approx(1)
    np.testing.assert_allclose(frame["x_base_x_treatment"], frame["x_base"] * frame["x_treatment"])


def test_who_missed_an_occasion_is_in_with_the_others_and_exposure_is_an_offset() -> None:
    cohort = epilepsy()
    cohort[n.OUTCOME_VALUE][0, 1:] = np.nan
    cohort[n.OUTCOME_VALUE][1] = np.nan
    cohort[n.OUTCOME_EXPOSURE][:] = np.where(np.isfinite(cohort[n.OUTCOME_VALUE]), 2.0, np.nan)
    found = rows(spec_of(WITH_OCCASIONS), cohort)
    assert len(found.frame) == 236 - 7
    assert "offset(log_exposure) + (1|person) + (1|each)" in written(found)
    values = log_likelihood(counts_of(draws(4), found))
    np.testing.assert_allclose(values[:, 1], 0, atol=1e-9)
    assert (values[:, 0] < 0).all()


@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
def test_a_persons_score_is_scipys_integral(family: str) -> None:
    cohort = epilepsy()
    cohort[n.OUTCOME_EXPOSURE][:] = 1.5
    posterior, person = draws(2, alpha=4.0), 7
    values = log_likelihood(counts_of(posterior, rows(spec_of(f"family: {family}"), cohort)))
    one = {k: float(v[0, 0]) for k, v in posterior.items()}
    x = rows(spec_of(), cohort).frame.query(f"person == 'p{person}'")
    mu = np.log(1.5) + one["Intercept"] + sum(one[c] * x[c].iloc[0] for c in x.columns if c.startswith("x_"))
    size = 4.0 if family == "negative_binomial" else 1e9

    def density(b: float) -> float:
        probability = nbinom.pmf(x["count"], size, size / (size + np.exp(mu + b)))
        return float(np.prod(probability) * norm.pdf(b, 0, one["person_sd"]))

    whole, _ = quad(density, -4, 4, epsabs=0, epsrel=1e-9)
    assert values[0, person] == pytest.approx(np.log(whole), abs=1e-5)


def test_what_a_spec_cannot_say_is_refused_with_what_to_do() -> None:
    for text, words in (
        ("occasion_effect: true\nfamily: negative_binomial", "its own spread of every count"),
        ('predictors: ["age:base"]', "without 'age' itself"),
        ("predictors: [age, age]", "stands twice"),
        ("family: poison", "poisson"),
    ):
        content = yaml.safe_load(EPILEPSY) | yaml.safe_load(text)
        with pytest.raises(SpecError, match=words):
            parse(RepeatedSpec, content, where="spec")
    cohort = epilepsy()
    with pytest.raises(SpecError, match=r"no 'bose' in the cohort. Did you mean 'base'"):
        rows(spec_of().model_copy(update={"predictors": ("bose",)}), cohort)
    plain = cohort.assign_coords({n.OUTCOME_FAMILY: (n.OUTCOME, [n.GAUSSIAN] * 4)})
    with pytest.raises(SpecError, match="'seizures_1' is gaussian, no count"):
        rows(spec_of(), plain)
    cohort[n.COVARIATE_VALUE][:3, 0] = np.nan
    with pytest.raises(DataError, match="x_age: missing for 3 people who were counted"):
        rows(spec_of(), cohort)


def test_the_fingerprint_follows_what_decides_the_draws_and_nothing_else() -> None:
    cohort = epilepsy()
    marks = [fingerprint(spec_of(t), cohort) for t in ("", WITH_OCCASIONS, "family: negative_binomial")]
    assert len(set(marks)) == 3
    assert fingerprint(spec_of("left_out: occasion"), cohort) == marks[0]
    cohort[n.OUTCOME_VALUE][0, 0] += 1
    assert fingerprint(spec_of(), cohort) != marks[0]


def test_single_counts_are_refused_with_the_share_that_fails() -> None:
    """Draws near the posterior: over 20 % of 236 are over the limit, as after brms' own fit."""
    spec = spec_of(f"{WITH_OCCASIONS}\nleft_out: occasion")
    rng = np.random.default_rng(1)
    with pytest.raises(ArtefactError, match=r"left_out: occasion is refused.* of 236 counts \(") as caught:
        repeated.refuse(spec, epilepsy(), draws(), rng=rng, where="spec")
    over = int(str(caught.value).split(" of 236")[0].split()[-1])
    assert over > 0.2 * 236
    repeated.refuse(spec_of(), epilepsy(), draws(), rng=rng, where="spec")  # people are not refused


@pytest.mark.slow
def test_the_trial_is_fitted_scored_and_compared_as_published(tmp_path: Path) -> None:
    """Bambi's default priors against brms' flat and half-t ones: means within .15 posterior sd.

    Published sds have two digits, and an error of .003 each side; 16 000 draws have .1675 for the treatment.
    """
    models = {"person": "", "both": WITH_OCCASIONS, "counts": f"{WITH_OCCASIONS}\nleft_out: occasion"}
    layout = Layout(tmp_path)
    params = Params(
        study="trial", source=tmp_path, seed=1, roster=("trial/person", "trial/both"), questions=("trial",),
        sampler=Sampler(chains=4, tune=600, draws=1000), cross_validation=CrossValidation(scheme="auto"),
    )  # fmt: skip
    write_dataset(layout.cohort("trial"), epilepsy())
    for name, text in models.items():
        write_text(layout.spec(f"trial/{name}"), EPILEPSY + text)
        build.run(layout, params, model=f"trial/{name}")
        fit.run(layout, params, model=f"trial/{name}")
        if name == "counts":
            with pytest.raises(ArtefactError, match="of 236 counts") as caught:
                check.run(layout, params, model="trial/counts")
            over = int(str(caught.value).split(" of 236")[0].split()[-1])
            assert over > 0.2 * 236
            continue
        check.run(layout, params, model=f"trial/{name}")
        over_limit = read_dataset(layout.loo(f"trial/{name}"))[n.K_HAT].to_numpy() > 0.7
        assert over_limit.sum() <= 2
        assert read_json(layout.estimates(f"trial/{name}"))["outcome"][0]["ratio"]["kind"] == "rate ratio"
    posterior = read_tree(layout.posterior("trial/person"))["posterior"].to_dataset()
    for name, (mean, sd) in PUBLISHED.items():
        assert abs(float(posterior[name].mean()) - mean) < 0.15 * sd, name
        assert float(posterior[name].std()) == pytest.approx(sd, abs=0.015), name
    crossvalidate.run(layout, params, question="trial")
    held = read_dataset(layout.held_out("trial", "trial"))
    assert held.attrs["scheme"] == "refits"
    fits = json.loads(held.attrs["fits"])
    assert sum(f["failed"] for f in fits.values()) == 0
    compare.run(layout, params, "trial")
    table = read_table(layout.comparison("trial")).set_index("model")
    assert (table["k_hat_over"] == 0).all()
    assert table.loc["both", "rank"] == 1
    assert -table.loc["person", "elpd_diff"] == pytest.approx(43.5, abs=4)
    assert table.loc["person", "diff_se"] == pytest.approx(23, abs=2)  # 59 people: about two of them
    assert read_model(layout, "trial/both").kind == "repeated"
