"""Read a folder and draft its study file: best guesses, with the reason beside each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from nssi_bayes.diagnosis import code_tables, read_codes
from nssi_bayes.errors import DataError
from nssi_bayes.ingest.cells import Cells, Reading, canonical, missing_words, read_numbers
from nssi_bayes.ingest.stacked import read_described
from nssi_bayes.instruments import Instrument, available, read_instrument
from nssi_bayes.privacy import found
from nssi_bayes.sidecars import describe
from nssi_bayes.sources import About, read_source

__all__ = ["draft"]

_FORMATS: Final = (".tsv", ".csv", ".txt", ".xlsx", ".sav")
_IDS: Final = (
    "participant_id",
    "subjectkey",
    "src_subject_id",
    "record_id",
    "subject_id",
    "subject",
    "id",
    "vpn",
)
_WAVES: Final = ("session_id", "session", "visit", "wave", "eventname", "redcap_event_name")
_SITES: Final = ("site", "center", "centre", "scanner", "scannerserialnumber")
_DIAGNOSES: Final = re.compile(
    r"^(dx|diag|diagnosis|scid_dx\d|icd|dsm|group)([\W_\d]|$)|(?<=_)dx$", re.IGNORECASE
)
_CODE: Final = re.compile(r"([A-Z]\d{2}(\.\d+)?|\d{3}(\.\d{1,2})?|V\d{2}(\.\d+)?)\b")
_NUMBERED: Final = re.compile(r"^(.*?)(0*)(\d+)(\D*)$")
_WORDED: Final = re.compile(r"^(.*?)(0*)(\d+)_(\D+)$")  # ari_1_annoyed
_MOST: Final = 40  # tables that are looked at
_FEW: Final = 6  # items with which a number of columns says anything about the form
_SESSIONS: Final = "sub-*/sub-*_sessions.tsv"
_DATED: Final = re.compile(r"(19|20)\d{2}[-_.]?(0[1-9]|1[0-2])")
_HEALTHY: Final = re.compile(r"^(hc|hv|cont|ctrl|health|none|no |normal)", re.IGNORECASE)


@dataclass
class _Seen:
    """One table of the folder."""

    path: str
    frame: pd.DataFrame
    about: dict[str, About]
    id: str
    identifying: dict[str, str] = field(default_factory=dict)

    def words(self, column: str) -> list[str]:
        """Return distinct cells that are not missing."""
        cells = self.cells(column)
        return [w for w, gone in zip(cells.words, missing_words(cells, ()), strict=True) if not gone]

    def cells(self, column: str) -> Cells:
        held = self.frame[column]
        place = held.cat.codes.to_numpy().astype("int64")
        return Cells(list(held.cat.categories), place, self.about.get(column, About()))

    def numbers(self, column: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the distinct numbers of a column; empty where a cell is none."""
        read = read_numbers(self.cells(column), Reading())
        return np.array([]) if read.bad or read.unclear else np.unique(read.values[np.isfinite(read.values)])


def draft(folder: Path) -> str:
    """Return the text of a study file for a folder.

    Parameters
    ----------
    folder : pathlib.Path
        A cohort's folder.

    Returns
    -------
    str
        YAML with a comment at each guess. No cell of the folder stands in it, apart from the words of
        columns of diagnoses, sex and site, which the file must name.

    Raises
    ------
    DataError
        If the folder holds no table of people.
    """
    tables, unread = _tables(folder)
    if not tables:
        raise DataError(
            ["no table with a column that looks like a person's label", *unread], where=str(folder),
            cure=f"name the folder that holds the tables ({', '.join(_FORMATS)}); labels stand in a column "
            f"such as {', '.join(_IDS[:4])}",
        )  # fmt: skip
    base = next((t for t in tables if Path(t.path).stem.startswith("participants")), None)
    base = base or max(tables, key=lambda t: (_one_row(t), len(t.frame)))
    measured = [*_disorders(tables, base), *_instruments(tables)]
    sessions, lost = _sessions(folder)
    lines = [
        "# Drafted from the folder; every line is a guess. Edit it, then run `nssi-bayes study check`.",
        f"title: {json.dumps(folder.resolve().name)}",
        "synthetic: false",
        *_people(base, tables),
        *_views(tables, "\n".join(measured)),
        *sessions,
        *_privacy(tables, base),
        *_covariates(base),
        *measured,
        "# treatments:  # what people were given, written like covariates: 0 and 1, or a dose",
        "#   therapy: {table: TABLE, column: COLUMN}",
        "# outcomes:  # a column or a scale; family: bernoulli, ordinal, or of a count (exposure:)",
        "#   # negative_binomial, or hurdle_negative_binomial where any and how many differ",
        "#   severity: {table: TABLE, column: COLUMN, minimum: 0, maximum: 27}",
        "#   # baseline: OUTCOME  # another outcome: what this one was before treatment",
        "# scores:  # continuous subscales that measure functions, written like outcomes",
        *(f"# not read: {sentence}" for sentence in [*unread, *lost]),
    ]
    return "\n".join(lines) + "\n"


