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
        ("score", "ctq_sf", "ctq_sf_02", "reversed, as the key says", 120, 0, 90, 0, 0, ""),
        ("score", "ctq_sf", "ctq_sf_05", "reversed, as the key says", 120, 0, 91, 0, 0, ""),
        ("ingest", "a.tsv", "x", "item 0 to 2", 120, 5, 40, 0, 0, ""),
        ("ingest", "a.tsv", "x", "missing: 999", 120, 5, 0, 0, 0, ""),
    )
    parts = audited(e)
    kinds = [part.kind for part in parts]
    assert kinds[:3] == ["text", "figure", "table"]
    assert "within 10 of" in parts[1].images[0].alt
    html = parts[2].body
    for words in ("reversed, as the key says", "missing: 999", "item 0 to 2", ">181<", ">40<", "&lt;11"):
        assert words in html
    assert e.unverified
    assert parts[3].items == e.unverified


def test_values_of_many_columns_do_not_give_few_people_away(tmp_path: Path) -> None:
    """Four people without a row in a table of 39 items are 156 missing values, and 116 rows of 120."""
    items = [f"isas_{k:02d}" for k in range(1, 40)]
    e = evidence(
        tmp_path,
        ("ingest", "b.tsv", "participant_id", LABEL, 116, 0, 0, 0, 0, ""),
        *(("ingest", "b.tsv", item, "missing: no row", 120, 4, 0, 0, 0, "") for item in items),
        *(("ingest", "c.tsv", item, "missing: no row", 120, 40, 0, 0, 0, "") for item in items),
        *(("score", "isas", item, "reversed, as the key says", 120, 0, 116, 0, 0, "") for item in items[:2]),
    )
    html = audited(e)[2].body.replace("\u00a0", " ")
    assert ">156<" not in html
    assert ">116<" not in html
    assert ">232<" not in html
    assert "&lt;11 a column" in html
    assert "within 10 of 120" in html
    assert "within 10 of 120 a column" in html
    assert f">{39 * 40}<" in html


def test_without_an_audit_it_says_so(tmp_path: Path) -> None:
    e = evidence(tmp_path)
    e.audit = None
    assert [part.kind for part in audited(e)] == ["missing"]
