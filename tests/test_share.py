"""Sharing: 300 planted leaks; each is stripped or refused by `share`, and found by `share --check`."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from artefacts import DISORDERS, FUNCTIONS, make_params, write_project
from nssi_bayes import share
from nssi_bayes.errors import ArtefactError
from nssi_bayes.privacy import pseudonym
from nssi_bayes.report import render
from nssi_bayes.share.allowed import allowed
from nssi_bayes.share.patterns import leaks_in
from nssi_bayes.store import Layout, read_json, read_tree, write_dataset, write_json, write_text, write_tree

MODEL = "heterogeneity/disorder_means"
PARAMS = make_params(roster=(MODEL,), questions=("heterogeneity",))
PEOPLE = [pseudonym(str(i), b"a key of sixteen letters") for i in range(120)]
SEEDS = range(8)
SUBSCALES = ("affect_regulation", "self_punishment", "peer_bonding")


def _secret(seed: int) -> str:
    """Return a label of a person, in one of the ways in which labs write them."""
    return (
        f"sub-{1000 + seed}",
        PEOPLE[seed],
        f"NDAR_INV{seed}AB12CD",
        PEOPLE[-seed - 1].removeprefix("sub-"),
    )[seed % 4]


def _path(seed: int) -> str:
    return (
        "/" + f"home/anna{seed}/nssi/raw",
        rf"C:\Users\anna{seed}\nssi",
        "/" + f"Users/anna{seed}/x",
        "file:///" + "srv/anna",
    )[seed % 4]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A project of one model; its cohort has labels, and enough people in every disorder."""
    layout = write_project(tmp_path_factory.mktemp("lab"), roster=(MODEL,))
    functions = "\n".join(f"  {f}: [{s}]" for f, s in zip(FUNCTIONS, SUBSCALES, strict=True))
    write_text(
        layout.spec(MODEL), f"description: one line\nfactors: [trauma, attachment]\nfunctions:\n{functions}\n"
    )
    items = ["isas_01", "isas_02"]
    write_dataset(
        layout.cohort("demo"),
        xr.Dataset(
            {"response": (("participant", "item"), np.zeros((len(PEOPLE), 2)))},
            coords={"participant": PEOPLE, "item": items, "disorder": list(DISORDERS)},
        ),
    )
    flow = read_json(layout.flow("demo"))
    write_json(layout.flow("demo"), {**flow, "disorders": [
        {"disorder": d, "participants": c} for d, c in zip(DISORDERS, (70, 25, 17, 41, 38), strict=True)]})  # fmt: skip
    return layout


