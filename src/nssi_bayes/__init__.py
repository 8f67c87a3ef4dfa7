"""Joint hierarchical Bayesian models of the functions of non-suicidal self-injury."""

from __future__ import annotations

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
        Groups ``posterior`` and ``sample_stats``; dims `chain`, `draw` and named dims.

    Raises
    ------
    ArtefactError
        If the model has not been fitted.
    """
    from nssi_bayes.store import Layout, read_tree

    return read_tree(Layout(Path(root)).posterior(model))
