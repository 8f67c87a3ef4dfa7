"""What a paper that uses a run has to cite, as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from nssi_bayes.spec import JointSpec

if TYPE_CHECKING:
    from nssi_bayes.report.evidence import Evidence

__all__ = ["bibtex", "cited", "short"]

_ALWAYS: Final = (
    "hoffman2014",
    "vehtari2021",
    "vehtari2017",
    "yao2018",
    "sivula2020",
    "merkle2019",
    "kumar2019",
    "abrilpla2023",
    "kruschke2018",
    "kruschke2021",
)
_SHORT: Final = re.compile(r"author = \{([^,}]+)[^}]*\}.*year = \{(\d{4})\}")


@cache
def _entries() -> dict[str, str]:
    text = files("nssi_bayes.report").joinpath("references.bib").read_text(encoding="utf-8")
    return {re.split(r"[{,]", line)[1]: line for line in text.splitlines() if line.startswith("@")}


def short(key: str) -> str:
    """Return a reference as it stands in a text: ``Vehtari et al., 2021``.

    Parameters
    ----------
    key : str
        A key of ``references.bib``.

    Returns
    -------
    str
        First author and year.
    """
    entry = _entries()[key]
    found = _SHORT.search(entry)
    if found is None:
        return key
    authors = entry.split("author = {")[1].split("}, title")[0].count(" and ") + 1
    return f"{found[1]}{'' if authors == 1 else ' et al.'}, {found[2]}"


def cited(e: Evidence) -> list[str]:
    """Return the keys of what a question's run has to cite, without its instruments."""
    keys = list(_ALWAYS)
    parameters = {p for found in e.parameters.values() for p in found}
    if any("Omega" in found and "g" not in found for found in e.parameters.values()):
        keys.append("lewandowski2009")
    if parameters & {"lambda", "loading"}:
        keys += ["samejima1969", "thissen1989"]
    if parameters & {"tau_mean", "tau_slope"}:
        keys.append("gelman2006")
    if any(not isinstance(model, JointSpec) for model in e.models.values()):
        keys.append("capretto2022")
    if (e.flow or {}).get("imaging"):
        keys += ["abraham2014", "gorgolewski2016"]
    return keys


def bibtex(keys: Iterable[str], *, instruments: Iterable[tuple[str, str, str | None]] = ()) -> str:
    """Return BibTeX of the software, of what is cited, and of the instruments.

    Parameters
    ----------
    keys : iterable of str
        Keys of ``references.bib``.
    instruments : iterable of (str, str, str or None)
        Name, citation and DOI of each instrument.

    Returns
    -------
    str
        One entry a paragraph.
    """
    own = (
        "@software{nssi_bayes, author = {{The nssi-bayes developers}}, title = {nssi-bayes: joint "
        "hierarchical Bayesian models of the functions of non-suicidal self-injury}, "
        f"version = {{{version('nssi-bayes')}}}, license = {{BSD-3-Clause}}}}"
    )
    found = [own, *(_entries()[key] for key in dict.fromkeys(keys))]
    for name, citation, doi in instruments:
        year = re.search(r"\((\d{4})", citation)
        fields = [f"title = {{{{{_escaped(citation)}}}}}"]
        fields += [f"year = {{{year[1]}}}"] if year else []
        fields += [f"doi = {{{doi}}}"] if doi else []
        found.append(f"@misc{{instrument_{name}, {', '.join(fields)}}}")
    return "\n\n".join(_broken(entry) for entry in found) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"([&%#_$])", r"\\\1", text)


def _broken(entry: str) -> str:
    """Return an entry with one field a line."""
    return re.sub(r", (?=[a-z]+ = \{)", ",\n  ", entry).removesuffix("}") + "\n}"
