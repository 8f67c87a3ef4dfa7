"""The short version, two revisions side by side, the index, what to cite, model cards, the authors' words."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from typer.testing import CliRunner

from artefacts import FUNCTIONS, make_checks, make_params, write_project
from nssi_bayes import cli, compare, report
from nssi_bayes.compare.held import _of_scheme
from nssi_bayes.errors import ArtefactError, SpecError
from nssi_bayes.report.against import conclusions
from nssi_bayes.report.card import card
from nssi_bayes.report.citations import bibtex
from nssi_bayes.report.cite import cite
from nssi_bayes.report.clinical import sure
from nssi_bayes.report.evidence import Evidence, gather
from nssi_bayes.report.items import items
from nssi_bayes.report.sections import SECTIONS
from nssi_bayes.report.sections.criticism import slot_of
from nssi_bayes.report.sections.guidelines import RULES, state
from nssi_bayes.report.sections.methods import paragraphs
from nssi_bayes.share.tables import safe_evidence
from nssi_bayes.spec import read_model
from nssi_bayes.store import Layout, read_json, write_json, write_text

ONE = ("heterogeneity/disorder_means",)
PARAMS = make_params(roster=ONE, questions=("heterogeneity",))
CAUSAL = re.compile(
    r"\b(caus\w+|leads? to|due to|because of|effects? of|impact\w*|drives?|protects?|risk factor)\b", re.I
)
JARGON = re.compile(
    r"\b(posterior|prior|interval|ROPE|elpd|sd|R-hat|P\(|τ|LOO|latent|parameter|probability distribution)\b"
)


@pytest.fixture
def lab(tmp_path: Path) -> Layout:
    """A project under Git whose one model has no images, so that a page is made quickly."""
    layout = write_project(tmp_path, roster=ONE)
    estimates = read_json(layout.estimates(ONE[0]))
    bare = {"rois": [], "rois_by_disorder": [], "networks": [], "edges": [], "network_pairs": []}
    write_json(layout.estimates(ONE[0]), {**estimates, **bare})
    write_text(
        layout.params,
        "study: demo\nsource: data/demo/bids\nseed: 7\nsynthetic_cohorts: [demo]\n"
        f"roster: [{ONE[0]}]\nquestions: [heterogeneity]\n",
    )
    compare.run(layout, PARAMS, "heterogeneity")
    return layout


def _git(layout: Layout, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *who, *arguments], cwd=layout.root, check=True, capture_output=True)


def _commit(layout: Layout) -> None:
    _git(layout, "init", "--quiet")
    _git(layout, "add", "params.yaml", "models", "reports", "data/demo/flow.json", "data/demo/study.yaml")
    _git(layout, "commit", "--quiet", "-m", "a run")


def _text(page: str) -> str:
    page = re.sub(r"<(style|script)>.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


# -- in plain words ----------------------------------------------------------------------------------------


def test_the_short_version_is_short_plain_and_not_causal(lab: Layout) -> None:
    report.run(lab, PARAMS, "heterogeneity", audience="clinical")
    text = _text(lab.report_for("heterogeneity", "clinical").read_text())
    assert not CAUSAL.search(text), CAUSAL.search(text)
    assert not JARGON.search(text), JARGON.search(text)
    assert "Synthetic data." in text
    assert "must not be used to diagnose" in text
    assert "It does not say anything about one person" in text
    assert len(text.split()) < 900
    assert not lab.report("heterogeneity").exists()


@pytest.mark.parametrize(
    ("p", "word"),
    [
        (0.995, "almost surely"),
        (0.005, "almost surely"),
        (0.96, "very probably"),
        (0.85, "probably"),
        (0.5, "perhaps"),
    ],
)
def test_how_sure_in_words(p: float, word: str) -> None:
    assert sure(p) == word


def test_plain_words_follow_the_sign_and_the_verdict(lab: Layout) -> None:
    estimates = read_json(lab.estimates(ONE[0]))
    for row in estimates["contrasts"]:
        row |= {"mean": 0.0, "p_positive": 0.5, "p_over_rope": 0.3}
    estimates["contrasts"][0] |= {"mean": -0.7, "p_positive": 0.001, "p_over_rope": 0.99}
    for row in estimates["slopes"]:
        row |= {"mean": 0.01, "p_positive": 0.6, "p_over_rope": 0.01}
    write_json(lab.estimates(ONE[0]), estimates)
    report.run(lab, PARAMS, "heterogeneity", audience="clinical")
    text = _text(lab.report_for("heterogeneity", "clinical").read_text())
    first = estimates["contrasts"][0]
    assert (
        f"People with {first['other']} disorders almost surely report emotion regulation as a reason more "
        f"than people with {first['disorder']} disorders do: a moderate difference." in text
    )
    assert "Trauma and emotion regulation are practically unrelated." in text


def test_an_unknown_audience_gets_a_suggestion(lab: Layout) -> None:
    with pytest.raises(SpecError, match="Did you mean 'clinical'"):
        report.run(lab, PARAMS, "heterogeneity", audience="clincal")  # type: ignore[arg-type]


# -- two revisions -----------------------------------------------------------------------------------------


def test_nothing_changed_is_said(lab: Layout) -> None:
    _commit(lab)
    report.run(lab, PARAMS, "heterogeneity", against="HEAD")
    text = _text(lab.report_for("heterogeneity", "against").read_text())
    assert "Nothing changed: the same parameters, specifications and fingerprints." in text
    assert "No conclusion changed." in text
    assert "No mean moved" in text


def test_what_changed_is_shown(lab: Layout) -> None:
    _commit(lab)
    estimates = read_json(lab.estimates(ONE[0]))
    estimates["slopes"][0] |= {"mean": 0.9, "low": 0.7, "high": 1.1, "p_positive": 1.0, "p_over_rope": 1.0}
    estimates["slopes"][1] |= {"p_positive": 0.5, "p_over_rope": 0.01}
    write_json(lab.estimates(ONE[0]), estimates)
    write_text(lab.spec(ONE[0]), lab.spec(ONE[0]).read_text() + "disorder: {levels: true}\n")
    params = make_params(roster=ONE, questions=("heterogeneity",), seed=8)
    report.run(lab, params, "heterogeneity", against="HEAD")
    page = lab.report_for("heterogeneity", "against").read_text()
    text = _text(page)
    assert re.search(r"seed 7 8", text)
    assert "specification of disorder_means" in text
    assert "positive, beyond the ROPE" in text
    assert "emotion regulation, trauma" in text
    assert page.count("<img") == 2 * 2 * len(FUNCTIONS)  # levels and slopes, then and now
    assert 'class="missing"' not in page


def test_conclusions_that_moved_are_those_whose_verdict_or_sign_did() -> None:
    def side(*rows: tuple[float, float, float]) -> dict[str, Any]:
        slopes = [
            {"function": f"f{i}", "factor": "trauma", "mean": m, "p_positive": p, "p_over_rope": o}
            for i, (m, p, o) in enumerate(rows)
        ]
        return {"interval": 0.9, "rope": 0.2, "slopes": slopes}

    then = side((0.3, 0.99, 0.5), (0.3, 0.99, 0.5), (0.1, 0.5, 0.5), (0.1, 0.5, 0.01))
    now = side((-0.3, 0.01, 0.5), (0.4, 0.98, 0.6), (0.3, 0.99, 0.99))
    moved = {row["what"]: (row["then"], row["now"]) for row in conclusions(now, then)}
    assert moved == {
        "slopes: f0, trauma": ("positive, a direction", "negative, a direction"),
        "slopes: f2, trauma": ("not settled", "positive, beyond the ROPE"),
        "slopes: f3, trauma": ("practically none", "not there"),
    }


def test_a_revision_that_is_not_there_or_has_no_results_is_one_message(lab: Layout) -> None:
    _commit(lab)
    for rev in ("nowhere", "--output=x"):
        with pytest.raises(SpecError, match=r"no revision|begin with a dash"):
            report.run(lab, PARAMS, "heterogeneity", against=rev)
    _git(lab, "rm", "--quiet", "-r", "--cached", "models/heterogeneity/disorder_means", "reports")
    _git(lab, "commit", "--quiet", "-m", "without results")
    with pytest.raises(ArtefactError, match="has no results of question heterogeneity"):
        report.run(lab, PARAMS, "heterogeneity", against="HEAD")


# -- the index, what to cite, cards ------------------------------------------------------------------------


def test_the_index_leads_to_what_is_there_and_says_what_is_not(lab: Layout) -> None:
    params = make_params(roster=(*ONE, "outcome/joint"), questions=("heterogeneity", "outcome"))
    report.run(lab, params, "heterogeneity")
    page = lab.index.read_text()
    assert 'href="heterogeneity/report.html"' in page
    assert 'href="outcome/report.html"' not in page
    assert "uv run dvc repro report@outcome" in page
    assert "outcome/joint: its checks are missing." in page
    assert "Synthetic data." in page
    write_json(lab.checks(ONE[0]), make_checks(ONE[0], certified=False))
    report.write_index(lab, params)
    assert "heterogeneity/disorder_means is not certified." in lab.index.read_text()


def test_what_to_cite_is_bibtex_with_the_instruments_and_the_version(lab: Layout) -> None:
    told = cite(lab, PARAMS, "heterogeneity")
    assert "@software{nssi_bayes," in told
    assert "instrument_isas" in told
    assert "10.1007/s10862-008-9107-z" in told
    for entry in told.strip().split("\n\n"):
        assert re.match(r"@\w+\{[\w:]+,\n", entry), entry
        assert entry.count("{") == entry.count("}"), entry
    with pytest.raises(SpecError, match="Did you mean 'heterogeneity'"):
        cite(lab, PARAMS, "heterogenity")


def test_the_verb_cites_without_a_project(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["--root", str(tmp_path), "cite"])
    assert done.exit_code == 0
    assert done.output == bibtex([])


def test_a_card_says_what_it_is_for_and_what_it_is_not(lab: Layout) -> None:
    checks = make_checks(ONE[0])
    told = card(ONE[0], read_model(lab, ONE[0]), checks, title="A cohort")
    for part in (
        "## Intended use",
        "## Data",
        "## Limits",
        "**Not a clinical device.**",
        "Synthetic data",
        "Certified: yes",
        checks["fingerprint"],
        "- Study: A cohort.",
    ):
        assert part in told
    assert not re.search(r"\b120\b", told)
    failed = card(ONE[0], read_model(lab, ONE[0]), make_checks(ONE[0], certified=False), title="")
    assert "**Not certified.**" in failed
    assert "- Failed: rhat." in failed


# -- guidelines, the authors' words, sections ---------------------------------------------------------------


@pytest.fixture
def evidence(lab: Layout) -> Evidence:
    return gather(lab, PARAMS, "heterogeneity")


def test_every_item_has_a_state_a_place_and_a_rule(evidence: Evidence) -> None:
    places = {name for name, _, _ in SECTIONS}
    assert {i.guideline for i in items()} == {"BARG", "WAMBS", "COBIDAS", "STROBE"}
    assert len({i.key for i in items()}) == len(items())
    assert {i.rule for i in items()} <= set(RULES)
    for item in items():
        assert item.place in places
        found, why = state(evidence, item)
        assert found in ("met", "partial", "needs author text")
        assert why


def test_no_rule_says_met_of_nothing() -> None:
    nothing = Evidence("heterogeneity", PARAMS, list(ONE))
    met = {i.key for i in items() if state(nothing, i)[0] == "met"}
    assert met == {i.key for i in items() if i.rule == "always"}


def test_what_the_authors_say_is_printed_and_counts(lab: Layout) -> None:
    write_text(lab.author("heterogeneity"), "texts:\n  strobe.limitations: One clinic only.\n")
    report.run(lab, PARAMS, "heterogeneity")
    page = lab.report("heterogeneity").read_text()
    row = re.search(r"<tr><th scope=\"row\">limitations \(19\).*?</tr>", page)
    assert row is not None
    assert "One clinic only." in row[0]
    assert ">met<" in row[0]


def test_a_key_of_the_authors_that_is_no_item_is_shown_and_named(lab: Layout) -> None:
    write_text(lab.author("heterogeneity"), "texts:\n  strobe.limitation: x\n")
    report.run(lab, PARAMS, "heterogeneity")
    text = _text(lab.report("heterogeneity").read_text())
    assert "no such item. Did you mean &#39;strobe.limitations&#39;?" in text


def test_comparing_drafts_the_authors_file_once(lab: Layout) -> None:
    path = lab.author("heterogeneity")
    assert "texts: {}" in path.read_text()
    write_text(path, "texts: {}\n# mine\n")
    compare.run(lab, PARAMS, "heterogeneity")
    assert path.read_text().endswith("# mine\n")


def test_the_methods_text_names_data_model_priors_and_decisions(evidence: Evidence) -> None:
    told = "\n".join(paragraphs(evidence))
    for part in (
        "120 people",
        "synthetic",
        "cumulative logit",
        "LKJ",
        "Nothing varies by disorder",
        "4 chains of 1000",
        "root seed 7",
        "90% equal-tailed",
        "±0.20",
        "missing at random",
    ):
        assert part in told
    assert not CAUSAL.search(told)
    few = gather_few(evidence)
    assert "7 people" not in "\n".join(paragraphs(few))


def test_the_methods_text_tells_the_warm_ups_of_chains_that_were_continued(evidence: Evidence) -> None:
    assert "parts" not in "\n".join(paragraphs(evidence))
    evidence.checks[str(evidence.main)]["sampling"] |= {"draws": 3000, "tune": 150, "parts": 3}
    for page in (evidence, safe_evidence(evidence)):
        told = "\n".join(paragraphs(page))
        assert "4 chains of 3000 draws after 150 of warm-up, in 3 parts with a warm-up each" in told


def test_the_methods_text_tells_folds_where_people_were_left_out_in_folds(evidence: Evidence) -> None:
    assert "participant-level leave-one-out cross-validation" in "\n".join(paragraphs(evidence))
    assert evidence.notes is not None
    held = xr.Dataset(attrs={"scheme": "10-fold", "because": "more than 5% of people"})
    evidence.notes["warnings"] += _of_scheme(held, {})
    for page in (evidence, safe_evidence(evidence)):
        told = "\n".join(paragraphs(page))
        assert "participant-level 10-fold cross-validation" in told
        assert "leave-one-out" not in told


def gather_few(evidence: Evidence) -> Evidence:
    evidence.checks[ONE[0]]["training"]["participants"] = 7
    return evidence


@pytest.mark.parametrize(
    ("row", "group"),
    [
        ({"name": "rhat"}, "gate"),
        ({"name": "item_floor"}, "predictive"),
        ({"name": "sbc_rank"}, "calibration"),
        ({"name": "psense_tau"}, "sensitivity"),
        ({"name": "anything", "group": "sensitivity"}, "sensitivity"),
        ({"name": "bias_isas_01"}, "bias"),
        ({"name": "something new"}, "other"),
    ],
)
def test_every_check_has_its_place(row: dict[str, Any], group: str) -> None:
    assert slot_of(row).group == group


def test_every_row_of_the_checks_is_on_the_page(lab: Layout) -> None:
    checks = read_json(lab.checks(ONE[0]))
    checks["checks"] += [
        {
            "name": "prior_scale_half",
            "group": "sensitivity",
            "passed": False,
            "value": 2.0,
            "limit": 0.0,
            "text": "conclusions that move under half the prior scale",
            "table": [{"conclusion": "mood minus eating", "moves": "yes"}],
        },
        {
            "name": "something new",
            "passed": None,
            "value": None,
            "limit": None,
            "text": "told by a later version",
        },
    ]
    write_json(lab.checks(ONE[0]), checks)
    report.run(lab, PARAMS, "heterogeneity")
    text = _text(lab.report("heterogeneity").read_text())
    for part in (
        "conclusions that move under half the prior scale",
        "FAILED",
        "mood minus eating",
        "Further checks",
        "told by a later version",
        "Calibration: not run for disorder_means.",
    ):
        assert part in text
    assert "Sensitivity: which conclusions move: not run" not in text
