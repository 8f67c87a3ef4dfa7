"""Between arrays in the order of the blocks and labelled data sets in the order of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks import bias
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.parameter import Parameter

__all__ = ["label", "theta_of"]

_FACTOR_FIRST: Final = ("M", "delta", "delta_free", "delta_loading", "delta_loading_free")
"""Of what has a `disorder` dim, the parameters that the contract writes with another dim first."""

type Array = np.ndarray[Any, Any]


def label(values: dict[str, Array], parameters: Sequence[Parameter], design: Design) -> xr.Dataset:
    """Give every array its dims and labels.

    Parameters
    ----------
    values : dict of str to numpy.ndarray
        Draws [`chain`, `draw`, ...] by parameter; a correlation matrix as such.
    parameters : sequence of Parameter
        Dims by parameter.
    design : Design
        Labels by dim.

    Returns
    -------
    xarray.Dataset
        What varies by disorder has `disorder` first; complete loadings of regions and
        edges are added as ``L`` and ``L_edge``, bias that is sparse as ``delta``.
    """
    first = next(iter(values.values()))
    used = {d for p in parameters for d in p.dims}
    found = xr.Dataset(
        {p.name: ((n.CHAIN, n.DRAW, *p.dims), values[p.name], {"units": p.unit}) for p in parameters},
        coords={
            n.CHAIN: np.arange(first.shape[0]),
            n.DRAW: np.arange(first.shape[1]),
            **{dim: labels for dim, labels in design.coords.items() if dim in used},
        },
    )
    if "L_offset" in found:
        networks = [design.coords[n.NETWORK][w] for w in design.network_of]
        found = found.assign_coords({n.ROI_NETWORK: (n.ROI, networks)})
        common = found["L_network"].sel({n.NETWORK: found[n.ROI_NETWORK]}).drop_vars(n.NETWORK)
        found["L"] = (common + found["L_offset"]).transpose(n.CHAIN, n.DRAW, n.ROI, n.FUNCTION)
        found["L"].attrs["units"] = found["L_network"].attrs["units"]
    if "L_edge_offset" in found:
        pairs = [design.coords[n.NETWORK_PAIR][p] for p in design.pair_of]
        found = found.assign_coords({n.EDGE_NETWORK: (n.EDGE, pairs)})
        common = found["L_pair"].sel({n.NETWORK_PAIR: found[n.EDGE_NETWORK]}).drop_vars(n.NETWORK_PAIR)
        joins = xr.DataArray(design.edge_ends, dims=(n.EDGE, n.EDGE_REGION))
        ends = xr.dot(found["L_end"], joins, dim=n.EDGE_REGION)
        loading = common + ends + found["L_edge_offset"]
        found["L_edge"] = loading.transpose(n.CHAIN, n.DRAW, n.EDGE, n.FUNCTION)
        found["L_edge"].attrs["units"] = found["L_pair"].attrs["units"]
    for kind in ("", "_loading"):
        if f"delta{kind}_free" in found:
            dims = (n.CHAIN, n.DRAW, n.BIASED_INDICATOR, n.DISORDER)
            units = {"units": found[f"delta{kind}_free"].attrs["units"]}
            found[f"delta{kind}"] = (dims, bias.effects(values, design, kind=kind), units)
    for name, array in found.data_vars.items():
        if n.DISORDER in array.dims and name not in _FACTOR_FIRST:
            found[name] = array.transpose(n.CHAIN, n.DRAW, n.DISORDER, ...)
    return found


def theta_of(draws: xr.Dataset, parameters: Sequence[Parameter]) -> dict[str, Array]:
    """Return the arrays that the blocks take, all chains in a row.

    Parameters
    ----------
    draws : xarray.Dataset
        From `label`.
    parameters : sequence of Parameter
        Of the same model.

    Returns
    -------
    dict of str to numpy.ndarray
        [sample, ...] by parameter; a correlation matrix as its Cholesky factor.
    """
    found = {}
    for p in parameters:
        array = draws[p.name].transpose(n.CHAIN, n.DRAW, *p.dims).to_numpy()
        flat = array.reshape(-1, *array.shape[2:])
        found[p.name] = np.linalg.cholesky(flat) if p.is_correlation else flat
    return found
