"""Draws summarised: means, intervals, probabilities, and how well the ends of intervals are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from nssi_bayes import names as n

__all__ = ["Array", "Row", "Summary", "flattened", "rows_of", "values_of"]

type Array = np.ndarray[Any, Any]
type Row = dict[str, Any]


class Summary:
    """Mean, equal-tailed interval and probabilities of draws, and how well the ends are known."""

    def __init__(
        self, interval: float, rope: float, *, chains: int, printed: list[Array] | None = None
    ) -> None:
        self.tails = ((1 - interval) / 2, (1 + interval) / 2)
        self.rope, self._chains = rope, chains
        self._printed: list[Array] = [] if printed is None else printed

    def fewest(self) -> float:
        """Return the smallest effective sample size of the end of any interval so far."""
        draws = np.stack(self._printed).reshape(len(self._printed), self._chains, -1)
        draws = draws[np.ptp(draws, axis=(1, 2)) > 0]  # what is fixed has no end
        return min(float(array_stats.ess(draws, method="quantile", prob=p).min()) for p in self.tails)

    def interval(self, draws: Array, *, prior: bool = False) -> Row:
        """Return mean and interval."""
        if not prior:
            self._printed.append(draws)
        low, high = np.quantile(draws, self.tails)
        return {"mean": float(draws.mean()), "low": float(low), "high": float(high)}

    def signed(self, draws: Array, *, rope: bool = False) -> Row:
        """Summarise with the probability of being positive, and of leaving the ROPE."""
        row = {**self.interval(draws), "sd": float(draws.std()), "p_positive": float((draws > 0).mean())}
        return {**row, "p_over_rope": self.over_rope(draws)} if rope else row

    def over_rope(self, draws: Array) -> float:
        """Return the probability that the size exceeds the ROPE."""
        return float((np.abs(draws) > self.rope).mean())


def flattened(dataset: xr.Dataset) -> xr.Dataset:
    """Return draws with `chain` and `draw` stacked to the dim ``sample``."""
    return dataset.stack({"sample": (n.CHAIN, n.DRAW)}, create_index=False).drop_vars(
        [n.CHAIN, n.DRAW], errors="ignore"
    )


def values_of(flat: xr.Dataset, name: str, *dims: str) -> Array:
    """Return the draws of a variable [sample, `dims`]."""
    return flat[name].transpose("sample", *dims).to_numpy()


def rows_of(summary: Summary, flat: xr.Dataset, name: str, dims: tuple[str, ...]) -> list[Row]:
    """Summarise every element of a variable, a row each with its labels; none where it is not there."""
    if name not in flat:
        return []
    values = values_of(flat, name, *dims)
    labels = [flat[d].to_numpy() for d in dims]
    return [
        {**{d: str(labels[a][i]) for a, (d, i) in enumerate(zip(dims, place, strict=True))},
         **summary.signed(values[(slice(None), *place)], rope=True)}
        for place in np.ndindex(*values.shape[1:])
    ]  # fmt: skip
