"""The shelf of instruments: one YAML file a questionnaire, items by number only, never by wording.

A study's own folder ``instruments`` is a shelf before this one: a file there is found first.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml

from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.instruments.form import Composite, Cutoffs, Identifies, Instrument, Reference
from nssi_bayes.spec import parse
from nssi_bayes.store import read_yaml

__all__ = [
    "Composite", "Cutoffs", "Identifies", "Instrument", "Reference", "available", "check_instrument",
    "listed", "printed", "read_instrument", "study_instrument",
]  # fmt: skip


def available() -> list[str]:
    """Return the names of the instruments on the shelf."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in files("nssi_bayes.instruments").iterdir()
        if entry.name.endswith(".yaml")
    )


@cache
def _shelved(name: str) -> Instrument:
    resource = files("nssi_bayes.instruments").joinpath(f"{name}.yaml")
    content = yaml.safe_load(resource.read_text(encoding="utf-8"))
    return parse(Instrument, content, where=f"instruments/{name}.yaml")


def read_instrument(name: str, folder: Path | None = None) -> Instrument:
    """Read one instrument of a study's own shelf, or of this one.

    Parameters
    ----------
    name : str
        Its file's name without suffix.
    folder : pathlib.Path, optional
        The study's own shelf; need not exist.

    Returns
    -------
    Instrument
        The form.

    Raises
    ------
    SpecError
        If there is no such instrument, or its file breaks the shelf's contract.
    """
    if folder is not None and (folder / f"{name}.yaml").is_file():
        return check_instrument(folder / f"{name}.yaml")
    if name not in available():
        own = [p.stem for p in folder.glob("*.yaml")] if folder is not None else []
        raise SpecError(
            f"no instrument {name!r}. {did_you_mean(name, [*available(), *own])}", where="instruments",
            cure="mend the name under `instruments` of study.yaml, or write the file "
            "instruments/<name>.yaml beside it (`nssi-bayes instruments check` reads it)",
        )  # fmt: skip
    return _shelved(name)


def check_instrument(path: Path) -> Instrument:
    """Read an instrument's file outside the shelf.

    Parameters
    ----------
    path : pathlib.Path
        The file; its name is the instrument's.

    Returns
    -------
    Instrument
        The form.

    Raises
    ------
    SpecError
        With everything that breaks the shelf's contract.
    """
    form = parse(Instrument, read_yaml(path), where=str(path))
    if form.name != path.stem:
        raise SpecError(
            f"name: {form.name!r} is not the file's name", where=str(path), cure="make them equal"
        )
    return form


def listed(form: Instrument, *, own: str = "") -> str:
    """Return one line about an instrument.

    Parameters
    ----------
    form : Instrument
        The form.
    own : str
        The study whose own it is.

    Returns
    -------
    str
        Name, size, whether its key is verified, title and form.
    """
    size = "key needed" if form.key_needed else f"{form.items} items"
    said = "verified" if form.verified else "not verified"
    whose = f", of study {own}" if own else ""
    return f"{form.name:16} {size:11} {said:13} {form.title} ({form.form}{whose})"


def printed(form: Instrument) -> str:
    """Return an instrument as YAML, without what every form has by default.

    Parameters
    ----------
    form : Instrument
        The form.

    Returns
    -------
    str
        YAML that `check_instrument` reads.
    """
    content = form.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)


def study_instrument(name: str, *, form: str | None = None, folder: Path | None = None) -> Instrument:
    """Read an instrument as a study uses it: by its form, under the study's name for it.

    Parameters
    ----------
    name : str
        The key under `instruments` of study.yaml.
    form : str, optional
        The instrument, where the key is another name.
    folder : pathlib.Path, optional
        The study's own shelf.

    Returns
    -------
    Instrument
        The form, its scales named after `name` where that is another one.

    Raises
    ------
    SpecError
        If there is no such instrument, it breaks the contract, or its key is not known.
    """
    found = read_instrument(form or name, folder)
    if found.key_needed:
        raise SpecError(
            f"the scoring key of {found.name!r} is not on the shelf: {found.verified_by}",
            where="instruments",
            cure=f"write instruments/{found.name}.yaml beside study.yaml, with the key of your form",
        )
    return found.called(name)
