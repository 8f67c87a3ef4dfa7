"""What may leave the lab: a posterior without people, sums, verdicts, a page, and a list of what stays.

The export does not protect against everything, and says so: a mean of a small group is near to its people,
and who knows a person's data can test with some success whether they were in the cohort (membership
inference).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
import yaml

from nssi_bayes import names as n
from nssi_bayes.errors import ArtefactError, NssiBayesError
from nssi_bayes.report.card import card
from nssi_bayes.report.cells import few, few_treated, few_with_several
from nssi_bayes.report.evidence import Evidence, gather
from nssi_bayes.share.audit import Finding, audit
from nssi_bayes.share.manifest import LIMITS, manifest, readable
from nssi_bayes.share.posterior import Stripped, safe_tree
from nssi_bayes.share.tables import safe_checks, safe_estimates, safe_evidence, safe_flow
from nssi_bayes.spec import JointSpec, Params, read_model
from nssi_bayes.store import (
    Layout,
    atomic_folder,
    read_dataset,
    read_json,
    read_tree,
    write_json,
    write_table,
    write_text,
    write_tree,
)

__all__ = ["LIMITS", "Finding", "check", "run"]

_LOG: Final = logging.getLogger(__name__)
_BLOCK: Final = "of these, with any data in block "
_DIMS: Final = {
    "activation": (n.ROI, n.NETWORK, n.BIG_NETWORK),
    "connectivity": (n.EDGE, n.EDGE_REGION, n.NETWORK_PAIR),
}


def run(layout: Layout, params: Params, model: str, *, out: Path) -> None:
    """Write what may leave the lab of one model into a folder.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run; ``min_cell`` is the smallest count that is printed.
    model : str
        ``question/name``.
    out : pathlib.Path
        The folder; it must not be there, or be empty.

    Raises
    ------
    ArtefactError
        If something is missing, or cannot be made safe, or draws are others than those that were checked;
        nothing is written then.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ArtefactError("the folder is not empty", where=str(out), cure="name a new folder")
    tree = read_tree(layout.posterior(model))
    _refuse_unchecked(layout, model, tree)
    people, vocabulary = _cohort(layout, params)
    flow = read_json(layout.flow(params.study))
    if len(people) < max(params.min_cell, 1):
        raise ArtefactError(
            f"fewer than {params.min_cell} people: nothing of so few can be made safe",
            where=model,
            cure="share nothing, or lower min_cell where your ethics committee allows it",
        )
    small = few(flow, params.min_cell)
    spec = read_model(layout, model)
    if isinstance(spec, JointSpec):
        vocabulary |= {n.FUNCTION: list(spec.functions), n.FUNCTION_OTHER: list(spec.functions)}
        vocabulary |= {dim: list(spec.factors) for dim in (n.FACTOR, n.FACTOR_OTHER, n.FACTOR_SCORED)}
    stripped = safe_tree(
        tree,
        small=small,
        vocabulary=vocabulary,
        few_scans=_few_scans(flow, params.min_cell),
        few_with_several=few_with_several(flow, params.min_cell),
        few_treated=few_treated(flow, params.min_cell),
    )
    question = model.split("/")[0]
    evidence = safe_evidence(gather(layout, params, question))
    with atomic_folder(out) as folder:
        _write(folder, layout, params, model, evidence=evidence, stripped=stripped, small=small)
        found = audit(folder, min_cell=params.min_cell, known=people, people=len(people))
        if found:
            raise ArtefactError(
                [str(f) for f in found],
                where=f"what would be shared of {model}",
                cure="take it out of the specs, the study file or author.yaml; nothing has been written",
            )
    _LOG.info("%s: %s may leave the lab; read manifest.md first", model, out.name)


def _refuse_unchecked(layout: Layout, model: str, tree: xr.DataTree) -> None:
    """Refuse draws that lie beside verdicts on others."""
    checks = read_json(layout.checks(model)) if layout.checks(model).exists() else {}
    if any(checks.get(mark, own) != own for mark in ("fingerprint", "fit") if (own := tree.attrs.get(mark))):
        raise ArtefactError(
            "what was checked are other draws", where=str(layout.posterior(model)),
            cure=f"run `nssi-bayes check {model}`",
        )  # fmt: skip


