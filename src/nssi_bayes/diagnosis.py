"""How a cohort's folder writes diagnoses down: flags, codes, or a primary one with comorbidities."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.names import NONE_LEVEL
from nssi_bayes.spec import Strict

__all__ = ["Codes", "Disorders", "Primary", "SmallGroups", "code_tables", "plain_code", "read_codes"]


def code_tables() -> list[str]:
    """Return the names of the code tables on the shelf ``diagnoses``."""
    entries = files("nssi_bayes.diagnoses").iterdir()
    return sorted(e.name.removesuffix(".yaml") for e in entries if e.name.endswith(".yaml"))


@cache
def read_codes(name: str) -> dict[str, tuple[str, ...]]:
    """Read a code table of the shelf.

    Parameters
    ----------
    name : str
        Its file's name without suffix, such as ``icd10``.

    Returns
    -------
    dict of str to tuple of str
        Disorder: the beginnings of its codes.

    Raises
    ------
    SpecError
        If there is no such table.
    """
    if name not in code_tables():
        raise SpecError(
            f"no code table {name!r}. {did_you_mean(name, code_tables())}", where="diagnoses",
            cure="mend disorders.codes.table in study.yaml, or write the codes under `groups`",
        )  # fmt: skip
    text = files("nssi_bayes.diagnoses").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return {group: tuple(str(code) for code in codes) for group, codes in content["groups"].items()}


def plain_code(code: str) -> str:
    """Return a code as it is compared: dots and case do not count (F32.0, f320)."""
    return code.replace(".", "").strip().upper()


def _overlap(code: str, other: str) -> bool:
    return code.startswith(other) or other.startswith(code)


class Codes(Strict):
    """Diagnoses as codes in one or several columns, such as those of an interview.

    Parameters
    ----------
    columns : tuple of str
        Columns that may each hold codes, joined by blanks or one of ``; , + / |``, with or without text.
    table : str, optional
        A file of the shelf ``diagnoses`` (``icd10``, ``dsm4``, ``dsm5``), from which `use` takes groups.
    use : tuple of str
        Groups of that table that are disorders of the study; its others are not.
    groups : dict of str to tuple of str
        Disorder: the beginnings of its codes; takes the place of the table's group of that name. A
        code may count for one disorder only.
    ignore : tuple of str
        Beginnings of codes that are none of the disorders. A code that no group and no entry here
        covers is an error, so that nothing is left out unseen.
    ignore_rest : bool
        Whether the groups of `table` that are not used are none of the disorders.
    """

    columns: tuple[str, ...] = Field(min_length=1)
    table: str | None = None
    use: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    ignore_rest: bool = False

    @model_validator(mode="after")
    def _disjoint(self) -> Codes:
        owner: dict[str, str] = {}
        for group, codes in {**self.known, "ignore": self.left_out}.items():
            for code in codes:
                plain = plain_code(code)
                if not plain:
                    raise ValueError(f"{group!r} holds an empty code, with which every code begins")
                for other, by in owner.items():
                    if by != group and _overlap(plain, plain_code(other)):
                        raise ValueError(f"code {code!r} of {group!r} overlaps {other!r} of {by!r}")
                owner[code] = group
        return self

    @property
    def _shelf(self) -> dict[str, tuple[str, ...]]:
        if self.table is None:
            if self.use or self.ignore_rest:
                raise ValueError("`use` and `ignore_rest` need a `table`")
            return {}
        try:
            shelf = read_codes(self.table)
        except SpecError as error:
            raise ValueError(error.problems[0]) from None
        unknown = [f"no group {g!r}. {did_you_mean(g, shelf)}" for g in self.use if g not in shelf]
        if unknown:
            raise ValueError("; ".join(unknown))
        return shelf

    @property
    def known(self) -> dict[str, tuple[str, ...]]:
        """The disorders with the beginnings of their codes, in the order of the file."""
        shelf = self._shelf
        return {**{group: shelf[group] for group in self.use}, **self.groups}

    @property
    def left_out(self) -> tuple[str, ...]:
        """Beginnings of codes that are none of the disorders."""
        if not self.ignore_rest:
            return self.ignore
        rest = [c for g, codes in self._shelf.items() if g not in self.known for c in codes]
        taken = [c for codes in self.known.values() for c in codes]
        apart = [c for c in rest if not any(_overlap(plain_code(c), plain_code(t)) for t in taken)]
        return (*self.ignore, *apart)


class Primary(Strict):
    """One column with the primary diagnosis, and columns with comorbid ones.

    Parameters
    ----------
    column : str
        The primary diagnosis.
    comorbid : tuple of str
        Columns with more; a cell may name several, joined by one of ``; , + / |``.
    names : dict of str to str
        Disorder of every word that a cell may hold.
    none : tuple of str
        Words for people without any of the disorders.
    """

    column: str
    comorbid: tuple[str, ...] = ()
    names: dict[str, str] = Field(min_length=1)
    none: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _disjoint(self) -> Primary:
        if set(self.names) & set(self.none):
            raise ValueError("a word stands under `names` and `none`")
        return self


class SmallGroups(Strict):
    """What becomes of disorders with fewer than ``min_cell`` people; they stay, and are noted, without it.

    Parameters
    ----------
    merge : dict of str to tuple of str
        New disorder: the disorders that it joins. Each of them must exist.
    drop : tuple of str
        Disorders that are no disorder of the study; their people stay.
    """

    merge: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    drop: tuple[str, ...] = ()


class Disorders(Strict):
    """Multi-label diagnoses: a flag column a disorder, codes, or a primary one with comorbidities.

    Parameters
    ----------
    table : str
        Path of the table.
    flags : dict of str to str, optional
        Disorder: its column.
    codes : Codes, optional
        Instead of `flags`.
    primary : Primary, optional
        Instead of both.
    present, absent : tuple of str
        Values of a flag column.
    not_assessed : {"refuse", "exclude"}
        What to do with a person whose diagnoses are missing (not assessed is not absent).
    period : {"lifetime", "current"}
        What a diagnosis means; carried into the artefacts.
    small : SmallGroups
        Which disorders are merged or dropped, where they are small.
    """

    table: str = "participants.tsv"
    flags: dict[str, str] | None = None
    codes: Codes | None = None
    primary: Primary | None = None
    present: tuple[str, ...] = ("1",)
    absent: tuple[str, ...] = ("0",)
    not_assessed: Literal["refuse", "exclude"] = "refuse"
    period: Literal["lifetime", "current"] = "lifetime"
    small: SmallGroups = SmallGroups()

    @model_validator(mode="after")
    def _one_way(self) -> Disorders:
        if sum(way is not None for way in (self.flags, self.codes, self.primary)) != 1:
            raise ValueError("write either `flags` or `codes` or `primary`")
        if not self.read:
            raise ValueError("a study needs at least one disorder")
        if NONE_LEVEL in (*self.read, *self.small.merge):
            raise ValueError(f"{NONE_LEVEL!r} is kept for people without a diagnosis")
        columns = list((self.flags or {}).values())
        if len(columns) > len(set(columns)):
            raise ValueError("flags: a column stands for two disorders")
        if set(self.present) & set(self.absent):
            raise ValueError("a value stands under `present` and `absent`")
        gone = [*self.small.drop, *(d for part in self.small.merge.values() for d in part)]
        unknown = [
            f"small: no disorder {d!r}. {did_you_mean(d, self.read)}" for d in gone if d not in self.read
        ]
        if unknown or len(gone) > len(set(gone)):
            raise ValueError("; ".join(unknown) or "small: a disorder is merged or dropped twice")
        if not self.names:
            raise ValueError("small: no disorder is left")
        return self

    @property
    def read(self) -> tuple[str, ...]:
        """The disorders as they stand in the table, in the order of the file."""
        if self.primary is not None:
            return tuple(dict.fromkeys(self.primary.names.values()))
        return tuple(self.flags or (self.codes.known if self.codes else ()))

    @property
    def names(self) -> tuple[str, ...]:
        """The disorders of the study, after merging and dropping."""
        owner = {part: name for name, parts in self.small.merge.items() for part in parts}
        kept = [owner.get(d, d) for d in self.read if d not in self.small.drop]
        return tuple(dict.fromkeys(kept))