@pytest.fixture(scope="module")
def clean(lab: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What may leave the lab, with the real report."""
    out = tmp_path_factory.mktemp("out") / "shared"
    share.run(lab, PARAMS, MODEL, out=out)
    return out


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that is drawn at once and says what the evidence says in words."""
    monkeypatch.setattr(
        render, "render",
        lambda e: f"<html><p>{(e.flow or {}).get('title')} {e.specs} {e.author} {e.checks} {e.unverified}</p></html>"
    )  # fmt: skip


@dataclass
class Lab:
    """A copy of the lab into which something is planted."""

    layout: Layout
    rng: np.random.Generator
    tree: xr.DataTree
    extra: list[Callable[[Path], None]] = field(default_factory=list)

    def save(self) -> None:
        """Write the posterior, and what is planted into its file."""
        path = self.layout.posterior(MODEL)
        path.unlink()
        write_tree(path, self.tree)
        for plant in self.extra:
            plant(path)


def _posterior(lab: Lab) -> xr.Dataset:
    return lab.tree["posterior"].to_dataset()


def _swap(lab: Lab, dataset: xr.Dataset) -> None:
    groups = {k: v.to_dataset() for k, v in lab.tree.children.items()}
    lab.tree = xr.DataTree.from_dict({**groups, "posterior": dataset})


def _ids_beside_chains(lab: Lab, s: str) -> None:
    _swap(lab, _posterior(lab).assign_coords(people=("chain", [s, s])))


def _ids_as_disorders(lab: Lab, s: str) -> None:
    _swap(lab, _posterior(lab).assign_coords(disorder=[s, *DISORDERS[1:]]))


def _ids_as_functions(lab: Lab, s: str) -> None:
    found = _posterior(lab)
    _swap(lab, found.assign_coords(function=[s, *found["function"].to_numpy()[1:]]))


def _ids_in_attributes(lab: Lab, s: str) -> None:
    found = _posterior(lab).assign_attrs(made_by=s)
    found["A"].attrs["note"] = f"without {s}"
    _swap(lab, found)


def _data_beside(lab: Lab, s: str) -> None:
    groups = {k: v.to_dataset() for k, v in lab.tree.children.items()}
    for name in ("observed_data", "constant_data", "posterior_predictive"):
        groups[name] = xr.Dataset(
            {"y": ("participant", np.arange(3.0))}, coords={"participant": [s, "a", "b"]}
        )
    lab.tree = xr.DataTree.from_dict(groups)


def _likelihood_by_person(lab: Lab, s: str) -> None:
    groups = {k: v.to_dataset() for k, v in lab.tree.children.items()}
    ones = np.ones((2, 5, 120))
    groups["log_likelihood"] = xr.Dataset(
        {"y": (("chain", "draw", "participant"), ones)}, coords={"participant": [s, *PEOPLE[1:]]}
    )
    lab.tree = xr.DataTree.from_dict(groups)


def _latents_of_people(lab: Lab, s: str) -> None:
    found = _posterior(lab)
    eta = np.ones((2, found.sizes["draw"], 120))
    _swap(
        lab,
        found.assign(eta=(("chain", "draw", "participant"), eta)).assign_coords(participant=[s, *PEOPLE[1:]]),
    )


def _people_under_a_known_name(lab: Lab, s: str) -> None:
    found = _posterior(lab)
    _swap(lab, found.drop_vars("M").assign(M=(("chain", "draw", "person"), np.ones((2, found.sizes["draw"], 120))))
          .assign_coords(person=[s, *PEOPLE[1:]]))  # fmt: skip


def _a_variable_named_after_one(lab: Lab, s: str) -> None:
    found = _posterior(lab)
    _swap(lab, found.assign({f"theta_{s}": (("chain", "draw"), np.ones((2, found.sizes["draw"])))}))


def _a_group_named_after_one(lab: Lab, s: str) -> None:
    groups = {k: v.to_dataset() for k, v in lab.tree.children.items()}
    lab.tree = xr.DataTree.from_dict({**groups, s: xr.Dataset({"x": ("a", [1.0])})})


def _user_block(lab: Lab, s: str) -> None:
    def plant(path: Path) -> None:
        with h5py.File(path, "r") as old, h5py.File(path.with_name("new"), "w", userblock_size=512) as new:
            for name in old:
                old.copy(old[name], new, name, expand_refs=True)
        content = bytearray(path.with_name("new").read_bytes())
        content[: len(s)] = s.encode()
        path.write_bytes(bytes(content))
        path.with_name("new").unlink()

    lab.extra.append(plant)


def _bytes_behind(lab: Lab, s: str) -> None:
    def plant(path: Path) -> None:
        with path.open("ab") as file:
            file.write(f"\n{s}\n".encode())

    lab.extra.append(plant)


def _in_a_comment_of_the_spec(lab: Lab, s: str) -> None:
    path = lab.layout.spec(MODEL)
    write_text(path, f"# tried without {s}\n{path.read_text(encoding='utf-8')}")


def _in_the_description(lab: Lab, s: str) -> None:
    path = lab.layout.spec(MODEL)
    write_text(path, path.read_text(encoding="utf-8").replace("one line", f"one line without {s}"))


def _in_the_title(lab: Lab, s: str) -> None:
    write_json(lab.layout.flow("demo"), {**read_json(lab.layout.flow("demo")), "title": f"Cohort of {s}"})


def _in_the_authors_words(lab: Lab, s: str) -> None:
    write_text(lab.layout.author("heterogeneity"), json.dumps({"texts": {"barg.goals": f"to describe {s}"}}))


def _in_a_check(lab: Lab, s: str) -> None:
    checks = read_json(lab.layout.checks(MODEL))
    checks["checks"][0] |= {"table": [{"participant": s, "value": 1.0}]}
    checks["sampling"]["worst"] = [{"quantity": f"eta[{s}]"}]
    write_json(lab.layout.checks(MODEL), checks)


def _a_disorder_of_three(lab: Lab, s: str) -> None:
    flow = read_json(lab.layout.flow("demo"))
    flow["disorders"][2]["participants"] = 3
    write_json(lab.layout.flow("demo"), flow)


def _few_in_a_block(lab: Lab, s: str) -> None:
    flow = read_json(lab.layout.flow("demo"))
    flow["missing"][0] |= {"observed": 117, "missing": 3}
    flow["steps"][1]["participants"] = 117
    write_json(lab.layout.flow("demo"), flow)


def _a_site(lab: Lab, s: str) -> None:
    found = _posterior(lab)
    _swap(lab, found.assign_coords(site=[f"St. Anna {s}", "B"]))


PLANTED: dict[str, Callable[[Lab, str], None]] = {
    f.__name__: f
    for f in (
        _ids_beside_chains, _ids_as_disorders, _ids_as_functions, _ids_in_attributes, _data_beside,
        _likelihood_by_person, _latents_of_people, _people_under_a_known_name, _a_variable_named_after_one,
        _a_group_named_after_one, _user_block, _bytes_behind, _in_a_comment_of_the_spec, _in_the_description,
        _in_the_title, _in_the_authors_words, _in_a_check, _a_disorder_of_three, _few_in_a_block, _a_site,
    )
}  # fmt: skip


REFUSED = {
    "_ids_as_disorders",
    "_ids_as_functions",
    "_in_the_description",
    "_in_the_title",
    "_in_the_authors_words",
}
"""The rest is stripped."""


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_in_the_lab_does_not_leave_it(
    plant: str, seed: int, lab: Layout, tmp_path: Path
) -> None:
    shutil.copytree(lab.root, tmp_path / "lab")
    layout, out = Layout(tmp_path / "lab"), tmp_path / "out"
    secret = _secret(seed) if seed < 6 or "_ids" in plant or "named" in plant else _path(seed)
    if plant == "_a_variable_named_after_one":
        secret = secret.replace("/", "-")
    planted = Lab(layout, np.random.default_rng(seed), read_tree(layout.posterior(MODEL)))
    PLANTED[plant](planted, secret)
    planted.save()
    if plant in REFUSED:
        with pytest.raises(ArtefactError) as refusal:
            share.run(layout, PARAMS, MODEL, out=out)
        assert secret not in str(refusal.value)
        assert not out.exists()
        return
    share.run(layout, PARAMS, MODEL, out=out)
    everything = b"\n".join(p.read_bytes() for p in out.rglob("*") if p.is_file())
    assert secret.encode() not in everything
    assert share.check(out, min_cell=11, layout=layout, params=PARAMS) == []
    if plant == "_a_disorder_of_three":
        _nothing_of_the_third_disorder(out)


def _nothing_of_the_third_disorder(out: Path) -> None:
    draws = xr.open_datatree(out / "draws.nc", engine="h5netcdf").load()
    lost = DISORDERS[2]
    assert lost not in draws["posterior"]["disorder"].to_numpy()
    summaries = json.loads((out / "summaries.json").read_text())
    for part in ("levels", "contrasts", "slopes_by_disorder", "rois_by_disorder"):
        assert not [r for r in summaries[part] if lost in (r.get("disorder"), r.get("other"))]
    assert not [r for r in summaries["levels"] if r["estimand"] == "adjusted"]
    sums = draws["posterior"]["A"].sum(
        "disorder"
    )  # what is left sums to zero: nothing is left over for the third
    np.testing.assert_allclose(sums, 0, atol=1e-9)
    shown = {
        d["disorder"]: d["participants"] for d in json.loads((out / "cohort.json").read_text())["disorders"]
    }
    assert shown[lost] == "<11"
    assert list(shown.values()).count("hidden") == 1


def test_contrasts_of_what_is_left_are_what_they_were(lab: Layout, tmp_path: Path, quick: None) -> None:
    shutil.copytree(lab.root, tmp_path / "lab")
    layout = Layout(tmp_path / "lab")
    planted = Lab(layout, np.random.default_rng(0), read_tree(layout.posterior(MODEL)))
    before = planted.tree["posterior"]["A"].load()
    _a_disorder_of_three(planted, "")
    share.run(layout, PARAMS, MODEL, out=tmp_path / "out")
    after = xr.open_datatree(tmp_path / "out" / "draws.nc", engine="h5netcdf").load()["posterior"]["A"]
    for a, b in ((0, 1), (1, 3), (0, 4)):
        pair = [x.sel(disorder=DISORDERS[a]) - x.sel(disorder=DISORDERS[b]) for x in (before, after)]
        np.testing.assert_allclose(pair[0].transpose("chain", "draw", "function").to_numpy(),
                                   pair[1].transpose("chain", "draw", "function").to_numpy(), atol=1e-12)  # fmt: skip


# -- planted in what has left ------------------------------------------------------------------------------------


def _file_name(folder: Path, s: str, seed: int) -> None:
    shutil.move(folder / "card.md", folder / f"card_{s}.md")


def _words_in_json(folder: Path, s: str, seed: int) -> None:
    told = json.loads((folder / "verdicts.json").read_text())
    write_json(folder / "verdicts.json", {**told, "note": f"seen with {s}"})


def _column(folder: Path, s: str, seed: int) -> None:
    write_text(
        folder / "more.csv",
        f"{('participant_id', 'subject', 'record_id', 'src_subject_id')[seed % 4]},value\nx1,2\n",
    )


def _in_the_page(folder: Path, s: str, seed: int) -> None:
    page = (folder / "report.html").read_text()
    write_text(folder / "report.html", page.replace("</main>", f"<!-- {s} --></main>"))


def _path_in_the_page(folder: Path, s: str, seed: int) -> None:
    page = (folder / "report.html").read_text()
    write_text(folder / "report.html", page.replace("</main>", f"<p>{_path(seed)}</p></main>"))


def _svg(s: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        f"<dc:creator>{s}</dc:creator></metadata></svg>"
    )


def _drawing(folder: Path, s: str, seed: int) -> None:
    write_text(folder / "figure.svg", _svg("Anna Example"))


def _drawing_in_the_page(folder: Path, s: str, seed: int) -> None:
    page = (folder / "report.html").read_text()
    image = (
        f'<img alt="" src="data:image/svg+xml;base64,{b64encode(_svg("Anna Example").encode()).decode()}">'
    )
    write_text(folder / "report.html", page.replace("</main>", f"{image}</main>"))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _text_in_a_picture(folder: Path, s: str, seed: int) -> None:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    kind = (b"tEXt", b"eXIf", b"iTXt", b"tIME")[seed % 4]
    body = (
        head + _chunk(kind, b"Author\0Anna") + _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND", b"")
    )
    (folder / "figure.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def _behind_a_picture(folder: Path, s: str, seed: int) -> None:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    body = head + _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND", b"")
    (folder / "figure.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body + bytes(range(20)))


def _attribute(folder: Path, s: str, seed: int) -> None:
    with h5py.File(folder / "draws.nc", "a") as file:
        (file, file["posterior"], file["posterior/A"])[seed % 3].attrs["history"] = "made on a Monday"


def _user_block_of_the_draws(folder: Path, s: str, seed: int) -> None:
    path = folder / "draws.nc"
    with h5py.File(path, "r") as old, h5py.File(folder / "new.nc", "w", userblock_size=512) as new:
        for name in old:
            old.copy(old[name], new, name, expand_refs=True)
    shutil.move(folder / "new.nc", path)


def _bytes_behind_the_draws(folder: Path, s: str, seed: int) -> None:
    with (folder / "draws.nc").open("ab") as file:
        file.write(bytes(seed % 7 + 1))


def _labels_of_the_draws(folder: Path, s: str, seed: int) -> None:
    with h5py.File(folder / "draws.nc", "a") as file:
        dim = ("function", "factor", "disorder")[seed % 3]
        labels = file[f"posterior/{dim}"]
        labels[0] = s


def _person_in_the_draws(folder: Path, s: str, seed: int) -> None:
    with h5py.File(folder / "draws.nc", "a") as file:
        file["posterior"].create_dataset("theta", data=np.zeros((2, 5, 120)))


def _data_in_the_draws(folder: Path, s: str, seed: int) -> None:
    with h5py.File(folder / "draws.nc", "a") as file:
        file.create_group(
            ("observed_data", "log_likelihood", "constant_data", "posterior_predictive")[seed % 4]
        )


def _pointwise(folder: Path, s: str, seed: int) -> None:
    write_json(folder / "elpd.json", {"elpd": list(np.random.default_rng(seed).normal(size=120))})


def _three_people(folder: Path, s: str, seed: int) -> None:
    told = json.loads((folder / "cohort.json").read_text())
    told["disorders"][seed % 5]["participants"] = ("3", 3, "<11")[seed % 3]
    write_json(folder / "cohort.json", told)


def _computable(folder: Path, s: str, seed: int) -> None:
    parts = [40, 50, 30 - seed % 8 - 1]
    rows = [{"group": g, "people": str(p)} for g, p in zip("abc", parts, strict=True)]
    rows += [{"group": "d", "people": "<11"}, {"group": "total", "people": "120"}]
    write_json(folder / "groups.json", {"groups": rows})


def _computable_from_two_files(folder: Path, s: str, seed: int) -> None:
    write_json(folder / "whole.json", {"rows": [{"group": "all", "people": 200 + seed}]})
    write_text(folder / "parts.csv", f"group,people\na,100\nb,{94 + seed}\nc,<11\n")


def _computable_on_the_page(folder: Path, s: str, seed: int) -> None:
    rows = f"<tr><th>a</th><td>100</td></tr><tr><th>b</th><td>&lt;11</td></tr><tr><th>total</th><td>{101 + seed}</td></tr>"
    table = f"<table><tr><th>group</th><th>people</th></tr>{rows}</table>"
    page = (folder / "report.html").read_text()
    write_text(folder / "report.html", page.replace("</main>", f"{table}</main>"))


def _missing_that_gives_away(folder: Path, s: str, seed: int) -> None:
    told = json.loads((folder / "cohort.json").read_text())
    told["missing"][0] |= {"observed": str(119 - seed), "missing": "<11"}
    write_json(folder / "cohort.json", told)


def _steps(folder: Path, s: str, seed: int) -> None:
    told = json.loads((folder / "cohort.json").read_text())
    told["steps"] = [{"step": "a", "participants": 120}, {"step": "b", "participants": 119 - seed}]
    write_json(folder / "cohort.json", told)


def _effects_that_give_away(folder: Path, s: str, seed: int) -> None:
    """One disorder is left out of effects that sum to zero, and nothing is centred again."""
    told = json.loads((folder / "cohort.json").read_text())
    told["disorders"].append({"disorder": "psychosis", "participants": "<11"})
    write_json(folder / "cohort.json", told)
    with h5py.File(folder / "draws.nc", "a") as file:
        file["posterior/A"][...] = file["posterior/A"][...] + 0.1


def _a_link(folder: Path, s: str, seed: int) -> None:
    (folder / "more.json").symlink_to("verdicts.json")


def _hidden(folder: Path, s: str, seed: int) -> None:
    write_text(folder / ".history", "a line")


def _unknown(folder: Path, s: str, seed: int) -> None:
    (folder / f"x.{('nii', 'pkl', 'zip', 'docx', 'sav', 'xlsx', 'npz', 'dcm')[seed]}").write_bytes(b"\0\1\2")


def _other_words(folder: Path, s: str, seed: int) -> None:
    word = ("anna.example@hospital.org", "seen on 2021-03-04", "03.04.2021", "MRN: 1234567", "078-05-1120",
            "+49 331 123456", "10.12.13.14", "https://portal.hospital.org/x")[seed]  # fmt: skip
    write_text(folder / "notes.md", f"{word}\n")


LEFT: dict[str, Callable[[Path, str, int], None]] = {
    f.__name__: f
    for f in (
        _file_name, _words_in_json, _column, _in_the_page, _path_in_the_page, _drawing, _drawing_in_the_page,
        _text_in_a_picture, _behind_a_picture, _attribute, _user_block_of_the_draws, _bytes_behind_the_draws,
        _labels_of_the_draws, _person_in_the_draws, _data_in_the_draws, _pointwise, _three_people, _computable,
        _computable_from_two_files, _computable_on_the_page, _missing_that_gives_away, _steps,
        _effects_that_give_away, _a_link, _hidden, _unknown, _other_words,
    )
}  # fmt: skip


def test_there_are_more_than_300_leaks() -> None:
    assert len(SEEDS) * (len(PLANTED) + len(LEFT)) > 300


def test_what_is_clean_is_found_clean(clean: Path, lab: Layout) -> None:
    assert share.check(clean, min_cell=11, layout=lab, params=PARAMS) == []
    assert share.check(clean, min_cell=11) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("plant", LEFT)
def test_what_is_planted_in_a_folder_is_found(
    plant: str, seed: int, clean: Path, lab: Layout, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(clean, folder)
    secret = _secret(seed)
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
        ("_user_block_of_the_draws", "a user block"), ("_drawing", "metadata of a drawing"),
        ("_computable", "a hidden count that can be computed"),
        ("_three_people", "estimates or draws of a disorder of too few people"),
        ("_effects_that_give_away", "effects that give away those of a disorder that is left out"),
        ("_pointwise", "as many values as people"), ("_file_name", "a label of a person in its name"),
        ("_path_in_the_page", "a path of somebody's machine"),
    ],
)  # fmt: skip
def test_a_finding_says_what_it_is(plant: str, kind: str, clean: Path, lab: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(clean, folder)
    LEFT[plant](folder, _secret(0), 0)
    assert kind in _kinds(folder, lab)


def test_the_manifest_says_what_went_what_stayed_and_what_it_does_not_protect_against(clean: Path) -> None:
    told = json.loads((clean / "manifest.json").read_text())
    assert set(told["went"]["draws.nc"]) == {"A", "B", "B_disorder", "M", "tau_mean", "tau_slope"}
    assert "effects of sites" in told["stayed"]["u_site"]
    assert told["smallest_count_printed"] == 11
    assert any("membership inference" in line for line in told["not_protected_against"])
    text = (clean / "manifest.md").read_text()
    assert "Not a clinical device" in text
    assert "hospital" not in text.replace("hospitals", "")


def test_the_shared_page_says_that_it_is_one_and_has_no_hash_and_no_k_hat(clean: Path, lab: Layout) -> None:
    page = (clean / "report.html").read_text()
    assert "The audit, by file and column, stays in the lab." in page
    assert "a hash lets others test guesses" in page
    assert "k-hat|" not in page
    assert "isas.tsv" not in page


def test_the_shared_draws_open_in_arviz(clean: Path) -> None:
    import arviz as az

    tree = xr.open_datatree(clean / "draws.nc", engine="h5netcdf").load()
    assert not tree.attrs
    assert set(tree.children) == {"posterior", "prior", "sample_stats"}
    summary = az.summary(tree, var_names=["A"], coords={"disorder": ["borderline"]})
    assert len(summary) == 3


def test_equal_artefacts_give_equal_bytes(clean: Path, lab: Layout, tmp_path: Path) -> None:
    share.run(lab, PARAMS, MODEL, out=tmp_path / "again")
    for path in clean.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_a_folder_that_is_not_empty_and_a_cohort_of_few_are_refused(lab: Layout, tmp_path: Path) -> None:
    write_text(tmp_path / "out" / "mine.txt", "mine")
    with pytest.raises(ArtefactError, match="not empty"):
        share.run(lab, PARAMS, MODEL, out=tmp_path / "out")
    few = make_params(roster=(MODEL,), questions=("heterogeneity",), min_cell=200)
    with pytest.raises(ArtefactError, match="fewer than 200 people"):
        share.run(lab, few, MODEL, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ArtefactError, match="no file to look through"):
        share.check(tmp_path / "nothing", min_cell=11)


def test_with_one_disorder_left_none_is_shared(lab: Layout, tmp_path: Path, quick: None) -> None:
    shutil.copytree(lab.root, tmp_path / "lab")
    layout = Layout(tmp_path / "lab")
    flow = read_json(layout.flow("demo"))
    for group in flow["disorders"][1:]:
        group["participants"] = 5
    write_json(layout.flow("demo"), flow)
    share.run(layout, PARAMS, MODEL, out=tmp_path / "out")
    assert (
        "disorder" not in xr.open_datatree(tmp_path / "out" / "draws.nc", engine="h5netcdf")["posterior"].dims
    )


@pytest.mark.parametrize("name", sorted(allowed().variables))
def test_the_list_allows_no_dim_of_people(name: str) -> None:
    dims = allowed().variables[name]
    assert all(allowed().knows(d) for d in dims)
    assert allowed().why_not(name, dims) == ""
    assert allowed().why_not(name, (*dims, "participant"))
    assert allowed().why_not(name, (*dims, "obs_id"))


def _harmless() -> Iterator[str]:
    yield from (
        "a subscale, sub-scales and sub-groups", "doi:10.1186/s40479-020-00126-6", "10.1037/0022-3514.78.2.350",
        "models/heterogeneity/shared.yaml", "data/demo/flow.json", "and/or", "arXiv:1604.00695", "0.12.0.1",
        "seed 20260801", "90 % in .72 to 3.8", "r of .17 to .32", "task-fMRI", "2 of 3", "e.g. 1/2",
    )  # fmt: skip


@pytest.mark.parametrize("text", list(_harmless()))
def test_what_is_harmless_is_let_through(text: str) -> None:
    assert leaks_in(text) == {}


def test_what_is_found_is_never_quoted() -> None:
    found: dict[str, Any] = leaks_in(f"{_secret(0)} {_secret(1)} {_path(0)}", known=PEOPLE)
    assert set(found) == {"a label of a person", "a path of somebody's machine"}
    assert all(isinstance(count, int) for count in found.values())
