"""Section 11: what it takes to make the same page again, and what was missing."""

from __future__ import annotations

import platform

import yaml

from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.parts import Part, code, lines, tabulated, text
from nssi_bayes.report.software import PACKAGES, installed
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import split_name

__all__ = ["provenance"]


def provenance(e: Evidence) -> list[Part]:
    """Return data hash, specs, fingerprints, seed, DVC's revisions, and the command to reproduce."""
    parts = []
    if e.missing:
        parts.append(lines(e.missing, title="Missing artefacts"))
    rows = [
        {"what": "study", "value": e.params.study},
        {"what": "cohort, SHA-256", "value": _hash(e)},
        {"what": "root seed", "value": str(e.params.seed)},
        {"what": "Python", "value": platform.python_version()},
        *({"what": name, "value": installed(name)} for name in PACKAGES),
    ]
    prints = [
        {"model": split_name(entry), "fingerprint": checks["fingerprint"],
         "DVC revision of the posterior (MD5)": e.revisions.get(entry, "missing")}
        for entry, checks in e.checks.items()
    ]  # fmt: skip
    parts += [
        code(_commands(e), title="To reproduce this page"),
        tabulated("Data, seed and versions", lambda: table("provenance", rows, words=("value",))),
        tabulated("Fingerprints and revisions", lambda: table(
            "fingerprints", prints, words=("fingerprint", "DVC revision of the posterior (MD5)"))),
        text(
            "A DVC revision is the name under which DVC keeps the file: `dvc pull` fetches it, and "
            "`git log -S REVISION -- dvc.lock` finds the commit that made it."
        ),
        code(_parameters(e), title="Parameters of the run", folded=True),
    ]  # fmt: skip
    parts += [
        code(spec, title=f"Specification of {split_name(entry)}", folded=True)
        for entry, spec in e.specs.items()
    ]
    return parts


def _hash(e: Evidence) -> str:
    if e.shareable:
        return "not printed in what leaves the lab: a hash lets others test guesses"
    return e.cohort_hash or "missing"


def _commands(e: Evidence) -> str:
    return f"uv sync --frozen\nuv run dvc repro report@{e.question}"


def _parameters(e: Evidence) -> str:
    # the source is a place on somebody's machine, not a parameter of the result
    content = e.params.model_dump(mode="json", exclude={"source"})
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
