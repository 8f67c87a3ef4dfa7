"""Invented people: diagnoses, factors, functions and severity from the model's own story."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n

__all__ = ["Z", "draw_people", "further_diagnoses"]

Z: Final = "z"  # covariates in sd of the cohort
_EXCLUSIVE: Final = ("mood", "bipolar")  # a depressive and a bipolar disorder exclude each other


def further_diagnoses(diagnosis: xr.DataArray) -> np.ndarray:
    """Return the number of diagnoses beyond the first, (`participant`,)."""
    return np.asarray(diagnosis.sum(n.DISORDER).to_numpy() - 1.0)


def draw_people(
    rng: np.random.Generator, truth: xr.Dataset, *, participants: int, published: dict[str, Any]
) -> xr.Dataset:
    """Draw a cohort.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where people come from.
    truth : xarray.Dataset
        Parameters of `draw_parameters`.
    participants : int
        Number of people; everyone has a diagnosis.
    published : dict
        Constants by name.

    Returns
    -------
    xarray.Dataset
        ``diagnosis``, ``site_of``, ``age``, ``sex``, covariates ``z``, factors ``x``, functions
        ``eta``, their residual ``zeta`` and ``severity`` (`participant`, ...).
    """
    width = max(3, len(str(participants)))
    labels = [f"sub-{i:0{width}d}" for i in range(1, participants + 1)]
    people = xr.Dataset(coords={n.PARTICIPANT: np.array(labels, dtype=object)}).assign_coords(
        {dim: truth[dim] for dim in (n.DISORDER, n.FUNCTION, n.FACTOR, n.COVARIATE)}
    )
    diagnosis = _diagnoses(rng, list(truth[n.DISORDER].to_numpy()), participants, published)
    people[n.DIAGNOSIS] = ((n.PARTICIPANT, n.DISORDER), diagnosis, {"units": "0 or 1"})
    sites = np.array(list(published["site"]), dtype=object)
    share = np.array(list(published["site"].values()))
    people[n.SITE_OF] = (n.PARTICIPANT, rng.choice(sites, size=participants, p=share / share.sum()))
    low, high = (int(age) for age in published["age"])
    people["age"] = (n.PARTICIPANT, rng.integers(low, high + 1, size=participants), {"units": "years"})
    female = rng.random(participants) < published["female"]
    people["sex"] = (n.PARTICIPANT, np.where(female, "F", "M").astype(object))
    people[Z] = ((n.PARTICIPANT, n.COVARIATE), _standard(people["age"].to_numpy(), female), {"units": "sd"})
    _latents(rng, truth, people)
    _severity(rng, truth, people, published["severity"])
    return people


def _standard(age: np.ndarray, female: np.ndarray) -> np.ndarray:
    """Return age and sex (female high) in sd of the cohort, (`participant`, `covariate`)."""
    raw = np.column_stack([age, female]).astype(float)
    spread = raw.std(axis=0)
    return (raw - raw.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _diagnoses(
    rng: np.random.Generator, disorders: list[str], participants: int, published: dict[str, Any]
) -> np.ndarray:
    """Draw one diagnosis for everyone and further ones for about a third, (`participant`, `disorder`).

    Shares are kept exactly, so that a small cohort still has a few people of every disorder.
    """
    first = np.array([published["disorder"][name] for name in disorders])
    again = np.array([published["disorder_again"][name] for name in disorders])
    exclusive = [disorders.index(name) for name in _EXCLUSIVE]
    diagnosis = np.zeros((participants, len(disorders)), dtype=np.int8)
    own = np.searchsorted(np.cumsum(first) / first.sum(), _even(rng, participants))
    rank = _even(rng, participants)
    second = published["second_diagnosis"]
    further = (rank < second).astype(int) + (rank < second * published["third_diagnosis"])
    for person in range(participants):
        diagnosis[person, own[person]] = 1
        for _ in range(further[person]):
            weight = again * (1 - diagnosis[person])
            if diagnosis[person, exclusive].any():
                weight[exclusive] = 0
            diagnosis[person, rng.choice(len(disorders), p=weight / weight.sum())] = 1
    return diagnosis


def _even(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return evenly spaced numbers in (0, 1) in random order."""
    return (rng.permutation(size) + 0.5) / size


def _latents(rng: np.random.Generator, truth: xr.Dataset, people: xr.Dataset) -> None:
    """Add x = M c + burden + N z + e and eta = A c + burden + (B + sum c B_k) x + G z + site + zeta."""
    c, z = people[n.DIAGNOSIS].to_numpy().astype(float), people[Z].to_numpy()
    extra = further_diagnoses(people[n.DIAGNOSIS])[:, None]
    value = {name: truth[name].to_numpy() for name in truth.data_vars}
    error = rng.standard_normal((len(c), value["Omega_x"].shape[0])) @ np.linalg.cholesky(value["Omega_x"]).T
    x = c @ value["M"] + extra * value["factor_burden"] + z @ value["N"].T + error * value["sigma_x"]
    zeta = rng.standard_normal((len(c), value["Omega"].shape[0])) @ np.linalg.cholesky(value["Omega"]).T
    slope = value["B"] + np.einsum("ik,kfp->ifp", c, value["B_k"])
    site = truth["function_site"].sel({n.SITE: people[n.SITE_OF].to_numpy()}).to_numpy()
    eta = c @ value["A"] + extra * value["level_burden"] + np.einsum("ifp,ip->if", slope, x)
    eta += z @ value["G"].T + site + zeta
    people["x"] = ((n.PARTICIPANT, n.FACTOR), x, {"units": "sd of a factor"})
    people["zeta"] = ((n.PARTICIPANT, n.FUNCTION), zeta, {"units": "residual sd of a function"})
    people["eta"] = ((n.PARTICIPANT, n.FUNCTION), eta, {"units": "residual sd of a function"})


def _severity(
    rng: np.random.Generator, truth: xr.Dataset, people: xr.Dataset, scale: dict[str, float]
) -> None:
    """Add severity in sd (``severity_latent``) and as the mean of items that is written."""
    linear = (
        people[n.DIAGNOSIS] @ truth["d"]
        + people["x"] @ truth["q"]
        + people["eta"] @ truth["w"]
        + people[Z] @ truth["outcome_covariate"]
    ).to_numpy()
    linear = linear + further_diagnoses(people[n.DIAGNOSIS]) * truth["d_burden"].item()
    linear += truth["outcome_site"].sel({n.SITE: people[n.SITE_OF].to_numpy()}).to_numpy()
    latent = linear + truth["sigma_outcome"].item() * rng.standard_normal(len(linear))
    mean = np.clip(scale["mean"] + scale["sd"] * latent, 0, scale["maximum"])
    severity = np.round(np.round(mean * scale["items"]) / scale["items"], 3)
    people["severity_latent"] = (n.PARTICIPANT, latent, {"units": "sd of severity"})
    people["severity"] = (n.PARTICIPANT, severity, {"units": "mean of items"})
