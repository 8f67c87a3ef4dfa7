"""A model that changed: nothing that was found of it before is told as if it were found now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from artefacts import make_params, write_project
from designs import small_cohort, small_spec
from nssi_bayes import compare, load_posterior, report, share
from nssi_bayes.build import build, fingerprint
from nssi_bayes.check import prior
from nssi_bayes.errors import ArtefactError
from nssi_bayes.spec import read_model
from nssi_bayes.store import (
    Layout,
    read_dataset,
    read_json,
    read_tree,
    write_dataset,
    write_json,
    write_text,
    write_tree,
)  # fmt: skip

ONE = ("heterogeneity/disorder_means",)


@pytest.fixture
def bare(tmp_path: Path) -> Layout:
    """A project whose one model has no regions, so that a page is made quickly."""
    layout = write_project(tmp_path, roster=ONE)
    none: dict[str, list[object]] = {k: [] for k in ("rois", "networks", "edges", "network_pairs")}
    write_json(layout.estimates(ONE[0]), {**read_json(layout.estimates(ONE[0])), **none})
    return layout


def _text(layout: Layout) -> str:
    report.run(layout, make_params(roster=ONE, questions=("heterogeneity",)), "heterogeneity")
    page = layout.report("heterogeneity").read_text(encoding="utf-8")
    page = re.sub(r"<(style|script)>.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_what_was_found_of_another_state_of_the_model_is_not_shown(bare: Layout) -> None:
    """Its priors changed since: what `sensitivity` found of the old ones is none of this model's."""
    old = {"fingerprint": "of the old priors", "statistics": []}
    write_json(bare.numbers("prior_predictive", ONE[0]), old)
    text = _text(bare)
    assert "prior_predictive.json: of another state of the model (other priors, data or structure)" in text
    assert "Prior predictive check: not run for disorder_means." in text
    write_json(bare.numbers("prior_predictive", ONE[0]), {"statistics": []})  # of a former version
    assert "Prior predictive check: not run" not in _text(bare)
    write_json(bare.fingerprint(ONE[0]), {"fingerprint": "of new priors", "parameters": ["A"]})
    text = _text(bare)
    assert "disorder_means: its checks are missing; do not read its numbers." in text
    assert "checks.json: of another state of the model" in text
    assert "The estimates of disorder_means are missing" in text


def test_draws_of_a_model_that_was_not_checked_are_not_drawn_on(bare: Layout) -> None:
    tree = read_tree(bare.posterior(ONE[0]))
    tree.attrs["fingerprint"] = read_json(bare.checks(ONE[0]))["fingerprint"]
    write_tree(bare.posterior(ONE[0]), tree)
    assert "worlds with τ as large" in _text(bare)
    tree.attrs["fingerprint"] = "of new priors"
    write_tree(bare.posterior(ONE[0]), tree)
    text = _text(bare)
    assert "worlds with τ as large" not in text
    assert "draws of another model than the one that was checked" in text


def test_scores_of_another_state_of_the_model_are_refused(tmp_path: Path) -> None:
    """The model was built anew, with other priors, and not checked since."""
    layout = write_project(tmp_path)
    scores = read_dataset(layout.loo("heterogeneity/shared"))
    write_dataset(layout.loo("heterogeneity/shared"), scores.assign_attrs(fingerprint="of the old priors"))
    with pytest.raises(ArtefactError, match=r"scores of another state of the model.*\n.*check@het"):
        compare.run(layout, make_params(), "heterogeneity")


def test_draws_that_were_not_checked_are_not_called_certified_and_not_shared(bare: Layout) -> None:
    params = make_params(roster=ONE, questions=("heterogeneity",))
    tree = read_tree(bare.posterior(ONE[0]))
    checked = read_json(bare.checks(ONE[0]))
    write_json(bare.checks(ONE[0]), {**checked, "fit": "with 1000 draws"})
    given = {"fingerprint": checked["fingerprint"], "fit": "with 1000 draws"}
    for changed in ({}, {"fingerprint": "of new priors"}, {"fit": "with another seed"}):
        tree.attrs.update({**given, **changed})
        write_tree(bare.posterior(ONE[0]), tree)
        if not changed:
            assert load_posterior(ONE[0], bare.root).attrs["certified"] == 1
            continue
        with pytest.warns(UserWarning, match="was not checked; what was checked are other draws"):
            assert load_posterior(ONE[0], bare.root).attrs["certified"] == -1
        with pytest.raises(ArtefactError, match="what was checked are other draws"):
            share.run(bare, params, ONE[0], out=bare.root / "out")


def test_a_prior_predictive_says_of_which_model_it_is(tmp_path: Path) -> None:
    layout, spec, cohort = Layout(tmp_path), small_spec(), small_cohort(30)
    write_dataset(layout.cohort("demo"), cohort)
    write_text(layout.spec("q/m"), yaml.safe_dump(spec.model_dump(mode="json", exclude_defaults=True)))
    prior.run(layout, make_params(roster=("q/m",), questions=("q",)), model="q/m")
    mark = read_json(layout.numbers("prior_predictive", "q/m"))["fingerprint"]
    read = read_model(layout, "q/m")
    assert mark == fingerprint(build(read, read_dataset(layout.cohort("demo"))), read)
