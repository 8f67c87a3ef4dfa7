"""The report's section on the audit: the flow by block, values by rule, small counts hidden."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from artefacts import write_project
from nssi_bayes import names as n
from nssi_bayes.report.audited import audited, flow_steps
from nssi_bayes.report.evidence import Evidence, gather
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, read_table, write_table

LABEL = "label without blanks, beginning with sub-"


def evidence(root: Path, *rows: tuple[object, ...]) -> Evidence:
    layout: Layout = write_project(root)
    audit = pd.concat([read_table(layout.audit("demo")), pd.DataFrame(list(rows), columns=list(n.AUDIT))])
    write_table(layout.audit("demo"), audit)
    params = Params(
        study="demo", source=Path("x"), seed=1, roster=("structure/shared",), questions=("structure",)
    )
    return gather(layout, params, "structure")


def test_the_flow_begins_with_the_rows_of_the_folder(tmp_path: Path) -> None:
    e = evidence(
        tmp_path,
        ("ingest", "participants.tsv", "participant_id", LABEL, 123, 0, 0, 0, 0, ""),
        ("ingest", "participants.tsv", "participant_id", "duplicated row", 130, 0, 0, 0, 7, ""),
        ("ingest", "phenotype/isas.tsv", "participant_id", LABEL, 500, 0, 0, 0, 0, ""),
    )
    assert flow_steps(e)[0] == ("rows of that table in the folder", 130)
    assert [count for _, count in flow_steps(e)[1:]] == [s["participants"] for s in (e.flow or {})["steps"]]


def test_the_section_has_a_figure_and_a_table_and_names_unverified_keys(tmp_path: Path) -> None:
    e = evidence(
        tmp_path,
        ("score", "ctq_sf", "ctq_sf_02", "reversed, as the key says", 120, 0, 118, 0, 0, ""),
        ("score", "ctq_sf", "ctq_sf_05", "reversed, as the key says", 120, 0, 119, 0, 0, ""),
        ("ingest", "a.tsv", "x", "item 0 to 2", 120, 5, 40, 0, 0, ""),
        ("ingest", "a.tsv", "x", "missing: 999", 120, 5, 0, 0, 0, ""),
    )
    parts = audited(e)
    kinds = [part.kind for part in parts]
    assert kinds[:3] == ["text", "figure", "table"]
    assert "within 10 of" in parts[1].images[0].alt
    html = parts[2].body
    for words in ("reversed, as the key says", "missing: 999", "item 0 to 2", ">237<", ">40<", "&lt;11"):
        assert words in html
    assert e.unverified
    assert parts[3].items == e.unverified


def test_without_an_audit_it_says_so(tmp_path: Path) -> None:
    e = evidence(tmp_path)
    e.audit = None
    assert [part.kind for part in audited(e)] == ["missing"]
