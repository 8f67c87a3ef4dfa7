"""Build: labels, refusals, and that PyMC can draw from and score what it builds."""

import re
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytest

from designs import full_cohort, joint_spec, small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.design import make_design
from nssi_bayes.build import Built, build, fingerprint
from nssi_bayes.errors import SpecError
from nssi_bayes.graph import measures, to_rows, with_rows
from nssi_bayes.integrate import quadrature
from nssi_bayes.schema import violations


@pytest.fixture(scope="module")
def small() -> Built:
    cohort = small_cohort(30)
    cohort[n.RESPONSE][0] = np.nan
    cohort[n.FACTOR_SCORE][0] = np.nan
    return build(small_spec(outcome="severity"), cohort)


def test_every_parameter_has_its_name_its_dims_and_its_labels() -> None:
    built = build(joint_spec(outcome="severity"), full_cohort(20))
    dims = built.model.named_vars_to_dims
    for p in built.parameters:
        assert p.name in built.model.named_vars
        if p.dims:
            assert dims[p.name] == p.dims
    assert built.model.coords[n.FUNCTION] == ("emotion_regulation", "self_punishment", "social_signalling")
    assert built.model.coords[n.DISORDER] == ("mood", "bipolar", "eating", "borderline", "anxiety")
    assert len(built.model.coords[n.ROI]) == 24
    assert dims["data"] == (n.PARTICIPANT, n.MEASURE)
    assert list(built.model.coords[n.MEASURE]) == measures(built.design)
    expected = (
        "A B B_disorder Omega tau_mean tau_slope tau_neural L_network level_burden level_none m_burden "
        "m_none lambda gamma w q loading_person"
    )
    assert set(expected.split()) <= {p.name for p in built.parameters}


def test_a_model_in_which_nothing_varies_has_no_such_parameter() -> None:
    built = build(joint_spec("heterogeneity/shared"), full_cohort(20))
    names = {p.name for p in built.parameters}
    assert not names & {
        "A",
        "tau_mean",
        "level_burden",
        "B_disorder",
        "tau_slope",
        "L_disorder",
        "tau_neural",
    }


def test_an_unknown_subscale_gets_a_suggestion() -> None:
    functions = {
        "one": ["affect_regulaton", "anti_dissociation", "marking_distress"],
        "two": ["self_punishment"],
    }
    with pytest.raises(SpecError, match="affect_regulation"):
        build(small_spec(functions=functions), small_cohort(20))


def test_all_unknown_names_are_said_at_once() -> None:
    functions = {"one": ["affect_regulaton", "anti_dissociation", "marking_distress"], "two": ["self_punish"]}
    with pytest.raises(SpecError) as error:
        build(small_spec(functions=functions, factors=["traum"]), small_cohort(20))
    text = str(error.value)
    assert all(word in text for word in ("affect_regulaton", "self_punish", "traum"))


def test_a_function_of_two_indicators_is_refused() -> None:
    functions = {"one": ["affect_regulation", "anti_dissociation"], "two": ["self_punishment"]}
    with pytest.raises(SpecError, match="2 indicators"):
        build(small_spec(functions=functions), small_cohort(20))


def test_a_function_whose_subscales_all_have_a_residual_factor_is_refused() -> None:
    functions = {"one": ["affect_regulation", "anti_dissociation"], "two": ["self_punishment"]}
    measurement = {"keep_items": ["affect_regulation", "anti_dissociation"]}
    with pytest.raises(SpecError, match="residual factor"):
        build(small_spec(functions=functions, measurement=measurement), small_cohort(20))


def test_scans_are_refused_where_there_are_none() -> None:
    with pytest.raises(SpecError, match="activation"):
        build(small_spec(neural={"residual": "factor"}), small_cohort(20))


def test_no_missing_value_enters(small: Built) -> None:
    """Traps 4 and 5: masks of our own; nothing that PyMC sees is NaN."""
    rows = to_rows(small.design)
    assert np.isfinite(rows).all()
    (observed,) = small.model.observed_RVs
    assert np.isfinite(small.model.rvs_to_values[observed].data).all()
    again = with_rows(small.design, rows)
    np.testing.assert_array_equal(again.response, small.design.response)
    np.testing.assert_array_equal(again.factor, small.design.factor)
    np.testing.assert_array_equal(again.outcome, small.design.outcome)
    assert (small.design.response[0] == small.design.missing_response).all()


@pytest.fixture(scope="module")
def prior(small: Built) -> Any:
    with small.model, pytensor.config.change_flags(mode="FAST_COMPILE"):
        return pm.sample_prior_predictive(draws=20, random_seed=1)


