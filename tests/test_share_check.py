"""`share --check`: what is planted in a folder is found, said by kind, and never quoted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nssi_bayes import share
from nssi_bayes.share.patterns import leaks_in
from nssi_bayes.store import Layout, write_text
from planted import MODEL, PARAMS, PEOPLE, PLANTED, SEEDS, make_lab, path_of, secret_of
from planted_folder import LEFT


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A project of one model, with enough people in every disorder."""
    return make_lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def clean(lab: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What may leave the lab, with the real report."""
    out = tmp_path_factory.mktemp("out") / "shared"
    share.run(lab, PARAMS, MODEL, out=out)
    return out


@pytest.fixture(scope="module")
def small(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a page that is looked through at once."""
    folder = tmp_path_factory.mktemp("small") / "shared"
    shutil.copytree(clean, folder)
    write_text(folder / "report.html", "<html><main><p>A page.</p></main></html>")
    return folder


def test_there_are_more_than_300_leaks() -> None:
    assert len(SEEDS) * (len(PLANTED) + len(LEFT)) > 300


def test_what_is_clean_is_found_clean(clean: Path, lab: Layout) -> None:
    assert share.check(clean, min_cell=11, layout=lab, params=PARAMS) == []
    assert share.check(clean, min_cell=11) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("plant", LEFT)
def test_what_is_planted_in_a_folder_is_found(
    plant: str, seed: int, small: Path, lab: Layout, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(small, folder)
    secret = secret_of(seed)
    LEFT[plant](folder, secret, seed)
    found = share.check(folder, min_cell=11, layout=lab, params=PARAMS)
    assert found, "nothing was found"
    said = "\n".join(map(str, found))
    assert secret not in said
    assert "anna" not in said.lower()


def _kinds(folder: Path, lab: Layout) -> set[str]:
    return {f.kind for f in share.check(folder, min_cell=11, layout=lab, params=PARAMS)}


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        ("_user_block_of_the_draws", "a user block"),
        ("_drawing", "metadata of a drawing"),
        ("_computable", "a hidden count that can be computed"),
        ("_three_people", "estimates or draws of a disorder of too few people"),
        ("_effects_that_give_away", "effects that give away those of a disorder that is left out"),
        ("_pointwise", "as many values as people"),
        ("_file_name", "a label of a person in its name"),
        ("_path_in_the_page", "a path of somebody's machine"),
    ],
)
def test_a_finding_says_what_it_is(plant: str, kind: str, small: Path, lab: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(small, folder)
    LEFT[plant](folder, secret_of(0), 0)
    assert kind in _kinds(folder, lab)


def _harmless() -> Iterator[str]:
    yield from (
        "a subscale, sub-scales and sub-groups",
        "doi:10.1186/s40479-020-00126-6",
        "10.1037/0022-3514.78.2.350",
        "models/heterogeneity/shared.yaml",
        "data/demo/flow.json",
        "and/or",
        "arXiv:1604.00695",
        "0.12.0.1",
        "seed 20260801",
        "90 % in .72 to 3.8",
        "r of .17 to .32",
        "task-fMRI",
        "2 of 3",
        "e.g. 1/2",
    )


@pytest.mark.parametrize("text", list(_harmless()))
def test_what_is_harmless_is_let_through(text: str) -> None:
    assert leaks_in(text) == {}


def test_what_is_found_is_never_quoted() -> None:
    found: dict[str, Any] = leaks_in(f"{secret_of(0)} {secret_of(1)} {path_of(0)}", known=PEOPLE)
    assert set(found) == {"a label of a person", "a path of somebody's machine"}
    assert all(isinstance(count, int) for count in found.values())
