"""How far the integral over the functions is from a finer one, over the posterior.

The sampler uses few nodes, which are enough for loadings up to about 4 logits and residual factors of items
up to about 3. Beyond, its log-likelihood is off by nats, and draws are from another posterior. `sample` then
takes finer nodes, and `check` judges what was run in the end. An error that is the same at
all draws changes nothing; one whose sd over draws is s moves no mean by more than about s posterior
sd (the covariance of two things is at most the product of their sds). Where functions are sampled nothing
is integrated until people are scored; then the nodes of scores are judged.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.predicted import is_curved
from nssi_bayes.build import Built
from nssi_bayes.fit.density import likelihood_of, unconstrained

__all__ = ["FEW", "LARGEST_ERROR", "LOOKED_AT", "NEARLY", "errors"]

LARGEST_ERROR: Final = 0.1
"""Nats; means then move by a tenth of a posterior sd at most."""
NEARLY: Final = 0.75
"""Errors at the typical point, of what is allowed: over draws, whose loadings go farther, they are larger."""
LOOKED_AT: Final = 50
"""Draws at which errors are taken."""
_NEIGHBOUR: Final = {"order": 7, "curve_nodes": 15, "testlet_nodes": 61}
"""For one or two functions, whose scores have the sampler's own nodes of these: the rule beside it."""
_FINEST: Final = {"order": 8, "curve_nodes": 25, "testlet_nodes": 61}
"""For a model that was sampled with the nodes of its scores."""
FEW: Final = 2
"""Functions up to which the sampler's nodes of these are the finest there are."""

type Array = np.ndarray[Any, Any]


def errors(theta: dict[str, Array], built: Built) -> Array | None:
    """Return the log-likelihood that is used less a finer one, of all people together.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter; a correlation matrix as its Cholesky factor.
    built : Built
        The model. Used is that of the sampler; where functions are sampled, that of scores.

    Returns
    -------
    numpy.ndarray or None
        Nats [draw], of `LOOKED_AT` draws evenly over the chains; None where nothing is ordinal, or
        functions are sampled beside an outcome that is not Gaussian: there is no such integral.
    """
    if "lambda" not in theta or (built.explicit and is_curved(built.design, theta)):
        return None
    even = np.unique(np.linspace(0, len(theta["lambda"]) - 1, LOOKED_AT).round().astype(int))
    few = {name: draws[even] for name, draws in theta.items()}
    functions = len(built.design.plain_of)
    scored = marginal.grid_settings(functions, fine=True)

    def summed(grid: dict[str, Any]) -> Array:
        found = marginal.evaluate(few, built.design, include=joint.BLOCKS, grid=grid, moments=False)
        return np.asarray(found.log_integral.sum(axis=1))

    finest = _NEIGHBOUR if functions <= FEW else _FINEST
    if built.explicit:
        return summed(scored) - summed(finest)
    sampled = likelihood_of(built, np.arange(len(built.design.diagnosis)))
    of_sampler = np.array([sampled(x)[0] for x in unconstrained(built, few)])
    return of_sampler - summed(finest if built.fine or functions <= FEW else scored)
