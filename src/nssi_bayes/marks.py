"""Whether what was written is of the model as it is now: its fingerprint tells data, structure and priors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from nssi_bayes.errors import ArtefactError
from nssi_bayes.store import Layout, read_json, read_tree

__all__ = ["MARK", "mark_of", "of_another", "read_posterior"]

MARK = "fingerprint"
"""Key, or attribute, under which an artefact says of which model it is."""


def mark_of(layout: Layout, model: str) -> str | None:
    """Return the fingerprint that `build` wrote last; None if it never did."""
    path = layout.fingerprint(model)
    return str(read_json(path)[MARK]) if path.exists() else None


def of_another(content: Mapping[Any, Any], mark: str | None) -> bool:
    """Return whether an artefact is of another model, data or priors.

    Parameters
    ----------
    content : mapping
        Of a JSON file, or attributes. What does not say of which model it is passes.
    mark : str or None
        Fingerprint of the model as it is; None if it is not known.
    """
    return mark is not None and str(content.get(MARK, mark)) != mark


def read_posterior(layout: Layout, model: str, mark: str) -> xr.DataTree:
    """Read the posterior of a model as it is.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    model : str
        ``question/name``.
    mark : str
        Its fingerprint.

    Returns
    -------
    xarray.DataTree
        In memory.

    Raises
    ------
    ArtefactError
        If there is none, or one of another model, other data or other priors, or one that does not say.
    """
    path = layout.posterior(model)
    tree = read_tree(path)
    if str(tree.attrs.get(MARK)) != mark:
        raise ArtefactError(
            "the posterior belongs to another model or other data",
            where=str(path),
            cure=f"run `nssi-bayes fit {model}` again",
        )
    return tree
