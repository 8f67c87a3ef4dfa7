"""The log-density of a model as PyMC states it, compiled to JAX: the oracle of `density`.

It is also what the explicit route is sampled with, where the functions are parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.model.transform.optimization import freeze_dims_and_data
from pytensor.graph import clone_replace

from nssi_bayes.build import Built

__all__ = ["Reference"]

type Array = np.ndarray[Any, Any]


class Reference:
    """A model as functions of one unconstrained vector.

    Parameters
    ----------
    built : Built
        The model.

    Attributes
    ----------
    start : numpy.ndarray
        PyMC's initial point.
    """

    def __init__(self, built: Built) -> None:
        self.model = freeze_dims_and_data(built.model)
        self.names = [p.name for p in built.parameters]
        self.roots = [f"{p.name}_root" if p.is_correlation else p.name for p in built.parameters]
        point = self.model.initial_point()
        # in the order of their declaration, which freezing does not keep
        values = [self.model.rvs_to_values[self.model[rv.name]] for rv in built.model.free_RVs]
        self.start = np.concatenate([np.ravel(point[v.name]) for v in values]).astype(float)
        self._joined = pt.vector("joined", shape=self.start.shape, dtype="float64")
        self._pieces, first = {}, 0
        for value in values:
            shape = point[value.name].shape
            last = first + int(np.prod(shape))
            self._pieces[value] = self._joined[first:last].reshape(shape).astype(value.dtype)
            first = last

    def value_and_gradient(self) -> Callable[[Array], tuple[float, Array]]:
        """Compile vector to log-density and gradient."""
        logp = self.compiled([self.model.logp()], names=[])
        both = jax.jit(jax.value_and_grad(lambda x: logp(x)[0]))

        def value_and_gradient(x: Array) -> tuple[float, Array]:
            value, gradient = both(x)
            return float(value), np.asarray(gradient)

        return value_and_gradient

    def parameters(self, *, roots: bool = False) -> Callable[[Any], dict[str, Any]]:
        """Compile vector to parameters by name; correlations, or with `roots` their Cholesky factors."""
        expand = self.compiled([], names=self.roots if roots else self.names)
        return lambda x: dict(zip(self.names, expand(x), strict=True))

    def compiled(self, outputs: list[Any], *, names: list[str]) -> Callable[[Any], Any]:
        """Compile `outputs` and the named variables of the model to a JAX function of the vector."""
        named = self.model.replace_rvs_by_values([self.model[name] for name in names])
        with self.model:
            graph = clone_replace([*outputs, *named], self._pieces)
            return pm.compile([self._joined], graph, mode="JAX").vm.jit_fn
