"""Comparison: the right numbers, the roster only, and refusal of what is not comparable."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from artefacts import OUTCOME_BLOCK, make_loo, make_params, write_model, write_project
from nssi_bayes import compare
from nssi_bayes.check import scores
from nssi_bayes.errors import ArtefactError, SpecError
from nssi_bayes.report.sections.comparison import _k_hat
from nssi_bayes.spec import OutcomeFrom
from nssi_bayes.store import Layout, read_dataset, read_json, read_table, write_dataset


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project with made-up artefacts."""
    return write_project(tmp_path)


def _change(layout: Layout, model: str, **changes: object) -> None:
    data = read_dataset(layout.loo(model))
    write_dataset(layout.loo(model), data.assign_attrs(changes))


def _compared(layout: Layout, question: str = "heterogeneity", **changes: object) -> pd.DataFrame:
    compare.run(layout, make_params(**changes), question)
    return read_table(layout.comparison(question))


def test_rows_agree_with_arviz_unrounded(layout: Layout) -> None:
    import arviz_stats
    from arviz_stats.utils import ELPDDataLOO

    table = _compared(layout).query("block == 'total'").set_index("model")
    given = {}
    for model in ("shared", "disorder_means", "disorder_circuits"):
        data = read_dataset(layout.loo(f"heterogeneity/{model}"))
        point = data["elpd"].sel(block="total", drop=True)
        given[model] = ELPDDataLOO(
            elpd=float(point.sum()), se=float(np.sqrt(point.size * point.var())),
            p=float(data["p_loo"].sel(block="total")), n_samples=4000, n_data_points=point.size,
            scale="log", warning=False, good_k=0.7, elpd_i=point, pareto_k=data["k_hat"],
        )  # fmt: skip
    theirs = arviz_stats.compare(given, round_to="none")  # rounding is trap 6
    for ours, other in (("elpd", "elpd"), ("se", "se"), ("elpd_diff", "elpd_diff"), ("diff_se", "dse")):
        np.testing.assert_allclose(table[ours], theirs.loc[table.index, other], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(table["weight"], theirs.loc[table.index, "weight"], atol=2e-3)
    assert list(table["rank"]) == [1, 2, 3]
    assert any(abs(v - round(v, 3)) > 1e-9 for v in table["elpd_diff"])


def test_stacking_finds_a_mixture_that_beats_each_model_and_survives_tiny_densities() -> None:
    rng = np.random.default_rng(3)
    good = rng.random(400) < 0.7
    elpd = np.column_stack([np.where(good, -1.0, -4.0), np.where(good, -4.0, -1.0)]) - 2000
    weights = compare.stacking_weights(elpd)
    grid = np.linspace(0, 1, 2001)
    score = [np.logaddexp(np.log(w + 1e-300) + elpd[:, 0], np.log(1 - w + 1e-300) + elpd[:, 1]).sum()
             for w in grid]  # fmt: skip
    assert weights[0] == pytest.approx(grid[int(np.argmax(score))], abs=1e-3)
    assert weights.sum() == pytest.approx(1)
    assert compare.stacking_weights(elpd[:, :1]) == [1.0]


def test_rows_are_paired_by_participant_not_by_position(layout: Layout) -> None:
    before = _compared(layout)
    model = "heterogeneity/disorder_means"
    data = read_dataset(layout.loo(model))
    write_dataset(layout.loo(model), data.isel(participant=slice(None, None, -1)))
    pd.testing.assert_frame_equal(_compared(layout), before)


def test_only_the_roster_is_compared(layout: Layout) -> None:
    write_model(layout, "heterogeneity/retired", gain=9.0)
    assert set(_compared(layout)["model"]) == {"shared", "disorder_means", "disorder_circuits"}


def test_outcome_is_compared_on_the_one_block_that_all_have(layout: Layout) -> None:
    table = _compared(layout, "outcome")
    assert set(table["block"]) == {OUTCOME_BLOCK}
    notes = read_json(layout.comparison_notes("outcome"))
    assert any(w.startswith("not compared, not scored by conventional: total") for w in notes["warnings"])


def test_a_model_without_a_block_takes_the_total_out(layout: Layout) -> None:
    model = "heterogeneity/shared"
    data = read_dataset(layout.loo(model))
    write_dataset(layout.loo(model), data.sel(block=["total", "factors", "items"]))
    assert set(_compared(layout)["block"]) == {"factors", "items"}
    warnings = " ".join(read_json(layout.comparison_notes("heterogeneity"))["warnings"])
    assert "not scored by shared: activation" in warnings
    assert "total is not compared" in warnings


@pytest.mark.parametrize(("attribute", "text"), [("observed", "observed different values"),
                                                 ("conditioned", "on different information")])  # fmt: skip
def test_other_values_or_conditions_are_refused(layout: Layout, attribute: str, text: str) -> None:
    model = "heterogeneity/disorder_means"
    content = json.loads(read_dataset(layout.loo(model)).attrs[attribute])
    _change(layout, model, **{attribute: json.dumps({**content, "items": "another"})})
    with pytest.raises(ArtefactError, match=text) as caught:
        _compared(layout)
    assert "block 'items'" in str(caught.value)
    assert "disorder_means" in str(caught.value)
    assert not layout.comparison("heterogeneity").exists()


def test_other_people_are_refused_without_naming_them(layout: Layout) -> None:
    model = "heterogeneity/shared"
    write_dataset(layout.loo(model), read_dataset(layout.loo(model)).isel(participant=slice(3, None)))
    with pytest.raises(ArtefactError, match="0 only in the first, 3 only in the second") as caught:
        _compared(layout)
    assert "sub-" not in str(caught.value)


@pytest.mark.parametrize(
    ("gain", "people", "expected"),
    [(0.0, 120, "no difference"), (0.2, 120, "worse"), (0.2, 60, "not trusted (under 100 people)")],
)
def test_verdicts(tmp_path: Path, gain: float, people: int, expected: str) -> None:
    layout = write_project(tmp_path, roster=("heterogeneity/shared", "heterogeneity/disorder_means"))
    for model, g in (("shared", 0.0), ("disorder_means", gain)):
        entry = f"heterogeneity/{model}"
        write_dataset(layout.loo(entry), make_loo(entry, people=people, gain=g))
    table = _compared(
        layout, roster=("heterogeneity/shared", "heterogeneity/disorder_means"),
        questions=("heterogeneity",),
    )  # fmt: skip
    first, second = table.query("block == 'total'")["verdict"]
    assert first == "best on this block"
    assert expected in second


def test_a_large_but_noisy_difference_is_not_settled(layout: Layout) -> None:
    rng = np.random.default_rng(0)
    model = "heterogeneity/disorder_circuits"
    data = read_dataset(layout.loo(model))
    noise = rng.normal(0, 3, data.sizes["participant"])
    data["elpd"] = data["elpd"] + xr.DataArray(noise - noise.mean() + 0.1, dims="participant")
    write_dataset(layout.loo(model), data)
    verdicts = _compared(layout).query("block == 'total' and model == 'shared'")["verdict"]
    assert "not settled" in verdicts.item()


def test_k_hat_over_the_limit_is_counted_and_distrusted(layout: Layout) -> None:
    assert compare.k_hat_limit(100) == pytest.approx(0.5)
    assert compare.k_hat_limit(4000) == 0.7
    model = "heterogeneity/disorder_circuits"
    data = read_dataset(layout.loo(model))
    values = data["k_hat"].copy()
    data["k_hat"][:3] = [0.71, 1.2, np.nan]
    data["elpd"] = data["elpd"] + 1.0
    write_dataset(layout.loo(model), data)
    table = _compared(layout).query("block == 'total'").set_index("model")
    assert table.loc["disorder_circuits", "k_hat_over"] == 3
    assert "not trusted (people over the k-hat limit in disorder_circuits)" in table.loc["shared", "verdict"]
    data["k_hat"] = values
    data["k_hat"][:7] = 0.8
    write_dataset(layout.loo(model), data)
    verdicts = _compared(layout).query("rank > 1")["verdict"]
    assert verdicts.str.startswith("not trusted: over 5% of people over the k-hat limit").all()
    notes = read_json(layout.comparison_notes("heterogeneity"))
    assert any(w.startswith("disorder_circuits: 6% of people") for w in notes["warnings"])


@pytest.mark.parametrize("rounding", [0.0, 1e-13])
@pytest.mark.parametrize(
    ("seen", "over", "expected"),
    [(110, 0, ": worse"), (25, 0, "not trusted (under 100 people)"), (110, 6, "not trusted: over 5%")],
)
def test_people_without_data_of_a_block_do_not_count(
    tmp_path: Path, seen: int, over: int, expected: str, rounding: float
) -> None:
    """Of 150 people some have data; a difference rests on them, and so does the share over the limit.

    The score of who has none is log 1, found as a difference of two sums: 1e-14 of rounding is left.
    """
    layout = write_project(tmp_path, roster=("heterogeneity/shared", "heterogeneity/disorder_means"))
    total = []
    for model, gain in (("shared", 0.0), ("disorder_means", 1.0)):
        entry = f"heterogeneity/{model}"
        data = make_loo(entry, people=150, gain=gain)
        data["elpd"][seen:] = rounding * np.random.default_rng(1).standard_normal(data["elpd"][seen:].shape)
        data["k_hat"][:over] = 0.9
        total.append(data["elpd"].sel(block="total").to_numpy()[:seen])
        write_dataset(layout.loo(entry), data)
    table = _compared(
        layout, roster=("heterogeneity/shared", "heterogeneity/disorder_means"),
        questions=("heterogeneity",),
    )  # fmt: skip
    first, second = table.query("block == 'total'").to_dict("records")
    assert first["participants"] == second["participants"] == seen
    assert second["k_hat_over"] == over
    assert expected in second["verdict"]
    assert second["diff_se"] == pytest.approx(np.sqrt(seen * (total[1] - total[0]).var()))


def test_uncertified_models_are_left_out_and_named_unless_allowed(layout: Layout) -> None:
    write_model(layout, "heterogeneity/disorder_means", certified=False)
    assert "disorder_means" not in set(_compared(layout)["model"])
    notes = read_json(layout.comparison_notes("heterogeneity"))
    assert notes["refused"] == ["disorder_means: not certified, left out of the ranking"]
    table = _compared(layout, allow_uncertified=True)
    assert not table.set_index("model").loc["disorder_means", "certified"].any()
    assert "not certified" in read_json(layout.comparison_notes("heterogeneity"))["warnings"][0]


def test_nobody_certified_still_writes_both_files(layout: Layout) -> None:
    for model in ("outcome/conventional", "outcome/joint"):
        write_model(layout, model, certified=False)
    assert _compared(layout, "outcome").empty
    assert len(read_json(layout.comparison_notes("outcome"))["refused"]) == 2


def test_broken_scores_are_refused_with_all_problems(layout: Layout) -> None:
    model = "heterogeneity/shared"
    data = read_dataset(layout.loo(model)).drop_vars("p_loo")
    del data.attrs["draws"]
    write_dataset(layout.loo(model), data)
    with pytest.raises(ArtefactError, match="2 problems"):
        _compared(layout)
    data = make_loo(model)
    data["elpd"][4, 1] = np.nan
    write_dataset(layout.loo(model), data)
    with pytest.raises(ArtefactError, match="1 people have a score that is not finite"):
        _compared(layout)


def test_unknown_question_and_missing_scores(layout: Layout) -> None:
    with pytest.raises(SpecError, match="Did you mean 'outcome'"):
        compare.run(layout, make_params(), "outcom")
    layout.loo("outcome/joint").unlink()
    with pytest.raises(ArtefactError, match=r"outcome/joint/loo\.nc"):
        compare.run(layout, make_params(), "outcome")


def test_equal_input_gives_equal_bytes(layout: Layout) -> None:
    def digests() -> list[str]:
        _compared(layout)
        paths = (layout.comparison("heterogeneity"), layout.comparison_notes("heterogeneity"))
        return [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths]

    assert digests() == digests()


def test_the_page_shows_k_hat_of_folds_only_where_one_failed() -> None:
    row = {"method": "10-fold", "k_hat_over": 0, "k_hat_max": 0.0, "participants": 120}
    assert set(_k_hat(row, 11).values()) == {"–"}
    failed = _k_hat({**row, "k_hat_over": 12, "k_hat_max": float("inf")}, 11)
    few = _k_hat({**row, "method": "PSIS", "k_hat_over": 2}, 11)
    assert list(few.values()) == ["0.00", "<11"]  # nor of how many: 116 have items
    assert list(failed.values()) == ["∞", "10%"]


def test_a_model_that_is_given_a_treatment_is_not_compared_with_one_that_is_not() -> None:
    blocks = ["factors", "items", "activation", "outcome"]
    terms = OutcomeFrom(), OutcomeFrom(treatment=("therapy",), baseline=True)
    plain, given = (scores.conditions(blocks, t) for t in terms)
    differ = {name for name in plain if plain[name] != given[name]}
    assert differ == {"outcome", scores.OUTCOME_GIVEN, scores.TOTAL}
    assert given[scores.OUTCOME_GIVEN] == "factors, items, treatment therapy, the outcome before"
    assert given["items"] == "factors"


def test_what_only_one_model_is_given_is_named(tmp_path: Path) -> None:
    roster = ("heterogeneity/shared", "heterogeneity/disorder_means")
    layout = write_project(tmp_path, roster=roster)
    for model in roster:
        data = make_loo(model, people=120)
        told = json.loads(data.attrs["conditioned"])
        if model == roster[1]:
            told["total"] = "treatment therapy"
            data.attrs["conditioned"] = json.dumps(told)
        write_dataset(layout.loo(model), data)
    with pytest.raises(ArtefactError, match="only disorder_means is given treatment therapy"):
        _compared(layout, roster=roster, questions=("heterogeneity",))