def _tables(folder: Path) -> tuple[list[_Seen], list[str]]:
    paths = [
        p for pattern in ("*", "*/*") for p in sorted(folder.glob(pattern)) if p.suffix.lower() in _FORMATS
    ]
    seen, unread = [], []
    for path in paths[:_MOST]:
        name = path.relative_to(folder).as_posix()
        if "_definitions" in name or "DataDictionary" in name or name.startswith("sub-"):
            continue
        try:
            source = read_source(path)
        except DataError as error:
            unread.append(f"{name}: {'; '.join(error.problems)}")
            continue
        lower = {c.lower(): c for c in source.frame.columns}
        label = next((lower[c] for c in _IDS if c in lower), None)
        if label is None:
            continue
        table = _Seen(name, source.frame, {**describe(path)[0], **source.about}, label)
        labels = [lower[i] for i in _IDS if i in lower]
        for column in source.frame.columns.drop(labels):
            counts = source.frame[column].value_counts(sort=False)
            kind = found(
                column, counts.index.astype("str"), counts=counts, unit=table.about.get(column, About()).unit
            )
            wordy = kind == "free text" and not found(column, ())  # a manual's words beside its codes
            if kind and not (wordy and _DIAGNOSES.search(column)):
                table.identifying[column] = kind
        seen.append(table)
    return seen, unread


def _one_row(table: _Seen) -> bool:
    return not table.frame[table.id].duplicated().any()


def _people(base: _Seen, tables: list[_Seen]) -> list[str]:
    others = sorted({t.id for t in tables if t.id != base.id})
    lines = [
        "participants:",
        f"  table: {json.dumps(base.path)}  # {len(base.frame)} rows",
        f"  id: {json.dumps(base.id)}",
    ]
    if others:
        lines.append(f"  other_ids: {json.dumps(others)}  # the label's columns in other tables")
    site = next((c for c in base.frame.columns if c.lower() in _SITES), None)
    if site is not None:
        names = {word: f"site_{k + 1}" for k, word in enumerate(sorted(base.words(site)))}
        lines.append(f"  site: {json.dumps(site)}  # looks like a site or scanner")
        lines.append(f"  site_names: {json.dumps(names, ensure_ascii=False)}  # name them as you like")
    return lines


def _views(tables: list[_Seen], measured: str) -> list[str]:
    """Return a view of the first wave of every table with several rows a person; a comment, if unused."""
    lines, comments = [], []
    for table in tables:
        wave = next((c for c in table.frame.columns if c.lower() in _WAVES), None)
        if wave is None or _one_row(table):
            continue
        waves = sorted(table.words(wave))
        name = json.dumps(table.path)
        if not _tell_no_date(waves):
            comments.append(f"# {name}: several rows a person; {wave} tells dates, so choose `rows` yourself")
            continue
        view = [
            f"  {name}:  # several rows a person; waves: {json.dumps(waves, ensure_ascii=False)}",
            f"    rows: {{{json.dumps(wave)}: {json.dumps(waves[0])}}}  # one view a wave: see TableView",
        ]
        if name in measured:
            lines += view
        else:
            comments += [f"# {line}" for line in view]
    return [*(["tables:", *lines] if lines else []), *comments]


def _tell_no_date(waves: list[str]) -> bool:
    """Say whether names of waves may stand in a file that is shared."""
    return not found("", waves) and not any(_DATED.search(word) for word in waves)