def test_prior_predictive_draws_exist_and_are_data(small: Built, prior: Any) -> None:
    """Trap 3: a Potential would leave this group empty."""
    drawn = prior["prior_predictive"]["data"]
    assert drawn.dims[-2:] == (n.PARTICIPANT, n.MEASURE)
    values = drawn.to_numpy()
    assert np.isfinite(values).all()
    indicators = len(small.design.categories)
    response = values[..., :indicators]
    assert (response == np.round(response)).all()
    assert (response >= 0).all()
    seen = small.design.response < small.design.missing_response
    assert (response <= np.where(seen, small.design.categories - 1, small.design.missing_response)).all()
    assert values[..., indicators:].std() > 0.3
    assert len(np.unique(values[0, :, 5, 0])) > 1


def test_the_log_likelihood_is_one_number_a_person(small: Built) -> None:
    """Nobody is dropped, and what PyMC says is what the blocks say."""
    model, names = small.model, [p.name for p in small.parameters]
    roots = [f"{p.name}_root" if p.family == "lkj" else p.name for p in small.parameters]
    given = model.replace_rvs_by_values([model[name] for name in roots])
    outputs = [*model.logp(vars=model.observed_RVs, sum=False), *given]
    found, *values = model.compile_fn(outputs, inputs=model.value_vars, mode="FAST_COMPILE")(
        model.initial_point(random_seed=2)
    )
    assert found.shape == (30,)
    theta = dict(zip(names, values, strict=True))
    expected = joint.log_likelihood(theta, small.design, quadrature.make_grid(2, order=9, curve_nodes=21))
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert len(np.unique(found)) == 30


def test_the_fingerprint_is_of_content() -> None:
    cohort, spec = small_cohort(20), small_spec()
    first = fingerprint(build(spec, cohort), spec)
    other = small_spec(description="another text")
    assert fingerprint(build(other, cohort), other) == first
    prior = small_spec(priors={"tau_mean": {"sigma": 0.4}})
    assert fingerprint(build(prior, cohort), prior) != first
    changed = cohort.copy(deep=True)
    changed[n.FACTOR_SCORE][3] += 0.1
    assert fingerprint(build(spec, changed), spec) != first
    more = small_spec(disorder={"levels": True, "slopes": True})
    assert fingerprint(build(more, cohort), more) != first


def test_coding_decides_what_a_diagnosis_adds() -> None:
    cohort = small_cohort(60)
    additive = make_design(cohort, small_spec())
    averaged = make_design(cohort, small_spec(disorder={"levels": True, "coding": "averaged"}))
    assert additive.burden.any()
    np.testing.assert_array_equal(additive.burden, additive.diagnosis.sum(axis=1) - 1)
    np.testing.assert_allclose(averaged.diagnosis.sum(axis=1), 1)
    assert not averaged.burden.any()


def test_the_primary_diagnosis_alone_counts_where_the_cohort_tells_it() -> None:
    cohort, spec = small_cohort(60), small_spec(disorder={"levels": True, "coding": "primary"})
    diagnosis = cohort[n.DIAGNOSIS].to_numpy()
    assert (diagnosis.sum(axis=1) > 1).any()
    with pytest.raises(SpecError, match="does not say which one is primary"):
        make_design(cohort, spec)
    main = np.zeros_like(diagnosis)
    main[np.arange(60), diagnosis.argmax(axis=1)] = diagnosis.max(axis=1)
    main[:5] = 0  # the primary one is no disorder of the study
    told = cohort.assign({n.PRIMARY: (cohort[n.DIAGNOSIS].dims, main, {"units": "0 or 1"})})
    assert not [one for one in violations(told) if "primary" in one]
    design = make_design(told, spec)
    np.testing.assert_array_equal(design.diagnosis, main)
    assert not design.burden.any()
    assert design.none[:5].all()
    for wrong, said in ((np.ones_like(main), "at most"), (1 - diagnosis, "at most|does not have")):
        found = violations(told.assign({n.PRIMARY: told[n.PRIMARY].copy(data=wrong)}))
        assert re.search(said, "; ".join(found))


def test_a_subscale_enters_as_its_sum_or_by_item() -> None:
    cohort = full_cohort(20)
    design = make_design(cohort, joint_spec("structure/monolithic"))
    labels = design.coords[n.INDICATOR]
    j = labels.index("affect_regulation")
    items = cohort[n.RESPONSE][:, (cohort[n.ITEM_SUBSCALE] == "affect_regulation").to_numpy()].to_numpy()
    total = items.sum(axis=1)
    np.testing.assert_array_equal(
        design.response[:, j], np.where(np.isfinite(total), total, design.missing_response)
    )
    assert design.categories[j] == 7
    assert design.coords[n.TESTLET] == ["self_punishment", "anti_suicide"]
    assert (design.testlet_of >= 0).sum() == 6
    three = make_design(cohort, joint_spec("structure/shared"))
    assert three.coords[n.TESTLET] == ["anti_suicide"]
    assert sorted(three.coords[n.INDICATOR]) == sorted(labels)
