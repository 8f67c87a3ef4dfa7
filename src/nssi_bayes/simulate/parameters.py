"""The parameters behind a synthetic cohort: published sizes, drawn directions."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final, Literal

import numpy as np
import xarray as xr
import yaml
from pydantic import Field, TypeAdapter

from nssi_bayes import names as n
from nssi_bayes.atlases import Atlas
from nssi_bayes.spec import Strict

__all__ = ["CONFOUNDS", "COVARIATES", "Constant", "draw_parameters", "effect", "homotopic_pairs",
           "networks_of", "put", "read_constants", "sized"]  # fmt: skip

COVARIATES: Final = ("age", "sex")
CONFOUNDS: Final = ("motion", *COVARIATES)
_SMALLEST_NETWORK: Final = 3  # regions; a smaller network has no residual factor of its own


class Constant(Strict):
    """One constant of the synthetic cohort.

    Parameters
    ----------
    value : float, list or dict
        Its value.
    unit : str
        Its unit.
    source : str
        Where it comes from, or ``assumption``.
    """

    value: float | list[float] | dict[str, Any]
    unit: str = Field(min_length=1)
    source: str = Field(min_length=1)


def read_constants() -> dict[str, Constant]:
    """Return all constants of ``published.yaml`` by name."""
    text = files("nssi_bayes.simulate").joinpath("published.yaml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Constant]).validate_python(yaml.safe_load(text))


def sized(
    rng: np.random.Generator, shape: tuple[int, ...], *, size: float, zero_sum: Literal[0] | None = None
) -> np.ndarray:
    """Draw effects of random direction whose root mean square is exactly `size`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where directions come from.
    shape : tuple of int
        Shape of the result.
    size : float
        Root mean square of all values.
    zero_sum : {0}, optional
        Axis along which the values sum to zero.

    Returns
    -------
    numpy.ndarray
        The effects.
    """
    draw = rng.standard_normal(shape)
    if zero_sum is not None:
        draw -= draw.mean(axis=zero_sum, keepdims=True)
    return size * draw / np.sqrt((draw**2).mean())


def networks_of(atlas: Atlas) -> tuple[list[str], np.ndarray]:
    """Return the networks in order of appearance and the network of each region (`roi`,)."""
    of = [region.network for region in atlas.regions]
    networks = list(dict.fromkeys(of))
    return networks, np.array([networks.index(network) for network in of])


def homotopic_pairs(atlas: Atlas) -> list[tuple[int, int]]:
    """Return the positions of regions that mirror each other."""
    at = {label: r for r, label in enumerate(atlas.labels)}
    left = [label for label in at if label.endswith("_L") and f"{label[:-2]}_R" in at]
    return [(at[label], at[f"{label[:-2]}_R"]) for label in left]


def draw_parameters(rng: np.random.Generator, published: dict[str, Any], *, atlas: Atlas) -> xr.Dataset:
    """Draw every parameter of the structural, neural and outcome blocks.

    Names are those of the joint model: ``A`` levels, ``B`` slopes, ``B_k`` their deviations by
    disorder, ``G`` covariates, ``M`` and ``N`` the same for factors, ``m``, ``D``, ``L`` and
    ``L_k`` for regions, ``d``, ``q`` and ``w`` for severity, ``theta`` and ``phi`` for severity after
    treatment; ``burden`` is per further diagnosis.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where directions come from.
    published : dict
        Constants by name.
    atlas : Atlas
        The regions.

    Returns
    -------
    xarray.Dataset
        Parameters by name with labelled dims and units.
    """
    functions = _functions(published)
    coords = {
        n.DISORDER: list(published["disorder"]), n.FUNCTION: functions, n.FUNCTION_OTHER: functions,
        n.FACTOR: list(published["slope"]), n.FACTOR_OTHER: list(published["slope"]),
        n.COVARIATE: list(COVARIATES), n.CONFOUND: list(CONFOUNDS), n.SITE: list(published["site"]),
        n.NETWORK: networks_of(atlas)[0], n.TREATMENT: ["therapy"],
    }  # fmt: skip
    truth = xr.Dataset(coords=coords).assign_coords(atlas.coords())
    _structure(rng, truth, published)
    _neural(rng, truth, published, network=networks_of(atlas)[1])
    _outcome(rng, truth, published)
    return truth


def _functions(published: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(scale["function"] for scale in published["isas_scales"].values()))


def put(truth: xr.Dataset, name: str, dims: tuple[str, ...], values: Any, unit: str) -> None:
    """Put one parameter with its unit."""
    truth[name] = (dims, np.asarray(values, dtype=float), {"units": unit})


def effect(
    rng: np.random.Generator, truth: xr.Dataset, name: str, dims: tuple[str, ...], *, size: float,
    unit: str,
) -> None:  # fmt: skip
    """Put effects of a given size; those by disorder or site sum to zero over the first dim."""
    shape = tuple(truth.sizes[dim] for dim in dims)
    zero_sum: Literal[0] | None = 0 if dims[0] in (n.DISORDER, n.SITE) else None
    put(truth, name, dims, sized(rng, shape, size=size, zero_sum=zero_sum), unit)


def _structure(rng: np.random.Generator, truth: xr.Dataset, published: dict[str, Any]) -> None:
    f, p, k, z = n.FUNCTION, n.FACTOR, n.DISORDER, n.COVARIATE
    omega = np.eye(truth.sizes[f])
    at = {name: i for i, name in enumerate(truth[f].to_numpy())}
    for one, others in published["function_correlation"].items():
        for other, value in others.items():
            omega[at[one], at[other]] = omega[at[other], at[one]] = value
    slope = np.array([published["slope"][factor] for factor in truth[p].to_numpy()])
    both = np.full((len(slope), len(slope)), published["factor_correlation"])
    np.fill_diagonal(both, 1.0)
    sd, per = "residual sd of a function", "residual sd of a function per"
    put(truth, "Omega", (f, n.FUNCTION_OTHER), omega, "correlation")
    step = np.linspace(-0.5, 0.5, truth.sizes[k])
    levels = np.column_stack([published["level_span"] * rng.permutation(step) for _ in at])
    put(truth, "A", (k, f), levels, sd)
    burden = np.full(len(at), published["level_burden"])
    put(truth, "level_burden", (f,), burden, f"{per} further diagnosis")
    put(truth, "B", (f, p), np.tile(slope, (len(at), 1)), f"{per} sd of a factor")
    effect(rng, truth, "B_k", (k, f, p), size=published["slope_sd"], unit=f"{per} sd of a factor")
    effect(rng, truth, "G", (f, z), size=published["function_covariate_sd"], unit=f"{per} sd of a covariate")
    effect(rng, truth, "function_site", (n.SITE, f), size=published["function_site_sd"], unit=sd)
    effect(rng, truth, "M", (k, p), size=published["factor_level_sd"], unit="sd of a factor")
    put(truth, "factor_burden", (p,), np.full(len(slope), published["factor_burden"]), "sd of a factor")
    effect(rng, truth, "N", (p, z), size=published["factor_covariate_sd"], unit="sd of a factor")
    put(truth, "Omega_x", (p, n.FACTOR_OTHER), both, "correlation")
    put(truth, "sigma_x", (p,), np.full(len(slope), published["factor_residual_sd"]), "sd of a factor")


def _neural(
    rng: np.random.Generator, truth: xr.Dataset, published: dict[str, Any], *, network: np.ndarray
) -> None:
    r, f, k = n.ROI, n.FUNCTION, n.DISORDER
    sd = "sd of a region"
    per = f"{sd} per residual sd of a function"
    effect(rng, truth, "m", (k, r), size=published["roi_level_sd"], unit=sd)
    effect(rng, truth, "m_burden", (r,), size=published["roi_burden_sd"], unit=f"{sd} per further diagnosis")
    effect(rng, truth, "D", (r, n.FACTOR), size=published["roi_factor_sd"], unit=f"{sd} per sd of a factor")
    effect(rng, truth, "L_network", (n.NETWORK, f), size=published["network_loading_sd"], unit=per)
    own = sized(rng, (truth.sizes[r], truth.sizes[f]), size=published["roi_loading_sd"])
    put(truth, "L", (r, f), truth["L_network"].to_numpy()[network] + own, per)
    effect(rng, truth, "L_k", (k, r, f), size=published["disorder_loading_sd"], unit=per)
    effect(rng, truth, "roi_confound", (r, n.CONFOUND), size=published["confound_sd"], unit=f"{sd} per sd")
    effect(rng, truth, "roi_site", (n.SITE, r), size=published["roi_site_sd"], unit=sd)
    for name in ("person_residual", "homotopic_residual", "roi_residual", "scan_error"):
        put(truth, name, (), published[name], sd)
    regions = np.bincount(network)
    factor = np.where(regions >= _SMALLEST_NETWORK, published["network_residual"], 0.0)
    put(truth, "network_residual", (n.NETWORK,), factor, sd)
    level = published["signal"]["mean"] * (1 + 0.5 * rng.standard_normal(truth.sizes[r]))
    put(truth, "roi_mean", (r,), level, "per cent signal change")
    put(truth, "roi_scale", (), published["signal"]["sd"], "per cent signal change per sd of a region")


def _outcome(rng: np.random.Generator, truth: xr.Dataset, published: dict[str, Any]) -> None:
    sd = "sd of severity"
    factor = [published["outcome_factor"][name] for name in truth[n.FACTOR].to_numpy()]
    function = np.full(truth.sizes[n.FUNCTION], published["outcome_function"])
    effect(rng, truth, "d", (n.DISORDER,), size=published["outcome_level_sd"], unit=sd)
    put(truth, "d_burden", (), published["outcome_burden"], f"{sd} per further diagnosis")
    put(truth, "q", (n.FACTOR,), factor, f"{sd} per sd of a factor")
    put(truth, "w", (n.FUNCTION,), function, f"{sd} per residual sd of a function")
    covariate = published["outcome_covariate_sd"]
    effect(rng, truth, "outcome_covariate", (n.COVARIATE,), size=covariate, unit=f"{sd} per sd")
    effect(rng, truth, "outcome_site", (n.SITE,), size=published["outcome_site_sd"], unit=sd)
    put(truth, "sigma_outcome", (), published["outcome_residual"], sd)
    by_function = [[published["therapy_by_function"][name] for name in truth[n.FUNCTION].to_numpy()]]
    put(truth, "theta", (n.TREATMENT,), [published["therapy_effect"]], sd)
    put(truth, "phi", (n.TREATMENT, n.FUNCTION), by_function, f"{sd} per residual sd of a function")
    put(truth, "severity_kept", (), published["severity_kept"], f"{sd} after per sd before")
    put(truth, "sigma_after", (), published["severity_after_residual"], sd)