def _sessions(folder: Path) -> tuple[list[str], list[str]]:
    """Return a hint at the sessions files of BIDS, which are a table a wave, and what could not be read."""
    if next(folder.glob(_SESSIONS), None) is None:
        return [], []
    try:
        frame = read_described(folder, _SESSIONS, id_column=_IDS[0])[0].frame
    except DataError as error:
        return [], [f"{_SESSIONS}: {'; '.join(error.problems)}"]
    wave = "session_id" if "session_id" in frame else ""
    waves = sorted(word for word in frame[wave].astype("str").unique() if word) if wave else []
    lines = [f"# {_SESSIONS}: {len(frame)} rows in one file a person; a wave of them is a table, such as"]
    if waves and _tell_no_date(waves):
        rows = f"rows: {{{wave}: {json.dumps(waves[0])}}}"
        return [*lines, f"#   first_wave: {{file: {json.dumps(_SESSIONS)}, {rows}}}"], []
    return [*lines, f"#   first_wave: {{file: {json.dumps(_SESSIONS)}, rows: {{COLUMN: VALUE}}}}"], []


def _privacy(tables: list[_Seen], base: _Seen) -> list[str]:
    kinds = {column: kind for table in tables for column, kind in table.identifying.items()}
    kinds.pop(next((c for c in base.frame.columns if c.lower() in _SITES), ""), None)  # gets names instead
    if not kinds:
        return []
    lines = ["privacy:", "  drop:  # these look like direct identifiers; shift or bin what you need"]
    return lines + [f"    - {json.dumps(column)}  # {kind}" for column, kind in sorted(kinds.items())]


def _covariates(base: _Seen) -> list[str]:
    lower = {c.lower(): c for c in base.frame.columns if c not in base.identifying}
    lines = []
    if "age" in lower:
        unit = base.about.get(lower["age"], About()).unit
        said = f", unit: {json.dumps(unit)}" if unit else ""
        lines.append(f"  age: {{column: {json.dumps(lower['age'])}{said}}}")
    sex = next((lower[c] for c in ("sex", "gender") if c in lower), None)
    if sex is not None:
        words = sorted(base.words(sex))
        labels = base.about.get(sex, About()).labels
        female = [
            w for w in words if (labels.get(w) or labels.get(w.upper()) or w).lower().startswith(("f", "w"))
        ]
        codes = {w: int(w in female) for w in words}
        lines.append(
            f"  sex: {{column: {json.dumps(sex)}, codes: {json.dumps(codes)}}}  # 1 is female: check"
        )
    return ["covariates:", *lines] if lines else []


def _disorders(tables: list[_Seen], base: _Seen) -> list[str]:
    for table in [base, *(t for t in tables if t is not base)]:
        columns = [c for c in table.frame.columns if _DIAGNOSES.search(c) and c not in table.identifying]
        flags = [
            c for c in columns if set(map(canonical, table.words(c))) in ({"0", "1"}, {"-1", "1"}, {"1", "2"})
        ]
        head = ["disorders:", f"  table: {json.dumps(table.path)}"]
        if len(flags) > 1:
            low = min(canonical(w) for c in flags for w in table.words(c) if canonical(w) != "1")
            short = {c: re.sub(r"^(dx|diag|diagnosis)[\W_]*", "", c, flags=re.IGNORECASE) or c for c in flags}
            names = {short[c].lower(): c for c in flags if not _HEALTHY.match(short[c])}
            return [
                *head, f"  present: [\"1\"]  # and absent {json.dumps([low])}: check the codebook",
                f"  absent: [{json.dumps(low)}]", "  flags:  # one column a disorder; no healthy controls",
                *(f"    {json.dumps(name)}: {json.dumps(column)}" for name, column in names.items()),
            ]  # fmt: skip
        coded = [c for c in columns if (w := table.words(c)) and all(_CODE.match(x) for x in w)]
        if coded and table.words(coded[0])[0] not in ("0", "1"):
            return [*head, *_coded(table, coded)]
        for column in columns:
            words = sorted(table.words(column))
            if 2 <= len(words) <= 20:
                return [*head, *_worded(column, words)]
    return ["disorders:  # nothing looks like a diagnosis: write flags, codes or primary", "  flags: {}"]


def _coded(table: _Seen, columns: list[str]) -> list[str]:
    codes = {w for c in columns for w in table.words(c)}
    sizes = {
        n: sum(any(w.startswith(b) for g in read_codes(n).values() for b in g) for w in codes)
        for n in code_tables()
    }
    name = max(sizes, key=lambda n: sizes[n])
    groups = [g for g, begins in read_codes(name).items() if any(w.startswith(tuple(begins)) for w in codes)]
    return [
        "  not_assessed: exclude  # an empty cell is not assessed, which is not absent: check",
        "  codes:",
        f"    columns: {json.dumps(columns)}",
        f"    table: {name}  # its codes cover most; another, or `groups` of your own",
        f"    use: {json.dumps([g for g in groups if not g.startswith('none')])}",
        "    ignore_rest: true  # codes of the table's other groups are no disorder of this study",
    ]


