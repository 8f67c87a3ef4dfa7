"""Tables of the report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd
from great_tables import GT

__all__ = ["table"]

_SMALL: Final = "92%"
_HARD: Final = "\u00a0"  # a space that does not break


def table(
    name: str,
    rows: Sequence[Mapping[str, str]],
    *,
    group: str | None = None,
    words: Sequence[str] = (),
) -> str:
    """Return an HTML table with a fixed id.

    Parameters
    ----------
    name : str
        Unique on the page; becomes the table's id.
    rows : sequence of mapping of str to str
        One mapping a row, all with the same keys; the first key that is no group labels the row. A
        key ``"heading|label"`` is a column `label` under a common `heading`; two bars are a size.
    group : str, optional
        Key whose values head groups of rows.
    words : sequence of str
        Columns of text, aligned left.

    Returns
    -------
    str
        HTML without script or outside address.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if not rows:
        raise ValueError("no row to print")
    frame = pd.DataFrame([dict(row) for row in rows], dtype=object)  # written cell by cell: objects are fast
    stub = next(column for column in frame.columns if column != group)
    numbers = [c for c in frame.columns if c not in (stub, group, *words)]
    for column in numbers:  # a line may break before a bracket only
        frame[column] = frame[column].str.replace(" ", _HARD).str.replace(f"{_HARD}(", " (")
    made = GT(
        frame, id="table-" + re.sub(r"[^a-z0-9]+", "-", name.lower()), rowname_col=stub, groupname_col=group
    ).tab_stubhead(stub)
    if numbers:
        made = made.cols_align(align="right", columns=numbers)
    if words:
        made = made.cols_align(align="left", columns=list(words))
    split = [c for c in frame.columns if c.count("|") == 1]  # two are those of a size, as in P(|x| > .2)
    for heading in dict.fromkeys(c.split("|")[0] for c in split):
        made = made.tab_spanner(label=heading, columns=[c for c in split if c.startswith(heading + "|")])
    made = made.cols_label({c: c.split("|")[1] for c in split})
    made = made.tab_options(
        table_font_size=_SMALL, table_font_names=["inherit"], table_margin_left="0px",
        data_row_padding="3px", row_group_font_weight="600", column_labels_font_weight="600",
        table_border_top_style="hidden", table_border_bottom_color="#d5d9df", heading_align="left",
    )  # fmt: skip
    return made.as_raw_html()
