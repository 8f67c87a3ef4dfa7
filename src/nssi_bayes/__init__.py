"""Joint hierarchical Bayesian models of the functions of non-suicidal self-injury."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["__version__", "load_posterior"]

__version__ = "0.1.0"


def load_posterior(model: str, root: str | Path = ".") -> xr.DataTree:
    """Load a fitted model for ArviZ.

    Its coords are names (functions, disorders, items, regions), so that ``coords={"disorder":
    ["borderline"]}`` works in every ArviZ plot. It holds population-level draws and no person.

    Parameters
    ----------
    model : str
        ``question/model``, an entry of the roster.
    root : str or pathlib.Path, default "."
        The folder that holds ``params.yaml``.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior``, ``prior`` and ``sample_stats``; dims `chain`, `draw` and named dims. Its
        attribute ``certified`` is 1 or 0 as `check` found of these draws, -1 where it has not looked at them.
        Every coord is a dim's, as ``az.summary`` needs them; the network of a region or an edge stands in
        the atlas.

    Raises
    ------
    ArtefactError
        If the model has not been fitted.

    Warns
    -----
    UserWarning
        If the posterior is not certified, or has not been checked.
    """
    from nssi_bayes.store import Layout, read_json, read_tree

    layout = Layout(Path(root))
    tree = read_tree(layout.posterior(model))
    checks = read_json(layout.checks(model)) if layout.checks(model).exists() else {}
    of_these = all(
        checks.get(mark, own) == own for mark in ("fingerprint", "fit") if (own := tree.attrs.get(mark))
    )
    certified = int(checks["certified"]) if checks and of_these else -1
    if certified != 1:
        said = "is not certified: its numbers are not to be believed" if certified == 0 else "was not checked"
        said += "; what was checked are other draws" if not of_these else ""
        warnings.warn(f"the posterior of {model} {said}", stacklevel=2)
    tree = tree.map_over_datasets(lambda group: group.reset_coords(drop=True))
    tree.attrs["certified"] = certified
    return tree
