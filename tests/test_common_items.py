"""Items that two instruments share are one indicator, and link what different people answered."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from cohort import make_cohort

from brute_force import Person
from designs import small_spec
from folders import PEOPLE, mapping, params, people, write
from nssi_bayes import ingest, schema, score
from nssi_bayes import names as n
from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.conventional import _unknown_names
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import build
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.fit.density import compile_density
from nssi_bayes.report.sections.methods import _linked
from nssi_bayes.spec import ConventionalSpec, JointSpec
from nssi_bayes.store import read_dataset, read_table
from nssi_bayes.study import Study

FIRST = PEOPLE // 2
SAME = {"b_1": "a_2", "b_2": "a_3", "b_4": "a_5"}
UNION = ["a_1", "a_2", "a_3", "a_4", "a_5", "b_3", "b_5"]
AS_ITEMS = {"testlets": "none"}


def _form(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "title": name, "form": "5 items", "timeframe": "past week", "items": 5, "minimum": 0,
        "maximum": 3, "subscales": {f"{name}_s": [1, 2, 3, 4, 5]}, "score": "sum", "min_answered": 0.8,
        "polarity": {f"{name}_s": "more of it"}, "verified": False, "verified_by": "invented",
        "reference": {"citation": "invented"}, "licence": "invented", **changes,
    }  # fmt: skip


def _answers(*, both: int = 0, differ: int = 0) -> dict[str, pd.DataFrame]:
    """Half of the people were asked a, the others b; some were asked both, a few answered otherwise."""
    rng = np.random.default_rng(3)
    eta = rng.standard_normal((PEOPLE, 1))
    whole = pd.DataFrame(
        (1.5 * eta + rng.logistic(size=(PEOPLE, len(UNION))) > np.array([-1.0, 0, 1])[:, None, None]).sum(0),
        columns=UNION,
    )
    who = pd.Series(np.arange(PEOPLE))
    a = whole[UNION[:5]].astype("object")
    a[who >= FIRST + both] = "n/a"
    b = pd.DataFrame({f"b_{i}": whole[SAME.get(f"b_{i}", f"b_{i}")] for i in range(1, 6)})
    b = b.astype("object")
    turned = (who >= FIRST) & (who < FIRST + differ)
    b.loc[turned, "b_1"] = 3 - b.loc[turned, "b_1"]
    b[who < FIRST] = "n/a"
    labels = [f"sub-{k:03d}" for k in range(PEOPLE)]
    found = {"participants.tsv": people(rng)}
    for name, table in (("a", a), ("b", b)):
        table.insert(0, "participant_id", labels)
        found[f"phenotype/{name}.tsv"] = table
    return found


def _study(same: dict[str, dict[str, str]], **changes: Any) -> dict[str, Any]:
    instruments = {
        name: {"table": f"phenotype/{name}.tsv", "column": f"{name}_{{item}}", "same_as": same.get(name, {})}
        for name in ("a", "b")
    }
    return mapping(**{"instruments": instruments, "items": ["a", "b"], "factors": {}, **changes})


def _scored(
    root: Path, same: dict[str, dict[str, str]], *, forms: dict[str, Any] | None = None, **answers: int
) -> tuple[xr.Dataset, pd.DataFrame]:
    layout = write(root, _answers(**answers), _study(same))
    layout.instruments("toy").mkdir()
    for name in ("a", "b"):
        content = _form(name, **(forms or {}).get(name, {}))
        (layout.instruments("toy") / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    ingest.run(layout, params())
    score.run(layout, params())
    return read_dataset(layout.scores("toy")), read_table(layout.audit_of("score", "toy"))


def _cohort(scores: xr.Dataset) -> xr.Dataset:
    """Return a cohort whose items are these."""
    rng = np.random.default_rng(5)
    base = make_cohort(rng, PEOPLE, subscales={}, reliability={"trauma": 0.8}).drop_dims(n.ITEM)
    items = scores[[n.RESPONSE]].drop_vars(n.PARTICIPANT)
    found = base.assign({n.RESPONSE: items[n.RESPONSE]})
    assert schema.violations(found) == []
    return found


def _spec(**changes: Any) -> JointSpec:
    content = {"functions": {"inner": ["a_s", "b_s"]}, "measurement": AS_ITEMS, "outcome": "severity"}
    return small_spec(**{**content, **changes})


def _union(cohort: xr.Dataset) -> xr.Dataset:
    """Return the same people with one instrument of all items, what nobody asked them missing."""
    whole = _answers()
    a, b = (whole[f"phenotype/{k}.tsv"].replace("n/a", np.nan) for k in "ab")
    columns = [
        a[item].fillna(b[{v: k for k, v in SAME.items()}[item]]) if item in SAME.values() else (
            a if item in a else b)[item]
        for item in UNION
    ]  # fmt: skip
    coords = {n.ITEM: UNION, n.ITEM_INSTRUMENT: (n.ITEM, ["u"] * 7), n.ITEM_SUBSCALE: (n.ITEM, ["u_s"] * 7),
              n.ITEM_CATEGORIES: (n.ITEM, [4] * 7)}  # fmt: skip
    response = np.column_stack(columns).astype(float)
    units = cohort[n.RESPONSE].attrs
    return cohort.drop_dims(n.ITEM).assign_coords(coords).assign(
        {n.RESPONSE: ((n.PARTICIPANT, n.ITEM), response, units)}
    )  # fmt: skip


def test_the_density_is_that_of_one_instrument_with_missing_answers(tmp_path: Path) -> None:
    scores, audit = _scored(tmp_path, {"b": SAME})
    assert scores[n.ITEM].to_numpy().tolist() == UNION
    assert scores[n.ITEM_ALSO].to_numpy().tolist() == ["", "b_s", "b_s", "", "b_s", "", ""]
    told = audit[audit["rule"].str.startswith("the same item as")]
    assert dict(zip(told["column"], told["changed"], strict=True)) == dict.fromkeys(SAME, PEOPLE - FIRST)
    cohort = _cohort(scores)
    linked, union = build(_spec(), cohort), build(_spec(functions={"inner": ["u_s"]}), _union(cohort))
    assert linked.design.coords[n.INDICATOR] == UNION
    ours, theirs = compile_density(linked), compile_density(union)
    assert ours.size == theirs.size
    for point in np.random.default_rng(1).standard_normal((3, ours.size)):
        value, slope = ours.value_and_gradient(0.5 * point)
        other, expected = theirs.value_and_gradient(0.5 * point)
        assert value == pytest.approx(other, rel=1e-12)
        np.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-9)


def test_a_common_item_has_one_loading_and_each_persons_likelihood_is_that_of_a_dense_grid(
    tmp_path: Path,
) -> None:
    built = build(_spec(), _cohort(_scored(tmp_path, {"b": SAME})[0]))
    theta = {
        k: v[0] for k, v in draw(built.parameters, built.design.coords, np.random.default_rng(2), 1).items()
    }
    assert theta["lambda"].shape == (len(UNION),)
    grid = marginal.grid_settings(1, fine=True)
    many = {k: v[None] for k, v in theta.items()}
    found = marginal.evaluate(
        many, built.design, include=joint.BLOCKS, grid=grid, moments=False
    ).log_integral[0]
    for i in (0, FIRST - 1, FIRST, PEOPLE - 1):
        assert found[i] == pytest.approx(
            Person(theta, built.design, i, joint.BLOCKS).log_likelihood(), abs=0.01
        )


def test_scales_are_of_their_own_instruments_still(tmp_path: Path) -> None:
    with_common, alone = (_scored(tmp_path / k, s)[0] for k, s in (("one", {"b": SAME}), ("two", {})))
    np.testing.assert_array_equal(with_common[n.SCALE_SCORE], alone[n.SCALE_SCORE])
    np.testing.assert_array_equal(with_common[n.SCALE_RELIABILITY], alone[n.SCALE_RELIABILITY])
    assert n.ITEM_ALSO not in alone.coords


def test_what_is_not_linked_is_refused_with_both_cures(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="2 parts") as refused:
        make_design(_cohort(_scored(tmp_path, {})[0]), _spec())
    assert "`same_as`" in str(refused.value)
    assert "assume: equivalent_groups" in str(refused.value)


def test_common_items_of_sums_link_nothing(tmp_path: Path) -> None:
    """Nobody answered a subscale of which others answered a part, so that its sum is missing."""
    cohort = _cohort(_scored(tmp_path, {"b": {"b_1": "a_2"}})[0])
    with pytest.raises(SpecError, match="keep_items"):
        make_design(cohort, _spec(measurement={"testlets": "sum", "keep_items": ["b_s"]}))


def test_a_common_item_of_two_functions_is_refused(tmp_path: Path) -> None:
    cohort = _cohort(_scored(tmp_path, {"b": {"b_1": "a_2"}})[0])
    with pytest.raises(SpecError, match=r"a_2: it is of 'a_s', under functions.one, and of 'b_s'"):
        make_design(cohort, _spec(functions={"one": ["a_s"], "two": ["b_s"]}))


def test_items_that_stand_under_a_subscale_that_is_left_out_are_not_lost(tmp_path: Path) -> None:
    cohort = _cohort(_scored(tmp_path, {"b": {"b_1": "a_2"}})[0])
    with pytest.raises(SpecError, match="a_2: it is an item of 'b_s', too, but stands under 'a_s'"):
        make_design(cohort, _spec(functions={"one": ["b_s"]}))
    plain = ConventionalSpec(
        kind="conventional", description="c", functions={"one": ("b_s",)}, outcome="severity"
    )
    assert len(_unknown_names(plain, cohort)) == 1
    assert make_design(cohort, _spec(functions={"one": ["a_s"]})).coords[n.INDICATOR] == UNION[:5]


def test_who_answered_both_alike_has_one_answer_and_otherwise_is_refused(tmp_path: Path) -> None:
    scores, _ = _scored(tmp_path / "alike", {"b": SAME}, both=7)
    assert scores[n.ITEM].to_numpy().tolist() == UNION
    with pytest.raises(DataError, match="b_1 and a_2, which are the same") as refused:
        _scored(tmp_path / "otherwise", {"b": SAME}, both=7, differ=2)
    assert "people" not in str(refused.value)  # 7 and 2 are few


@pytest.mark.parametrize(
    ("same", "forms", "said"),
    [
        ({"b": {"b_6": "a_2"}}, {}, "no item of b that measures a function. Did you mean 'b_5'"),
        ({"b": {"b_1": "a_9"}}, {}, "'a_9' is no such item of another instrument"),
        ({"b": {"b_1": "b_2"}}, {}, "'b_2' is no such item of another instrument"),
        ({"b": {"b_1": "a_2"}, "a": {"a_2": "b_1"}}, {}, "no circle"),
        ({"b": {"b_1": "a_2", "b_3": "a_2"}}, {}, "another item of b is the same as a_2 already"),
        ({"b": {"b_1": "a_2"}}, {"b": {"maximum": 4}}, "b_1 has 5 categories, a_2 has 4"),
    ],
)
def test_what_cannot_be_the_same_is_refused(
    tmp_path: Path, same: dict[str, dict[str, str]], forms: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError) as refused:
        _scored(tmp_path, same, forms=forms)
    assert said in str(refused.value)


def test_the_methods_text_counts_common_items() -> None:
    for same, said in (({"b": SAME}, " Items counted as the same in two instruments: 3."), ({}, "")):
        study = Study.model_validate(_study(same))
        assert _linked(SimpleNamespace(study=study)) == said  # type: ignore[arg-type]
