"""From a model to draws of its posterior.

`fit` reads the fingerprint, the cohort and the sampler's settings, and writes one ArviZ tree. A
model with the fingerprint of another of the roster is copied, not fitted again.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, identity
from nssi_bayes.errors import ArtefactError
from nssi_bayes.spec import ConventionalSpec, Params, RepeatedSpec, Sampler, read_model
from nssi_bayes.store import Layout, digest, read_dataset, read_json, read_tree, seed_sequence, write_tree

__all__ = ["draw_prior", "fit", "run"]

_LOG: Final = logging.getLogger(__name__)
_PRIOR_DRAWS: Final = 2000


def run(layout: Layout, params: Params, *, model: str) -> None:
    """Fit one model of the roster and write its posterior.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        Seed, sampler and roster.
    model : str
        ``question/name``.

    Raises
    ------
    ArtefactError
        If the fingerprint or the cohort is missing.
    """
    fingerprint = read_json(layout.fingerprint(model))
    sampler = params.sampler.model_copy(update=fingerprint["sampler"]).resolved()
    mark = str(fingerprint["fingerprint"])
    key = digest(
        {
            **identity(fingerprint),
            "seed": params.seed,
            "sampler": sampler.model_dump(),
        }
    )
    twin = _twin(layout, params, model, key)
    if twin is not None:
        _LOG.info("%s has the fingerprint of %s: copied", model, twin)
        write_tree(layout.posterior(model), read_tree(layout.posterior(twin)))
        return
    spec = read_model(layout, model)
    cohort = read_dataset(layout.cohort(params.study))
    seeds = seed_sequence(params.seed, mark)
    if isinstance(spec, ConventionalSpec):
        from nssi_bayes.fit.conventional import fit_conventional

        tree = fit_conventional(spec, cohort, sampler, seeds)
    elif isinstance(spec, RepeatedSpec):
        from nssi_bayes.fit.repeated import fit_repeated

        tree = fit_repeated(spec, cohort, sampler, seeds)
    else:
        tree = fit(build(spec, cohort, where=str(layout.spec(model))), sampler, seeds)
    tree.attrs.update(
        fingerprint=mark,
        fit=key,
        study=params.study,
        synthetic=int(cohort.attrs["synthetic"]),
        title=str(cohort.attrs["title"]),
    )
    write_tree(layout.posterior(model), tree)


def _twin(layout: Layout, params: Params, model: str, key: str) -> str | None:
    """Find another model of the roster whose posterior is the one that is asked for."""
    for other in params.roster:
        if other == model or not layout.posterior(other).exists():
            continue
        try:
            if read_dataset(layout.posterior(other)).attrs.get("fit") == key:  # of the tree, its root alone
                return other
        except ArtefactError:
            continue
    return None


def fit(built: Built, sampler: Sampler, seeds: np.random.SeedSequence) -> xr.DataTree:
    """Draw from posterior and prior of a joint model.

    Parameters
    ----------
    built : Built
        From `build`.
    sampler : Sampler
        Chains and draws.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior``, ``sample_stats`` and ``prior``; every dim has labels.
    """
    from nssi_bayes.fit.sample import sample

    for_sampler, for_prior = seeds.spawn(2)
    drawn = sample(built, sampler, for_sampler)
    prior = draw_prior(built, for_prior)
    tree = xr.DataTree.from_dict(
        {
            "posterior": label(drawn.values, built.parameters, built.design),
            "sample_stats": drawn.statistics,
            "prior": label(prior, built.parameters, built.design),
        }
    )
    tree.attrs.update(
        kind="joint",
        target_accept=drawn.target_accept,
        rerun=int(drawn.rerun),
        tune=drawn.tune,
        fine=int(drawn.fine),
        parts=drawn.parts,
    )
    return tree


def draw_prior(built: Built, seeds: np.random.SeedSequence) -> dict[str, np.ndarray[Any, Any]]:
    """Return draws from the prior, in one chain [1, `draw`, ...], by parameter; correlations as such."""
    drawn = draw(built.parameters, built.design.coords, np.random.default_rng(seeds), _PRIOR_DRAWS)
    correlated = {p.name for p in built.parameters if p.is_correlation}
    return {name: (v @ np.swapaxes(v, 1, 2) if name in correlated else v)[None] for name, v in drawn.items()}
