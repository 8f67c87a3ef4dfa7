"""A first look at a model in seconds: a normal approximation, labelled and never certified.

It is written where no stage looks, has the dims and labels of a posterior, and is refused wherever a
posterior is read (`store.read_tree`). For planning; a conclusion needs `nssi-bayes fit` and `check`.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.labelled import label
from nssi_bayes.build import Built, build, fingerprint
from nssi_bayes.errors import SpecError
from nssi_bayes.fit import draw_prior
from nssi_bayes.fit.approximate import LARGEST_K_HAT, Approximation, approximate
from nssi_bayes.fit.density import compile_density
from nssi_bayes.sensitivity.conclusions import conclusions
from nssi_bayes.spec import JointSpec, Params, read_model
from nssi_bayes.store import Layout, read_dataset, seed_sequence, write_tree

__all__ = ["LABEL", "preview", "run"]

LABEL: Final = "PREVIEW - never certified"
_LOG: Final = logging.getLogger(__name__)
_CHAINS: Final = 4
_DRAWS: Final = 250
"""Of a preview; the chains of independent draws mean nothing and are there for the labels."""
_HEADLINES: Final = ("Omega", "B", "w_some", "w", "theta", "phi")


def run(layout: Layout, params: Params, *, model: str) -> None:
    """Approximate one model of the roster, write the draws and log what they say.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        Study, seed and interval.
    model : str
        ``question/name``.

    Raises
    ------
    SpecError
        If the model is a conventional one, which is quickly fitted.
    """
    spec, where = read_model(layout, model), str(layout.spec(model))
    if not isinstance(spec, JointSpec):
        cure = f"run `nssi-bayes fit {model}`, which takes seconds, too"
        raise SpecError("only a joint model has a preview", where=where, cure=cure)
    cohort = read_dataset(layout.cohort(params.study))
    built = build(spec, cohort, where=where)
    mark = fingerprint(built, spec)
    tree = preview(built, seed_sequence(params.seed, f"preview {mark}"))
    tree.attrs.update(
        preview_of=mark, study=params.study, synthetic=int(cohort.attrs["synthetic"]),
        title=f"{LABEL}: {cohort.attrs['title']}",
    )  # fmt: skip
    path = layout.preview(model)
    write_tree(path, tree)
    for line in [*_table(tree, params.interval), said(tree), f"draws: {path}"]:
        _LOG.info("%s: %s", LABEL, line)


def preview(built: Built, seeds: np.random.SeedSequence) -> xr.DataTree:
    """Approximate the posterior of a joint model.

    Parameters
    ----------
    built : Built
        From `build`.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    xarray.DataTree
        Groups and labels as of a posterior; ``sample_stats`` holds the log-weight of each draw. Where
        k-hat allows it draws are picked by weight, else they are the approximation's own. The root says
        ``certified = 0`` and ``preview = 1``, and has no fingerprint.
    """
    for_draws, for_prior = seeds.spawn(2)
    rng = np.random.default_rng(for_draws)
    found = approximate(compile_density(built), rng, _CHAINS * _DRAWS)
    chosen = _chosen(found, rng)
    values = {name: _in_chains(v[chosen]) for name, v in found.values.items()}
    weight = xr.Dataset(
        {"log_weight": ((n.CHAIN, n.DRAW), _in_chains(found.log_weight[chosen]))},
        coords={n.CHAIN: np.arange(_CHAINS), n.DRAW: np.arange(_DRAWS)},
    )
    tree = xr.DataTree.from_dict(
        {
            "posterior": label(values, built.parameters, built.design),
            "sample_stats": weight,
            "prior": label(draw_prior(built, for_prior), built.parameters, built.design),
        }
    )
    tree.attrs.update(kind="joint", certified=0, preview=1, k_hat=found.k_hat, weighted=int(found.weighted))
    return tree


def _chosen(found: Approximation, rng: np.random.Generator) -> Any:
    """Pick draws by weight, systematically; all of them once where weights are not used."""
    count = len(found.log_weight)
    if not found.weighted:
        return np.arange(count)
    ends = np.cumsum(np.exp(found.log_weight))
    picked = np.searchsorted(ends / ends[-1], (np.arange(count) + rng.random()) / count)
    return rng.permutation(picked)


def _in_chains(values: Any) -> Any:
    return values.reshape(_CHAINS, _DRAWS, *values.shape[1:])


def said(tree: xr.DataTree) -> str:
    """Say what k-hat means for these draws.

    Parameters
    ----------
    tree : xarray.DataTree
        From `preview`.

    Returns
    -------
    str
        One sentence.
    """
    k_hat = float(tree.attrs["k_hat"])
    if tree.attrs["weighted"]:
        return f"k-hat {k_hat:.2f}, at most {LARGEST_K_HAT}: corrected by importance weights"
    return (
        f"k-hat {k_hat:.2f}, over {LARGEST_K_HAT}: weights are not used, and what is printed is the "
        "uncorrected normal approximation, whose error is not known"
    )


def _table(tree: xr.DataTree, interval: float) -> list[str]:
    """Print correlations, slopes, what the outcome takes from functions, and the spread of levels."""
    posterior = tree["posterior"].to_dataset()
    shown = {k: v for k, v in conclusions(posterior).items() if k.split("[")[0] in _HEADLINES}
    if "A" in posterior:
        spread = posterior["A"].std(n.DISORDER)
        for function in spread[n.FUNCTION].to_numpy():
            shown[f"sd of levels over disorders[{function}]"] = spread.sel({n.FUNCTION: function}).to_numpy()
    tails = (1 - interval) / 2, (1 + interval) / 2
    width = max((len(name) for name in shown), default=0)
    rows = []
    for name, draws in shown.items():
        low, high = np.quantile(draws, tails)
        rows.append(f"{name:{width}}  {draws.mean():6.2f}  [{low:5.2f}, {high:5.2f}]")
    return [f"{'':{width}}    mean  {interval:.0%} interval", *rows]
