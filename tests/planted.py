"""Leaks that are planted in the artefacts of a lab."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from artefacts import DISORDERS, FUNCTIONS, make_params, write_project
from nssi_bayes.privacy import pseudonym
from nssi_bayes.store import Layout, read_json, write_dataset, write_json, write_text, write_tree

MODEL = "heterogeneity/disorder_means"
PARAMS = make_params(roster=(MODEL,), questions=("heterogeneity",))
PEOPLE = [pseudonym(str(i), b"a key of sixteen letters") for i in range(120)]
_QUICK = (0, 6)  # a secret in plain words, and a path
SEEDS = [seed if seed in _QUICK else pytest.param(seed, marks=pytest.mark.slow) for seed in range(7)]
SUBSCALES = ("affect_regulation", "self_punishment", "peer_bonding")
REFUSED = {
    "_ids_as_disorders",
    "_ids_as_functions",
    "_in_the_description",
    "_in_the_title",
    "_in_the_authors_words",
}
"""What is planted in the lab and cannot be stripped."""


def secret_of(seed: int) -> str:
    """Return a label of a person, in one of the ways in which labs write them."""
    return (
        f"sub-{1000 + seed}",
        PEOPLE[seed],
        f"NDAR_INV{seed}AB12CD",
        PEOPLE[-seed - 1].removeprefix("sub-"),
    )[seed % 4]


def path_of(seed: int) -> str:
    return (
        "/" + f"home/anna{seed}/nssi/raw",
        rf"C:\Users\anna{seed}\nssi",
        "/" + f"Users/anna{seed}/x",
        "file:///" + "srv/anna",
    )[seed % 4]


def make_lab(root: Path) -> Layout:
    """Write a project of one model; its cohort has labels, and enough people in every disorder."""
    layout = write_project(root, roster=(MODEL,))
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
    write_json(
        layout.flow("demo"),
        {
            **flow,
            "disorders": [
                {"disorder": d, "participants": c}
                for d, c in zip(DISORDERS, (70, 25, 17, 41, 38), strict=True)
            ],
        },
    )
    return layout


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
    _swap(
        lab,
        found.drop_vars("M")
        .assign(M=(("chain", "draw", "person"), np.ones((2, found.sizes["draw"], 120))))
        .assign_coords(person=[s, *PEOPLE[1:]]),
    )


def _a_variable_named_after_one(lab: Lab, s: str) -> None:
    found = _posterior(lab)
    _swap(lab, found.assign({f"theta_{s}": (("chain", "draw"), np.ones((2, found.sizes["draw"])))}))


def _a_group_named_after_one(lab: Lab, s: str) -> None:
    groups = {k: v.to_dataset() for k, v in lab.tree.children.items()}
    lab.tree = xr.DataTree.from_dict({**groups, s: xr.Dataset({"x": ("a", [1.0])})})


def _user_block(lab: Lab, s: str) -> None:
    def plant(path: Path) -> None:
        path.write_bytes(s.encode().ljust(512, b"\0") + path.read_bytes())

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


def a_disorder_of_three(lab: Lab, s: str) -> None:
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
        _ids_beside_chains,
        _ids_as_disorders,
        _ids_as_functions,
        _ids_in_attributes,
        _data_beside,
        _likelihood_by_person,
        _latents_of_people,
        _people_under_a_known_name,
        _a_variable_named_after_one,
        _a_group_named_after_one,
        _user_block,
        _bytes_behind,
        _in_a_comment_of_the_spec,
        _in_the_description,
        _in_the_title,
        _in_the_authors_words,
        _in_a_check,
        a_disorder_of_three,
        _few_in_a_block,
        _a_site,
    )
}