def _worded(column: str, words: Iterable[str]) -> list[str]:
    none = [w for w in words if _HEALTHY.match(w)]
    names = {w: re.sub(r"\W+", "_", w.lower()).strip("_") for w in words if w not in none}
    return [
        "  primary:  # one word a person; `comorbid` names columns with more",
        f"    column: {json.dumps(column)}",
        f"    names: {json.dumps(names, ensure_ascii=False)}",
        f"    none: {json.dumps(none, ensure_ascii=False)}  # people without a disorder",
    ]


def _instruments(tables: list[_Seen]) -> list[str]:
    lines, first = [], ""
    for table in tables:
        for pattern, columns in _patterns(list(table.frame.columns)).items():
            values = [table.numbers(c) for c in columns]
            likely, maybe = _forms(table.path, pattern, columns=len(columns), values=values)
            if likely:
                name, why = likely
                others = f"; or {', '.join(maybe)}" if maybe else ""
                unsure = "" if read_instrument(name).verified else "; its key is not verified"
                place = f"table: {json.dumps(table.path)}, column: {json.dumps(pattern)}"
                lines.append(f"  {name}: {{{place}}}  # {why}{others}{unsure}")
                if not first or (read_instrument(name).functions and not read_instrument(first).functions):
                    first = name
            elif maybe:
                lines.append(f"  # {table.path}: {pattern}: {len(columns)} items, as {', '.join(maybe)}")
    if not first:
        return [
            "instruments: {}  # nothing matches the shelf; `nssi-bayes instruments` lists it",
            *lines, "#   write instruments/<name>.yaml beside this file for your own", "items: []",
        ]  # fmt: skip
    return ["instruments:", *lines, f"items: [{first}]  # the instruments whose items measure the functions"]


def _patterns(columns: list[str]) -> dict[str, list[str]]:
    """Return patterns with ``{item}`` that name columns numbered from 1 without a gap."""
    groups: dict[tuple[str, bool, str], dict[int, str]] = {}
    worded = [(column, _WORDED.match(column)) for column in columns]
    for column, match in [*((column, _NUMBERED.match(column)) for column in columns), *worded]:
        if match:
            before, zeros, digits, after = match.groups()
            after = "_*" if match.re is _WORDED else after
            groups.setdefault((before, bool(zeros), after), {})[int(digits)] = column
            if not zeros:  # isas_10 belongs to isas_01 and to isas_1
                groups.setdefault((before, True, after), {})[int(digits)] = column
    made = {}
    for (before, padded, after), held in groups.items():
        count = len(held)
        if count < 3 or (padded and count < 10) or sorted(held) != list(range(1, count + 1)):
            continue
        width = len(str(count))
        width = max(width, 2) if padded and f"{before}{1:02d}{after}" in held.values() else width
        item = f"{{item:0{width}d}}" if padded else "{item}"
        pattern = f"{before}{item}{after}"
        if all(fnmatchcase(held[k], pattern.format(item=k)) for k in held):
            made[pattern] = [held[k] for k in sorted(held)]
    return made


def _forms(
    path: str, pattern: str, *, columns: int, values: list[np.ndarray[Any, np.dtype[np.float64]]]
) -> tuple[tuple[str, str] | None, list[str]]:
    """Return the form that matches best with the reason, and others with as many items in their range."""
    said = re.sub(r"[\W_]+", "", f"{path} {pattern}".lower())
    fits = []
    for name in available():
        form = read_instrument(name)
        if form.items != columns or not _in_range(form, values):
            continue
        named = name.replace("_", "") in said or (name.split("_")[0] in said and len(name.split("_")[0]) > 2)
        fits.append((named, name.replace("_", "") in said, name))
    fits.sort(key=lambda f: (-f[0], -f[1], -len(f[2]), f[2]))
    if fits and fits[0][0]:
        rest = [name for named, _, name in fits[1:] if named]
        return (fits[0][2], f"{columns} items, name and range match"), rest
    return None, [name for _, _, name in fits if columns >= _FEW]


def _in_range(form: Instrument, values: list[np.ndarray[Any, np.dtype[np.float64]]]) -> bool:
    """Say whether nine of ten items have numbers, most of them within the form's range."""
    good = 0
    for item, held in zip(form.numbers, values, strict=True):
        low, high = form.range_of(item)
        good += len(held) > 0 and float(((held >= low) & (held <= high)).mean()) > 0.5
    return good >= 0.9 * form.items
