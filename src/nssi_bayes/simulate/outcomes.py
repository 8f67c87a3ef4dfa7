"""Further outcomes of the invented people: treatment response, days with self-injury, severity after therapy.

They have seeds of their own and files of their own, so that everything else is what it is without them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from nssi_bayes import names as n
from nssi_bayes.store import write_json, write_table

__all__ = ["draw_outcomes", "draw_treatment", "write_outcomes", "write_treatment"]

_NAME: Final = "outcomes"
_TREATMENT: Final = "treatment"
_DAYS_A_MONTH: Final = 30


def draw_outcomes(rng: np.random.Generator, people: xr.Dataset, *, published: dict[str, Any]) -> pd.DataFrame:
    """Draw response and days, given functions and factors.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    people : xarray.Dataset
        From `draw_people`: functions ``eta`` and factors ``x``.
    published : dict
        Constants by name.

    Returns
    -------
    pandas.DataFrame
        ``response`` (0 or 1), ``nssi_days`` and ``months_observed`` by person. Days are negative
        binomial with the months as exposure, and no more than there are in them.
    """
    predictor = {}
    for kind in ("response", "days"):
        factor = np.array([published[f"{kind}_factor"][str(name)] for name in people[n.FACTOR].to_numpy()])
        slope = published[f"{kind}_function"]
        predictor[kind] = published[f"{kind}_level"] + people["x"].to_numpy() @ factor
        predictor[kind] = predictor[kind] + slope * people["eta"].to_numpy().sum(axis=1)
    size = len(predictor["days"])
    response = (rng.random(size) < expit(predictor["response"])).astype(int)
    low, high = (int(v) for v in published["months_observed"])
    months = rng.integers(low, high + 1, size)
    spread = published["days_dispersion"] ** 2
    rate = months * np.exp(predictor["days"]) * rng.gamma(1 / spread, spread, size)
    days = np.minimum(rng.poisson(rate), _DAYS_A_MONTH * months)
    index = pd.Index(people[n.PARTICIPANT].to_numpy(), name="participant_id")
    return pd.DataFrame({"response": response, "nssi_days": days, "months_observed": months}, index=index)


def write_outcomes(
    folder: Path, people: xr.Dataset, *, rng: np.random.Generator, published: dict[str, Any]
) -> None:
    """Write ``phenotype/outcomes.tsv`` and its sidecar; some people were not seen again.

    Parameters
    ----------
    folder : pathlib.Path
        The BIDS folder.
    people : xarray.Dataset
        From `draw_people`.
    rng : numpy.random.Generator
        Where outcomes and missingness come from.
    published : dict
        Constants by name.
    """
    table = draw_outcomes(rng, people, published=published).astype("Int64")
    table = table[rng.random(len(table)) >= published["severity_missing"]]
    sidecar = {
        "MeasurementToolMetadata": {"Description": "Outcomes of invented people"},
        "response": {"Description": "Treatment response (invented)", "Levels": {"0": "no", "1": "yes"}},
        "nssi_days": {"Description": "Days with self-injury while observed (invented)", "Units": "days"},
        "months_observed": {"Description": "Time observed (invented)", "Units": "months"},
    }
    write_table(folder / "phenotype" / f"{_NAME}.tsv", table.reset_index())
    write_json(folder / "phenotype" / f"{_NAME}.json", sidecar)


def draw_treatment(
    rng: np.random.Generator, people: xr.Dataset, *, published: dict[str, Any]
) -> pd.DataFrame:
    """Draw who had therapy, at random, and severity after it, given functions and severity before.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where they come from.
    people : xarray.Dataset
        From `draw_people`: functions ``eta`` and ``severity_latent``.
    published : dict
        Constants by name.

    Returns
    -------
    pandas.DataFrame
        ``therapy`` (0 or 1, half of the people each) and ``severity_after`` (mean of items) by person.
    """
    size, scale = people.sizes[n.PARTICIPANT], published["severity"]
    therapy = rng.permutation(size) % 2
    by_function = published["therapy_by_function"]
    phi = np.array([by_function[str(function)] for function in people[n.FUNCTION].to_numpy()])
    effect = published["therapy_effect"] + people["eta"].to_numpy() @ phi
    latent = published["severity_kept"] * people["severity_latent"].to_numpy() + therapy * effect
    latent = latent + published["severity_after_residual"] * rng.standard_normal(size)
    mean = np.clip(scale["mean"] + scale["sd"] * latent, 0, scale["maximum"])
    after = np.round(np.round(mean * scale["items"]) / scale["items"], 3)
    index = pd.Index(people[n.PARTICIPANT].to_numpy(), name="participant_id")
    return pd.DataFrame({"therapy": therapy, "severity_after": after}, index=index)


def write_treatment(
    folder: Path, people: xr.Dataset, *, rng: np.random.Generator, published: dict[str, Any]
) -> None:
    """Write ``phenotype/treatment.tsv`` and its sidecar; some people were not seen after it.

    Parameters
    ----------
    folder : pathlib.Path
        The BIDS folder.
    people : xarray.Dataset
        From `draw_people`.
    rng : numpy.random.Generator
        Where treatment, severity and missingness come from.
    published : dict
        Constants by name.
    """
    table = draw_treatment(rng, people, published=published)
    table.loc[rng.random(len(table)) < published["severity_missing"], "severity_after"] = np.nan
    sidecar = {
        "MeasurementToolMetadata": {"Description": "Treatment of invented people, drawn at random"},
        "therapy": {"Description": "Therapy (invented)", "Levels": {"0": "waiting list", "1": "therapy"}},
        "severity_after": {"Description": "Severity after treatment (invented)", "Units": "mean of items"},
    }
    write_table(folder / "phenotype" / f"{_TREATMENT}.tsv", table.reset_index())
    write_json(folder / "phenotype" / f"{_TREATMENT}.json", sidecar)
