"""What is linear in the parameters, said once: for JAX, and for the compiled density as one sparse map.

Expected values and loadings of every measure are sums of parameters times columns of the design. A
block states the coefficients of its measures as arrays that are linear in the parameters, and the
columns that they multiply; the functions here take NumPy and JAX arrays alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Linear", "contrasts", "effects", "joined", "make_linear"]

type Array = np.ndarray[Any, Any]


class Linear(NamedTuple):
    """Coefficients of some measures, and the columns of some people that they multiply.

    Parameters
    ----------
    effect, column : array
        Expected value where factors and functions are 0: coefficients [measure, column] and
        columns [person, column].
    common : array
        Loadings on the factors [measure, `factor`].
    loading, contrast : array
        Loadings on the functions: coefficients [measure, `function`, contrast] and columns
        [person, contrast], the first of them 1.
    residual : array
        Loadings on residual factors of the person [measure, residual factor].
    """

    effect: Any
    column: Array
    common: Any
    loading: Any
    contrast: Array
    residual: Any

    @property
    def mean(self) -> Any:
        """Expected value where factors and functions are 0 [person, measure]."""
        return self.column @ self.effect.T

    @property
    def own(self) -> Any:
        """Loadings on the functions, [person, measure, `function`], or without person if all agree."""
        if self.contrast.shape[1] == 1:
            return self.loading[:, :, 0]
        return jnp.einsum("ik,rfk->irf", self.contrast, self.loading)

    @property
    def with_residual(self) -> Any:
        """Loadings on residual factors and, behind them, factors [measure, latent]."""
        return joined([self.residual, self.common], 1)


def joined(parts: Sequence[Any], axis: int) -> Any:
    """Concatenate arrays of NumPy or JAX."""
    return (jnp if any(isinstance(p, jax.Array) for p in parts) else np).concatenate(parts, axis=axis)


def effects(theta: Mapping[str, Any], columns: Mapping[str, Array], rows: int) -> tuple[Any, Array]:
    """Return coefficients [measure, column] and columns [person, column] of the parameters there are.

    Parameters
    ----------
    theta : mapping of str to array
        Parameters by name.
    columns : mapping of str to numpy.ndarray
        What each parameter multiplies [person] or [person, column].
    rows : int
        Number of measures.

    Returns
    -------
    tuple of array
        Both, in the order of `columns`.
    """
    names = [name for name in columns if name in theta]
    coefficient = joined([theta[name].reshape(rows, -1) for name in names], 1)
    return coefficient, np.concatenate([columns[name].reshape(len(columns[name]), -1) for name in names], 1)


def contrasts(
    common: Any, by_disorder: Any, diagnosis: Array, *, burden: tuple[Any, Array] = (None, np.zeros(0))
) -> tuple[Any, Array]:
    """Return loadings with their disorders' [..., contrast] and the columns of people.

    Parameters
    ----------
    common : array
        What holds for everyone [measure, latent].
    by_disorder : array or None
        What is added by disorder [measure, latent, `disorder`].
    diagnosis : numpy.ndarray
        c [person, `disorder`].
    burden : tuple of array
        What is added by each further diagnosis [measure, latent] or None, and how many there are [person].

    Returns
    -------
    tuple of array
        [measure, latent, contrast] and [person, contrast].
    """
    loading, column = [common[:, :, None]], [np.ones((len(diagnosis), 1))]
    if by_disorder is not None:
        loading.append(by_disorder)
        column.append(diagnosis)
    if burden[0] is not None:
        loading.append(burden[0][:, :, None])
        column.append(burden[1][:, None])
    return joined(loading, 2), np.concatenate(column, axis=1)


def make_linear(
    effect: tuple[Any, Array], loading: tuple[Any, Array], *, common: Any = None, residual: Any = None
) -> Linear:
    """Put coefficients together; what is not given is no column."""
    none = np.zeros((effect[0].shape[0], 0))
    return Linear(
        *effect, none if common is None else common, *loading, none if residual is None else residual
    )