def check(
    folder: Path, *, min_cell: int, layout: Layout | None = None, params: Params | None = None
) -> list[Finding]:
    """Look through any folder for what must not leave the lab.

    Parameters
    ----------
    folder : pathlib.Path
        Any folder.
    min_cell : int
        The smallest count of people that may be printed.
    layout : Layout, optional
        A project whose cohort's labels are looked for.
    params : Params, optional
        Its run.

    Returns
    -------
    list of Finding
        Kinds and counts, never what was found itself.
    """
    people: list[str] = []
    if layout is not None and params is not None and layout.cohort(params.study).exists():
        people = _cohort(layout, params)[0]
    return audit(folder, min_cell=min_cell, known=people, people=len(people) or None)


def _cohort(layout: Layout, params: Params) -> tuple[list[str], dict[str, list[str]]]:
    """Return labels of people, and the labels that other dims may have."""
    cohort = read_dataset(layout.cohort(params.study))
    people = [str(p) for p in cohort[n.PARTICIPANT].to_numpy()] if n.PARTICIPANT in cohort.coords else []

    def labels(coord: str) -> list[str]:
        return [str(v) for v in np.unique(cohort[coord].to_numpy())] if coord in cohort.coords else []

    found = {
        n.DISORDER: [*labels(n.DISORDER), n.NONE_LEVEL],
        n.COVARIATE: labels(n.COVARIATE),
        n.SCORE: labels(n.SCORE),
        n.CONFOUND: ["motion", *labels(n.COVARIATE)],
        n.CONFOUND_EDGE: ["motion", *labels(n.COVARIATE)],
        n.TREATMENT: labels(n.TREATMENT),
        n.ROI: labels(n.ROI),
        n.NETWORK: labels(n.ROI_NETWORK),
        n.BIG_NETWORK: labels(n.ROI_NETWORK),
        n.EDGE: labels(n.EDGE),
        n.NETWORK_PAIR: labels(n.EDGE_NETWORK),
        n.EDGE_REGION: [*labels(n.EDGE_A), *labels(n.EDGE_B)],
    }
    indicators = [*labels(n.ITEM), *labels(n.ITEM_SUBSCALE)]
    found |= dict.fromkeys((n.INDICATOR, n.TESTLET), indicators)
    return people, {dim: known for dim, known in found.items() if known}


def _few_scans(flow: Mapping[str, Any], min_cell: int) -> list[str]:
    blocks = [
        s["step"].removeprefix(_BLOCK) for s in flow.get("steps", []) if int(s["participants"]) < min_cell
    ]
    return [dim for block in blocks for dim in _DIMS.get(block, ())]


def _write(
    folder: Path,
    layout: Layout,
    params: Params,
    model: str,
    *,
    evidence: Evidence,
    stripped: Stripped,
    small: list[str],
) -> None:
    from nssi_bayes.report.render import render

    notes: list[str] = []
    write_tree(folder / "draws.nc", stripped.tree)
    spec = evidence.models.get(model)
    if spec is None or model not in evidence.checks:
        raise ArtefactError(
            "its specification or its checks are missing", where=model, cure=f"run `dvc repro check@{model}`"
        )
    write_text(
        folder / "spec.yaml",
        yaml.safe_dump(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=False),
    )
    write_json(folder / "verdicts.json", safe_checks(evidence.checks[model]))
    if isinstance(spec, JointSpec):
        own = read_json(layout.estimates(model))
        estimates, notes = safe_estimates(own, small, treatments=evidence.few_treated)
        write_json(folder / "summaries.json", estimates)
    write_json(folder / "counts.json", safe_flow(evidence.flow or {}, params.min_cell))
    if evidence.table is not None:
        write_table(folder / "scores.csv", evidence.table)
    write_text(
        folder / "card.md",
        card(model, spec, evidence.checks[model], title=str((evidence.flow or {}).get("title", ""))),
    )
    try:
        write_text(folder / "report.html", render(evidence))
    except NssiBayesError as error:
        raise ArtefactError(error.problems, where="report", cure="mend the report first") from error
    told = manifest(model, params, stripped, small=len(small), notes=notes, checks=evidence.checks[model])
    write_json(folder / "manifest.json", told)
    write_text(folder / "manifest.md", readable(told))
