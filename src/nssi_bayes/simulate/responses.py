"""Answers of invented people: graded responses with a factor for every published subscale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from scipy.special import logit

from nssi_bayes import names as n
from nssi_bayes.instruments import Instrument

__all__ = ["Answers", "category_shares", "draw_answers"]

UNSCORED: Final = "minimisation_denial"  # validity items, which no scale counts
_FACTOR: Final = {"ctq_sf": "trauma", "ecr_r": "attachment"}
_LOGISTIC_NORMAL: Final = 0.346  # 1 / 1.7^2, the usual match of a logistic by a normal


@dataclass(frozen=True)
class Answers:
    """Answers to one instrument with what is behind them.

    Parameters
    ----------
    raw : xarray.DataArray
        (`participant`, `item`) as a person would tick them: reverse-keyed items run backwards.
    items : xarray.Dataset
        ``lambda``, ``gamma`` (`item`) and ``kappa`` (`item`, `threshold`), for oriented items.
    reliability : xarray.DataArray
        (`factor`,) squared correlation of the complete score with the true factor, in this
        cohort; empty for an instrument that measures functions.
    """

    raw: xr.DataArray
    items: xr.Dataset
    reliability: xr.DataArray


def category_shares(instrument: str, scale: Mapping[str, Any], *, published: Mapping[str, Any]) -> np.ndarray:
    """Return the share of people in each oriented category of an item.

    Parameters
    ----------
    instrument : str
        ``isas``, ``ctq_sf`` or ``ecr_r``.
    scale : mapping
        Constants of the item's subscale.
    published : mapping
        All constants.

    Returns
    -------
    numpy.ndarray
        Shares, lowest category first; they sum to 1.
    """
    if instrument == "isas":
        endorsed, fully = scale["endorsed"], published["endorsed_fully"]
        shares = np.array([1 - endorsed, endorsed * (1 - fully), endorsed * fully])
    elif instrument == "ctq_sf":
        above = np.array(published["ctq_sf_above_floor"])
        shares = np.concatenate([[scale["floor"]], (1 - scale["floor"]) * above / above.sum()])
    else:
        shares = np.array(published["ecr_r_categories"])
    return shares / shares.sum()


def draw_answers(
    rng: np.random.Generator, instrument: Instrument, *, latent: xr.Dataset, published: Mapping[str, Any]
) -> Answers:
    """Draw the answers of everyone to one instrument.

    An item answers a latent with loading ``lambda`` and its subscale's own factor with ``gamma``;
    thresholds are placed so that the shares of categories are those of the constants.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where answers come from.
    instrument : Instrument
        Its key; the constants need an entry for each subscale.
    latent : xarray.Dataset
        ``eta`` and ``x`` of everyone.
    published : mapping
        Constants by name.

    Returns
    -------
    Answers
        Complete answers; what is missing is cut out later.
    """
    scales: Mapping[str, Any] = published[f"{instrument.name}_scales"]
    subscales = dict(instrument.subscales)
    if instrument.unscored:
        subscales[UNSCORED] = instrument.unscored
    people = latent.sizes[n.PARTICIPANT]
    oriented = np.zeros((people, instrument.items), dtype=np.int64)
    loading, own = np.zeros((2, instrument.items))
    threshold = np.zeros((instrument.items, instrument.categories - 1))
    for subscale, items in subscales.items():
        scale = scales[subscale]
        person = _latent_of(instrument.name, scale, latent)
        testlet = rng.standard_normal(people)
        gamma = scale.get("testlet", published[f"{instrument.name}_testlet"])
        shares = category_shares(instrument.name, scale, published=published)
        for item in items:
            slope = scale["loading"] * np.exp(published["item_loading_spread"] * rng.standard_normal())
            spread = slope**2 * person.var() + gamma**2
            kappa = logit(np.cumsum(shares)[:-1]) * np.sqrt(1 + _LOGISTIC_NORMAL * spread)
            kappa += slope * person.mean() + published["item_threshold_spread"] * rng.standard_normal()
            answer = slope * person + gamma * testlet + rng.logistic(size=people)
            oriented[:, item - 1] = (answer[:, None] > kappa).sum(axis=1)
            loading[item - 1], own[item - 1], threshold[item - 1] = slope, gamma, kappa
    raw = instrument.minimum + oriented
    turned = [item - 1 for item in instrument.reverse if item not in instrument.already_reversed]
    raw[:, turned] = 2 * instrument.minimum + instrument.categories - 1 - raw[:, turned]
    labels = np.array([instrument.label(item) for item in instrument.numbers], dtype=object)
    coords = {n.PARTICIPANT: latent[n.PARTICIPANT], n.ITEM: labels}
    return Answers(
        xr.DataArray(raw, dims=(n.PARTICIPANT, n.ITEM), coords=coords),
        _items(labels, loading=loading, gamma=own, threshold=threshold),
        _reliability(instrument, oriented, latent),
    )


def _latent_of(instrument: str, scale: Mapping[str, Any], latent: xr.Dataset) -> np.ndarray:
    if instrument == "isas":
        return latent["eta"].sel({n.FUNCTION: scale["function"]}).to_numpy()
    return latent["x"].sel({n.FACTOR: _FACTOR[instrument]}).to_numpy()


def _reliability(instrument: Instrument, oriented: np.ndarray, latent: xr.Dataset) -> xr.DataArray:
    values = {}
    if instrument.name in _FACTOR:
        scored = [item - 1 for items in instrument.subscales.values() for item in items]
        true = _latent_of(instrument.name, {}, latent)
        values[_FACTOR[instrument.name]] = np.corrcoef(oriented[:, scored].sum(axis=1), true)[0, 1] ** 2
    return xr.DataArray(list(values.values()), dims=n.FACTOR, coords={n.FACTOR: list(values)})


def _items(
    labels: np.ndarray, *, loading: np.ndarray, gamma: np.ndarray, threshold: np.ndarray
) -> xr.Dataset:
    cuts = np.arange(1, threshold.shape[1] + 1)
    return xr.Dataset(
        {
            "lambda": (n.ITEM, loading, {"units": "logits per sd of the latent"}),
            "gamma": (n.ITEM, gamma, {"units": "logits per sd of the subscale's factor"}),
            "kappa": ((n.ITEM, n.THRESHOLD), threshold, {"units": "logits"}),
        },
        coords={n.ITEM: labels, n.THRESHOLD: cuts},
    )
