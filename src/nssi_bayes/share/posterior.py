"""A posterior without people: what the list allows, built anew, with nothing carried along."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.predictors import plain
from nssi_bayes.errors import ArtefactError
from nssi_bayes.share.allowed import allowed

__all__ = ["Stripped", "safe_tree"]

_GROUPS: Final = ("posterior", "prior")
_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.+\- ]{0,60}")


class _Few(NamedTuple):
    """What too few people tell of: disorders, dims of blocks, further diagnoses, treatments."""

    disorders: set[str]
    dims: set[str]
    several: bool
    treatments: set[str]


@dataclass
class Stripped:
    """A tree that may go, and what was left out of it.

    Parameters
    ----------
    tree : xarray.DataTree
        To be written.
    kept : list of str
        Its variables.
    left_out : dict of str to str
        What stays, and why.
    """

    tree: xr.DataTree
    kept: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def leave_out(self, name: str, reason: str) -> None:
        """Note what stays; reasons of one name are told once each."""
        told = self.left_out.get(name, "")
        self.left_out[name] = told if reason in told else "; ".join(filter(None, (told, reason)))


def safe_tree(
    tree: xr.DataTree,
    *,
    small: Iterable[str],
    vocabulary: Mapping[str, Iterable[str]],
    few_scans: Iterable[str] = (),
    few_with_several: bool = False,
    few_treated: Iterable[str] = (),
) -> Stripped:
    """Return the part of a posterior that says nothing of a person.

    Parameters
    ----------
    tree : xarray.DataTree
        As `fit` wrote it, or as anybody did.
    small : iterable of str
        Disorders of too few people; ``none`` stands for people without any.
    vocabulary : mapping of str to iterable of str
        Dim: the labels it may have. A dim that is not named may have any label that looks like a name.
    few_scans : iterable of str
        Dims of blocks (``roi``, ``edge``) that too few people have.
    few_with_several : bool
        Whether too few people have two diagnoses or more.
    few_treated : iterable of str
        Treatments that too few people had, or had not.

    Returns
    -------
    Stripped
        With the groups ``posterior`` and ``prior``, and divergences.

    Raises
    ------
    ArtefactError
        If a label is none of those known: the file is not what it says it is.
    """
    found = Stripped(xr.DataTree())
    few = _Few(set(small), set(few_scans), few_with_several, set(few_treated))
    problems: list[str] = []
    groups = {}
    for name, node in tree.children.items():
        if name not in _GROUPS:
            if name != "sample_stats":
                found.leave_out("further groups", "hold data, or what is said of persons")
            continue
        groups[str(name)] = _safe(node.to_dataset(), found, few, first=name == _GROUPS[0])
        problems += _strange(groups[str(name)], vocabulary)
    if "posterior" not in groups or not groups["posterior"].data_vars:
        problems.append("no variable of the posterior is on the list")
    if problems:
        raise ArtefactError(
            list(dict.fromkeys(problems)),
            where="posterior",
            cure="fit the model again; a label that is none of the study's own is never shared",
        )
    groups |= _diverging(tree)
    found.left_out["attributes"] = "stripped: they may name paths, times and people"
    found.tree = xr.DataTree.from_dict(groups)
    return found


def _diverging(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """Return which draws diverged, if the file says so."""
    stats = tree["sample_stats"].to_dataset() if "sample_stats" in tree.children else xr.Dataset()
    if "diverging" not in stats or set(stats["diverging"].dims) != {n.CHAIN, n.DRAW}:
        return {}
    diverging = stats["diverging"].transpose(n.CHAIN, n.DRAW).to_numpy()
    return {"sample_stats": xr.Dataset({"diverging": ((n.CHAIN, n.DRAW), diverging)})}


def _safe(dataset: xr.Dataset, found: Stripped, few: _Few, *, first: bool) -> xr.Dataset:
    """Return one group, its arrays copied into a data set that is new."""
    keeps = _kept_disorders(dataset, few.disorders)
    made: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    coords: dict[str, np.ndarray] = {}
    for name, array in dataset.data_vars.items():
        reason = _reason(str(name), array, few, keeps=keeps)
        if reason:
            if first:
                found.leave_out(_named(str(name)), reason)
            continue
        kept = _without(array, keeps) if n.DISORDER in array.dims else array
        if n.TREATMENT in array.dims:
            kept = array.isel({n.TREATMENT: np.flatnonzero(_kept_treatments(array, few))})
        if (
            n.DISORDER in array.dims
            and str(name) in allowed().zero_sum
            and keeps is not None
            and not keeps.all()
        ):
            kept = kept - kept.mean(n.DISORDER)
        dims = tuple(str(d) for d in (n.CHAIN, n.DRAW, *(d for d in kept.dims if d not in (n.CHAIN, n.DRAW))))
        made[str(name)] = (dims, np.ascontiguousarray(kept.transpose(*dims).to_numpy()))
        for dim in dims[2:]:
            coords[dim] = _labels(kept, dim)
        coords |= {d: np.arange(kept.sizes[d]) for d in (n.CHAIN, n.DRAW)}
        if first:
            found.kept.append(str(name))
    if keeps is not None and not keeps.all() and first:
        found.left_out["disorders of too few people"] = (
            f"{int((~keeps).sum())} left out of every variable; effects that sum to zero are centred again "
            "over the "
            "others, so that those left out cannot be computed"
        )
    return xr.Dataset(made, coords=coords)


def _kept_disorders(dataset: xr.Dataset, small: set[str]) -> np.ndarray | None:
    if n.DISORDER not in dataset.coords:
        return None
    return np.array([str(d) not in small for d in dataset[n.DISORDER].to_numpy()])


def _kept_treatments(array: xr.DataArray, few: _Few) -> np.ndarray:
    return ~np.isin(array[n.TREATMENT].to_numpy().astype(str), sorted(few.treatments))


def _without(array: xr.DataArray, keeps: np.ndarray | None) -> xr.DataArray:
    return array if keeps is None else array.isel({n.DISORDER: np.flatnonzero(keeps)})


def _reason(name: str, array: xr.DataArray, few: _Few, *, keeps: np.ndarray | None) -> str:
    """Return why a variable stays; empty if it may go."""
    dims = tuple(str(d) for d in array.dims)
    if n.CHAIN not in dims or n.DRAW not in dims:
        return "is no set of draws"
    own = tuple(d for d in dims if d not in (n.CHAIN, n.DRAW))
    reason = allowed().why_not(name, own)
    if reason:
        return reason
    if not np.issubdtype(array.dtype, np.number):
        return "holds no numbers"
    if few.dims & set(own):
        return "rests on too few people with images"
    if n.DISORDER in own and (keeps is None or keeps.sum() < 2):
        return "fewer than two disorders have enough people"
    if name.endswith("_none") and n.NONE_LEVEL in few.disorders:
        return "describes too few people without any of the diagnoses"
    if name.removesuffix("_some").endswith(n.BURDEN) and few.several:
        return "describes too few people with several diagnoses"
    if n.TREATMENT in own and not _kept_treatments(array, few).any():
        return "describes a treatment that too few people had, or had not"
    if _column_of(name, "treatment_|product_.*", few.treatments):
        return "describes a treatment that too few people had, or had not"
    if _column_of(name, "diagnosis_", few.disorders):
        return "describes a disorder of too few people"
    return ""


def _column_of(name: str, begins: str, labels: set[str]) -> bool:
    """Say whether a column of a formula is of one of some labels; names that were alike have a number."""
    return any(re.fullmatch(rf"({begins}){re.escape(plain(label))}(_\d+)?", name) for label in labels)


def _labels(array: xr.DataArray, dim: str) -> np.ndarray:
    if dim not in array.coords:
        return np.arange(array.sizes[dim])
    return np.array(array[dim].to_numpy().tolist())


def _strange(dataset: xr.Dataset, vocabulary: Mapping[str, Iterable[str]]) -> list[str]:
    """Count labels that are none of the study's own; none is quoted."""
    problems = []
    for dim in map(str, dataset.coords):
        labels = dataset[dim].to_numpy()
        if np.issubdtype(labels.dtype, np.number):
            if not np.array_equal(labels, np.arange(len(labels))):
                problems.append(f"dim {dim!r} has numbers for labels that are no count from 0")
            continue
        known = vocabulary.get(dim)
        bad = [
            s
            for s in map(str, labels)
            if (known is not None and s not in set(known)) or not _LABEL.fullmatch(s)
        ]
        if bad:
            problems.append(f"{len(bad)} labels of dim {dim!r} are none of the study's")
    return problems


def _named(name: str) -> str:
    """Return a variable's name if the list knows it; another one may be that of a person or a hospital."""
    known = name in allowed().variables or name in allowed().stay
    return name if known else "other variables"
