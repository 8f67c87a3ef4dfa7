"""Factors measured by items: what a spec, or a cohort, cannot have beside them, and what is declared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cohort import add_scores

from densities import assert_density_is_pymcs
from designs import CHILDHOOD, full_design, item_factor_cohort, item_factor_spec, joint_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.design import make_design
from nssi_bayes.build import build, build_design, fingerprint
from nssi_bayes.check.scores import observed_digests
from nssi_bayes.errors import SpecError
from nssi_bayes.spec import read_priors

THREE = {
    "one": ["affect_regulation", "anti_dissociation"], "two": ["self_punishment"],
    "three": ["marking_distress"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"factors": ["attachment"]}, "'trauma' is not among `factors`"),
        ({"factor_items": {"trauma": []}}, "has no subscale"),
        ({"factor_items": {"trauma": ["stress", "self_punishment"]}}, "functions.self_punishment, too"),
        ({"factor_items": {"trauma": ["emotional_abuse"], "attachment": ["emotional_abuse"]}}, "trauma, too"),
        ({"functions": {"trauma": ["self_punishment"]}}, "a function has this name"),
        ({"functions": THREE, "factor_items": {"trauma": ["stress"], "attachment": ["emotional_abuse"]}},
         "5 axes of the integral .* name fewer functions, or let a factor be its score"),
        ({"groups": {"by": "site", "invariance": "scalar"}, "disorder": {}}, "not beside groups"),
        ({"general": "bifactor"}, "not beside general: bifactor"),
        ({"measurement": {"cross_loadings": True}}, "not beside measurement.cross_loadings"),
        ({"measurement": {"bias": "dense"}}, "not beside measurement.bias"),
        ({"distribution": "sinh_arcsinh", "disorder": {}}, "not beside distribution: sinh_arcsinh"),
    ],
)  # fmt: skip
def test_what_a_spec_cannot_say_is_refused_with_the_cure(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as refused:
        item_factor_spec(**changes)
    assert "factor" in str(refused.value)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (
            ["emotional_abuse", "physical_abuse"],
            "factor_items.trauma: 2 indicators, at least 3 .*\n.*score with",
        ),
        (["emotional_abuse", "physical_abus"], "Did you mean 'physical_abuse'"),
        (["bullying"], "Is its instrument among `items` of study.yaml"),
        (["emotional_abuse", "hours"], "continuous score, which measures functions alone"),
    ],
)
def test_a_factor_that_its_items_do_not_identify_is_refused(items: list[str], said: str) -> None:
    cohort = add_scores(item_factor_cohort(), ["hours"], np.zeros((40, 1)))
    with pytest.raises(SpecError, match=said):
        make_design(cohort, item_factor_spec(factor_items={"trauma": items}))


def test_a_factor_of_residual_factors_alone_is_refused() -> None:
    spec = item_factor_spec(
        factor_items={"trauma": ["emotional_abuse", "physical_abuse"]}, measurement={"testlets": "factor"}
    )
    with pytest.raises(SpecError, match=r"factor_items\.trauma: every subscale .* would measure the factor"):
        make_design(item_factor_cohort(), spec)


def test_instruments_that_nothing_links_do_not_measure_one_factor() -> None:
    cohort = item_factor_cohort()
    subscale, response = cohort[n.ITEM_SUBSCALE].to_numpy().astype(str), cohort[n.RESPONSE].to_numpy()
    abuse = np.isin(subscale, ["emotional_abuse", "physical_abuse"])
    response[:20, abuse] = np.nan
    response[20:, np.isin(subscale, list(CHILDHOOD)) & ~abuse] = np.nan
    with pytest.raises(SpecError, match=r"factor_items\.trauma: its indicators fall into 2 parts"):
        make_design(cohort, item_factor_spec())


def test_an_outcome_that_is_not_gaussian_is_refused() -> None:
    cohort = item_factor_cohort()
    cohort[n.OUTCOME_VALUE][:] = (cohort[n.OUTCOME_VALUE] > 0).astype(float)
    cohort = cohort.assign_coords({n.OUTCOME_FAMILY: (n.OUTCOME, [n.BERNOULLI])})
    with pytest.raises(SpecError, match="not beside the outcome 'severity', which is bernoulli"):
        make_design(cohort, item_factor_spec(outcome="severity"))


def test_an_item_factor_has_neither_origin_nor_unit_nor_a_score() -> None:
    spec = item_factor_spec()
    cohort = item_factor_cohort()
    design = make_design(cohort, spec)
    assert design.coords[n.FACTOR] == ["attachment", "trauma"]
    assert (design.scored_factors, design.item_factors) == (["attachment"], ["trauma"])
    declared = {p.name: p for p in joint.parameters(spec, design, read_priors())}
    for name in ("mu_x", "sigma_x"):
        assert declared[name].dims == (n.FACTOR_SCORED,)
        assert declared[name].shape(design.coords) == (1,)
    assert declared["M"].shape(design.coords) == (2, 5)
    assert declared["Omega_x"].shape(design.coords) == (2, 2)
    # the prior that knows of trauma is the slope's on trauma, whatever measures it
    place = design.coords[n.FACTOR].index("trauma")
    assert declared["B"].mu[place] == pytest.approx(read_priors()["B_trauma"].mu)
    alone = item_factor_spec(factors=["trauma"])
    names = {p.name for p in joint.parameters(alone, make_design(cohort, alone), read_priors())}
    assert {"mu_x", "sigma_x", "Omega_x"}.isdisjoint(names)
    without = cohort.drop_dims(n.FACTOR)
    assert make_design(without, alone).item_factors == ["trauma"]


def test_models_without_such_factors_are_what_they_were() -> None:
    spec = joint_spec("structure/shared")
    design = full_design(spec)
    declared = {p.name: p.dims for p in joint.parameters(spec, design, read_priors())}
    assert declared["mu_x"] == declared["sigma_x"] == (n.FACTOR,)
    assert design.axes == design.coords[n.FUNCTION]
    assert not design.coords[n.FACTOR_SCORED]
    assert not design.coords[n.LATENT]
    assert design.mean_diagnosis is None


def test_two_models_with_other_items_of_a_factor_are_two_models() -> None:
    cohort = item_factor_cohort()
    fewer = item_factor_spec(factor_items={"trauma": list(CHILDHOOD)[:3]})
    whole, part = build(item_factor_spec(), cohort), build(fewer, cohort)
    assert fingerprint(whole, whole.spec) != fingerprint(part, part.spec)
    seen, other = (observed_digests(b.design, None) for b in (whole, part))
    assert seen["items"] == other["items"]  # those of the functions
    assert seen["factors"] != other["factors"]


def test_the_items_of_functions_are_scored_alike_whatever_measures_a_factor() -> None:
    cohort = item_factor_cohort()
    scored = build(item_factor_spec(factors=["attachment"], factor_items={}), cohort)
    digests = [observed_digests(b.design, None) for b in (build(item_factor_spec(), cohort), scored)]
    assert digests[0]["items"] == digests[1]["items"]
    assert digests[0]["factors"] != digests[1]["factors"]


def test_functions_and_factors_can_be_sampled_with_everything_else() -> None:
    spec = item_factor_spec("trauma", "stress", route="explicit")
    design = make_design(item_factor_cohort(24), spec)
    built = build_design(spec, design)
    assert built.explicit
    fast, stated, _ = assert_density_is_pymcs(built, scales=(0.1, 1.0), value_rtol=1e-9, gradient_rtol=1e-8)
    assert fast.size == len(stated.start)
    parameters = sum(int(np.prod(p.shape(design.coords))) for p in built.parameters)
    assert fast.size > 24 * 4
    assert fast.size - 24 * 4 < parameters
    assert dict(built.model.named_vars_to_dims)["eta"] == (n.PARTICIPANT, n.LATENT)
