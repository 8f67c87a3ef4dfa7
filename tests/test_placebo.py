"""Placebo functions: a third function is believed only if it beats every other subscale in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from artefacts import make_params, write_model, write_project
from designs import full_cohort
from nssi_bayes import compare
from nssi_bayes.blocks.design import make_design
from nssi_bayes.check.scores import observed_digests
from nssi_bayes.compare.placebo import against_placebos
from nssi_bayes.report.evidence import gather
from nssi_bayes.report.sections.answer import answer
from nssi_bayes.report.sections.comparison import comparison
from nssi_bayes.spec import JointSpec, read_model, read_params
from nssi_bayes.store import Layout, read_json, write_text

ROOT = Path(__file__).parents[1]
OWN, HYPOTHESISED = "self_punishment", "shared"


def _specs(*models: str) -> dict[str, JointSpec]:
    found = {}
    for model in models:
        spec = read_model(Layout(ROOT), model)
        assert isinstance(spec, JointSpec)
        found[model.split("/")[1]] = spec
    return found


def _whole() -> dict[str, JointSpec]:
    return _specs(*read_params(Layout(ROOT).profile("placebo")).roster)


def test_every_other_subscale_has_its_placebo() -> None:
    """The rule: two functions as published, and one of their subscales taken out as the third."""
    specs = _whole()
    (two,) = _specs("structure/two_function").values()
    subscales = {s for members in two.functions.values() for s in members}
    assert set(specs) == {HYPOTHESISED} | {f"placebo_{s}" for s in subscales - {OWN}}
    for name, spec in specs.items():
        alone = name.removeprefix("placebo_")
        if name == HYPOTHESISED:
            assert spec.functions == _specs("structure/shared")["shared"].functions
            continue
        assert spec.functions[alone] == (alone,)
        assert {f: tuple(s for s in m if s != alone) for f, m in two.functions.items()} == {
            f: m for f, m in spec.functions.items() if f != alone
        }


def test_all_of_them_observe_the_same() -> None:
    cohort = full_cohort(12)
    seen = {str(observed_digests(make_design(cohort, spec), None)) for spec in _whole().values()}
    assert len(seen) == 1


def test_functions_are_believed_only_if_they_beat_every_placebo() -> None:
    specs = _whole()
    (said,) = against_placebos(specs, lambda *_: True)
    assert "shared beats 12 of 12 placebo structures" in said
    assert said.endswith("its functions are believed.")
    (said,) = against_placebos(specs, lambda _, placebo: placebo != "placebo_revenge")
    assert "shared beats 11 of 12" in said
    assert "not believed, which asks for all. Not beaten: placebo_revenge." in said
    (said,) = against_placebos(specs, lambda _, placebo: None if placebo == "placebo_revenge" else True)
    assert "shared beats 11 of 12" in said
    assert said.endswith("not believed yet. Not ranked both: it and placebo_revenge.")
    assert "Not beaten" not in said
    del specs["placebo_revenge"]
    (said,) = against_placebos(specs, lambda *_: True)
    assert "beats 11 of 11" in said
    assert "not believed yet, for 1 subscales have no placebo" in said


def test_a_placebo_is_held_against_a_model_that_differs_in_its_functions_alone() -> None:
    specs = _specs(*(f"structure/{m}" for m in ("monolithic", "two_function", "shared", "skewed",
                                                "placebo_function")))  # fmt: skip
    (said,) = against_placebos(specs, lambda *_: True)
    assert said.startswith("shared beats 1 of 1 placebo structures")
    assert "11 subscales have no placebo here" in said


def test_without_a_placebo_the_number_of_functions_is_not_settled() -> None:
    (said,) = against_placebos(_specs("structure/monolithic", "structure/shared"), pytest.fail)  # type: ignore[arg-type]
    assert "no placebo structure" in said
    same = _specs("heterogeneity/shared", "heterogeneity/disorder_means")
    assert against_placebos(same, pytest.fail) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("gain", "beaten"), [(0.5, True), (0.0, False)])
def test_the_comparison_and_the_page_say_it(tmp_path: Path, gain: float, beaten: bool) -> None:
    roster = ("heterogeneity/shared", "heterogeneity/placebo_one")
    layout = write_project(tmp_path, roster=roster)
    head = "kind: joint\ndescription: one line\nfunctions:\n"
    write_model(layout, roster[0], gain=gain)
    write_model(layout, roster[1])
    write_text(layout.spec(roster[0]), f"{head}  a: [own]\n  b: [one, two]\n")
    write_text(layout.spec(roster[1]), f"{head}  a: [one]\n  b: [own, two]\n")
    params = make_params(roster=roster, questions=("heterogeneity",))
    compare.run(layout, params, "heterogeneity")
    (said,) = read_json(layout.comparison_notes("heterogeneity"))["placebos"]
    assert said.startswith(f"shared beats {int(beaten)} of 1 placebo structures")
    page = gather(layout, params, "heterogeneity")
    assert said in repr(answer(page))
    assert said in repr(comparison(page))
