"""The story behind the synthetic cohort: equations, published sizes, answers and scans."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.atlases import read_atlas
from nssi_bayes.instruments import read_instrument
from nssi_bayes.simulate.parameters import (
    draw_parameters,
    homotopic_pairs,
    networks_of,
    read_constants,
    sized,
)
from nssi_bayes.simulate.people import draw_people
from nssi_bayes.simulate.responses import Answers, draw_answers
from nssi_bayes.simulate.scans import draw_scans

ATLAS = read_atlas("nssi_spheres")
PUBLISHED: dict[str, Any] = {name: constant.value for name, constant in read_constants().items()}


@pytest.fixture(scope="module")
def parameters() -> xr.Dataset:
    return draw_parameters(np.random.default_rng(1), PUBLISHED, atlas=ATLAS)


@pytest.fixture(scope="module")
def crowd(parameters: xr.Dataset) -> xr.Dataset:
    return draw_people(np.random.default_rng(2), parameters, participants=4000, published=PUBLISHED)


@pytest.fixture(scope="module")
def scans(parameters: xr.Dataset, crowd: xr.Dataset) -> xr.Dataset:
    rng = np.random.default_rng(4)
    return draw_scans(rng, parameters, people=crowd, atlas=ATLAS, published=PUBLISHED)


@pytest.fixture(scope="module")
def truth(parameters: xr.Dataset, crowd: xr.Dataset) -> xr.Dataset:
    return xr.merge([parameters, crowd], join="exact", compat="equals")


def answers_of(name: str, crowd: xr.Dataset) -> Answers:
    rng = np.random.default_rng(3)
    return draw_answers(rng, read_instrument(name), latent=crowd, published=PUBLISHED)


def alpha(categories: np.ndarray) -> float:
    k = categories.shape[1]
    between = categories.sum(axis=1).var(ddof=1)
    return k / (k - 1) * (1 - categories.var(axis=0, ddof=1).sum() / between)


class TestStory:
    def test_diagnoses_are_multi_label(self, crowd: xr.Dataset) -> None:
        diagnosis = crowd[n.DIAGNOSIS]
        count = diagnosis.sum(n.DISORDER)
        assert int(count.min()) == 1
        assert float((count >= 2).mean()) == pytest.approx(1 / 3, abs=0.02)
        assert not (diagnosis.sel(disorder="mood") & diagnosis.sel(disorder="bipolar")).any()

    @pytest.mark.parametrize("participants", [60, 120])
    def test_a_small_cohort_has_every_disorder(self, parameters: xr.Dataset, participants: int) -> None:
        for seed in range(20):
            rng = np.random.default_rng(seed)
            people = draw_people(rng, parameters, participants=participants, published=PUBLISHED)
            assert int(people[n.DIAGNOSIS].sum(n.PARTICIPANT).min()) >= 0.1 * participants

    def test_what_varies_by_disorder_or_site_sums_to_zero(self, parameters: xr.Dataset) -> None:
        for name in ("A", "B_k", "M", "m", "L_k", "d"):
            np.testing.assert_allclose(parameters[name].sum(n.DISORDER), 0, atol=1e-12)
        for name in ("function_site", "roi_site", "outcome_site"):
            np.testing.assert_allclose(parameters[name].sum(n.SITE), 0, atol=1e-12)

    def test_sizes_are_published_ones_whatever_the_seed(self) -> None:
        for seed in range(3):
            drawn = draw_parameters(np.random.default_rng(seed), PUBLISHED, atlas=ATLAS)
            span = drawn["A"].max(n.DISORDER) - drawn["A"].min(n.DISORDER)
            np.testing.assert_allclose(span, 0.5)
            assert float((drawn["L_network"] ** 2).mean()) == pytest.approx(0.12**2)
            np.testing.assert_allclose(drawn["B"], 0.15)

    def test_sized_keeps_its_size(self) -> None:
        draw = sized(np.random.default_rng(0), (5, 3), size=0.2, zero_sum=0)
        np.testing.assert_allclose(draw.sum(axis=0), 0, atol=1e-12)
        assert (draw**2).mean() == pytest.approx(0.04)

    def test_functions_follow_the_equation(self, truth: xr.Dataset) -> None:
        c = truth[n.DIAGNOSIS].astype(float)
        slope = truth["B"] + (c * truth["B_k"]).sum(n.DISORDER)
        site = truth["function_site"].sel(site=truth[n.SITE_OF])
        expected = (
            (c * truth["A"]).sum(n.DISORDER)
            + (c.sum(n.DISORDER) - 1) * truth["level_burden"]
            + (slope * truth["x"]).sum(n.FACTOR)
            + (truth["G"] * truth["z"]).sum(n.COVARIATE)
            + site
        )
        residual = (truth["eta"] - expected).transpose(n.PARTICIPANT, n.FUNCTION)
        np.testing.assert_allclose(residual, truth["zeta"], atol=1e-12)

    def test_residuals_correlate_as_published(self, crowd: xr.Dataset, parameters: xr.Dataset) -> None:
        seen = np.cov(crowd["zeta"].to_numpy().T)
        np.testing.assert_allclose(seen, parameters["Omega"], atol=0.06)
        above = parameters["Omega"].to_numpy()[np.triu_indices(3, 1)]
        assert ((above >= 0.44) & (above <= 0.9)).all()

    def test_severity_follows_the_equation(self, truth: xr.Dataset) -> None:
        c = truth[n.DIAGNOSIS].astype(float)
        expected = (
            (c * truth["d"]).sum(n.DISORDER)
            + (c.sum(n.DISORDER) - 1) * truth["d_burden"]
            + (truth["q"] * truth["x"]).sum(n.FACTOR)
            + (truth["w"] * truth["eta"]).sum(n.FUNCTION)
            + (truth["outcome_covariate"] * truth["z"]).sum(n.COVARIATE)
            + truth["outcome_site"].sel(site=truth[n.SITE_OF])
        )
        residual = truth["severity_latent"] - expected
        assert float(residual.std()) == pytest.approx(PUBLISHED["outcome_residual"], rel=0.05)
        assert abs(float(residual.mean())) < 4 * PUBLISHED["outcome_residual"] / np.sqrt(residual.size)

    def test_severity_goes_with_functions_as_published(self, crowd: xr.Dataset) -> None:
        for function in crowd[n.FUNCTION].to_numpy():
            r = np.corrcoef(crowd["severity"], crowd["eta"].sel(function=function))[0, 1]
            assert 0.18 < r < 0.36
        assert 0 <= float(crowd["severity"].min()) <= float(crowd["severity"].max()) <= 4


class TestAnswers:
    def test_endorsement_is_in_the_published_range(self, crowd: xr.Dataset) -> None:
        isas = read_instrument("isas")
        raw = answers_of("isas", crowd).raw.to_numpy()
        for scale, (low, high) in {"intrapersonal": (0.66, 0.81), "interpersonal": (0.33, 0.56)}.items():
            for subscale in isas.composites[scale].of:
                items = [item - 1 for item in isas.subscales[subscale]]
                assert low - 0.04 < (raw[:, items] > 0).mean() < high + 0.04
        assert (raw[:, [0, 13, 26]] > 0).any(axis=1).mean() > 0.9

    def test_reliability_is_near_the_published(self, crowd: xr.Dataset) -> None:
        isas = read_instrument("isas")
        raw = answers_of("isas", crowd).raw.to_numpy().astype(float)
        for scale, published in {"intrapersonal": 0.80, "interpersonal": 0.88}.items():
            assert alpha(raw[:, [i - 1 for i in isas.scales[scale]]]) == pytest.approx(published, abs=0.08)

    def test_items_of_a_subscale_are_near_parallel(self, crowd: xr.Dataset) -> None:
        r = np.corrcoef(answers_of("isas", crowd).raw.to_numpy().T)
        within = np.mean([r[j, j + 13] for j in (1, 7, 8, 11, 12)])
        between = np.mean([r[j, k] for j in (1, 7, 8, 11, 12) for k in (1, 7, 8, 11, 12) if j != k])
        assert within > between + 0.05

    @pytest.mark.parametrize(("name", "factor"), [("ctq_sf", "trauma"), ("ecr_r", "attachment")])
    def test_reverse_keyed_items_are_stored_as_ticked(
        self, crowd: xr.Dataset, name: str, factor: str
    ) -> None:
        instrument = read_instrument(name)
        raw, x = answers_of(name, crowd).raw.to_numpy(), crowd["x"].sel(factor=factor).to_numpy()
        for item in (i for items in instrument.subscales.values() for i in items):
            r = np.corrcoef(raw[:, item - 1], x)[0, 1]
            assert r < -0.1 if item in instrument.reverse else r > 0.1

    def test_sexual_abuse_has_a_mass_at_the_floor(self, crowd: xr.Dataset) -> None:
        items = [item - 1 for item in read_instrument("ctq_sf").subscales["sexual_abuse"]]
        raw = answers_of("ctq_sf", crowd).raw.to_numpy()[:, items]
        assert (raw.sum(axis=1) == 5).mean() > 0.35

    @pytest.mark.parametrize("name", ["ctq_sf", "ecr_r"])
    def test_factors_are_measured_with_error(self, crowd: xr.Dataset, name: str) -> None:
        assert 0.6 < float(answers_of(name, crowd).reliability.item()) < 0.95


class TestScans:
    def test_the_published_share_is_scanned(self, scans: xr.Dataset) -> None:
        assert scans.sizes[n.PARTICIPANT] / 4000 == pytest.approx(163 / 304, abs=1e-3)

    def test_the_severely_ill_are_scanned_less_often(self, scans: xr.Dataset, crowd: xr.Dataset) -> None:
        scanned = crowd["severity"].sel(participant=scans[n.PARTICIPANT])
        gap = float(scanned.mean() - crowd["severity"].mean()) / float(crowd["severity"].std())
        assert -0.3 < gap < -0.03

    def test_residuals_of_one_person_are_correlated(self, scans: xr.Dataset) -> None:
        r = np.corrcoef(scans["activation_latent"].to_numpy().T)
        networks, of = networks_of(ATLAS)
        pairs = homotopic_pairs(ATLAS)
        limbic = np.flatnonzero(of == networks.index("limbic"))
        far = np.mean([r[a, b] for a in limbic for b in range(24) if of[b] != of[a]])
        same = np.mean([r[a, b] for a in limbic for b in limbic if a != b])
        mirrored = np.mean([r[a, b] for a, b in pairs if (of == of[a]).sum() < 3])
        assert far > 0.1
        assert same > far + 0.03
        assert mirrored > far + 0.02

    def test_regions_follow_the_equation(
        self, scans: xr.Dataset, crowd: xr.Dataset, parameters: xr.Dataset
    ) -> None:
        people = crowd.sel(participant=scans[n.PARTICIPANT])
        c = people[n.DIAGNOSIS].astype(float)
        motion = (scans[n.MOTION] - scans[n.MOTION].mean()) / scans[n.MOTION].std()
        slope = parameters["roi_confound"]
        expected = (
            (c * parameters["m"]).sum(n.DISORDER)
            + (c.sum(n.DISORDER) - 1) * parameters["m_burden"]
            + (parameters["D"] * people["x"]).sum(n.FACTOR)
            + ((parameters["L"] + (c * parameters["L_k"]).sum(n.DISORDER)) * people["eta"]).sum(n.FUNCTION)
            + motion * slope.sel(confound="motion")
            + sum(slope.sel(confound=k) * people["z"].sel(covariate=k, drop=True) for k in ("age", "sex"))
            + parameters["roi_site"].sel(site=people[n.SITE_OF])
        )
        residual = (scans["activation_latent"] - expected).transpose(n.PARTICIPANT, n.ROI).to_numpy()
        known = np.column_stack([people["eta"], people["x"], people["z"], c, motion])
        r = np.corrcoef(np.column_stack([residual, known]).T)[:24, 24:]
        assert np.abs(r).max() < 4 / np.sqrt(len(residual))
        sizes = [PUBLISHED[f"{name}_residual"] for name in ("person", "network", "homotopic", "roi")]
        amygdala = ATLAS.labels.index("AMY_L")
        assert residual[:, amygdala].var() == pytest.approx(np.sum(np.square(sizes)), rel=0.12)

    def test_motion_goes_with_age_and_severity(self, scans: xr.Dataset, crowd: xr.Dataset) -> None:
        scanned = crowd.sel(participant=scans[n.PARTICIPANT])
        assert np.corrcoef(scans[n.MOTION], scanned["age"])[0, 1] < -0.1
        assert np.corrcoef(scans[n.MOTION], scanned["severity"])[0, 1] > 0.1
        assert 0.1 < float(scans[n.MOTION].mean()) < 0.3

    def test_regions_have_a_unit_of_about_one(self, scans: xr.Dataset) -> None:
        spread = scans["activation_latent"].std(n.PARTICIPANT)
        assert 0.85 < float(spread.min()) <= float(spread.max()) < 1.25
