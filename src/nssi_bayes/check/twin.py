"""A posterior that another model of the roster has too is judged and scored once.

What was checked here is noted for this machine only: what it was made from, the code among it, and
what was written. A note that does not fit is no note.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from nssi_bayes.errors import ArtefactError
from nssi_bayes.spec import Params
from nssi_bayes.spec.pathways import Pathway
from nssi_bayes.store import Layout, digest, read_dataset, read_json, write_dataset, write_json

__all__ = ["copy", "find", "made_from", "note"]

_PACKAGE = Path(__file__).parents[1]


def made_from(layout: Layout, params: Params, tree: xr.DataTree, *, pathways: Sequence[Pathway] = ()) -> str:
    """Hash what decides the result: posterior, cohort (its labels too), settings, pathways and code."""
    code = {
        str(path.relative_to(_PACKAGE)): digest(path.read_bytes()) for path in sorted(_PACKAGE.rglob("*.py"))
    }
    settings = {
        "seed": params.seed, "rope": params.rope, "interval": params.interval, "min_cell": params.min_cell,
        "pathways": pathways,
    }  # fmt: skip
    cohort = digest(layout.cohort(params.study).read_bytes())
    return digest({"fit": str(tree.attrs["fit"]), "cohort": cohort, "settings": settings, "code": code})


def find(layout: Layout, params: Params, *, model: str, made_from: str) -> str | None:
    """Return another model of the roster with the same result, unchanged since it was written."""
    notes = _notes(layout)
    for other in params.roster:
        if other != model and other in notes and notes[other] == _note(layout, other, made_from):
            return other
    return None


def copy(layout: Layout, twin: str, *, model: str, description: str) -> None:
    """Write the result of `twin` as that of `model`."""
    question, name = model.split("/")
    own = {"model": name, "question": question}
    for path_of in (layout.loo, layout.predictive):
        write_dataset(path_of(model), read_dataset(path_of(twin)).assign_attrs(own))
    write_json(layout.estimates(model), read_json(layout.estimates(twin)))
    write_json(
        layout.numbers("predictive_checks", model), read_json(layout.numbers("predictive_checks", twin))
    )
    write_json(layout.checks(model), {**read_json(layout.checks(twin)), **own, "description": description})


def note(layout: Layout, *, model: str, made_from: str) -> None:
    """Remember what `model` was made from and what was written."""
    write_json(layout.note("checked"), {**_notes(layout), model: _note(layout, model, made_from)})


def _notes(layout: Layout) -> dict[str, object]:
    try:
        return read_json(layout.note("checked"))
    except ArtefactError:
        return {}


def _note(layout: Layout, model: str, made_from: str) -> dict[str, str] | None:
    paths = [p(model) for p in (layout.loo, layout.predictive, layout.estimates, layout.checks)]
    paths.append(layout.numbers("predictive_checks", model))
    if not all(path.exists() for path in paths):
        return None
    return {"made_from": made_from, "written": digest({p.name: digest(p.read_bytes()) for p in paths})}
