"""What residuals of functions and factors say of a person, and slopes taken back (NumPy)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks import groups
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.factors import LEAST_SD
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.integrate.gaussian import LOG_2PI
from nssi_bayes.integrate.rows import inverse, inverse_back, weigh, weigh_back

__all__ = ["Residuals", "Weighed"]

type Array = np.ndarray[Any, Any]

_EVERYBODY = slice(None)


class Weighed(NamedTuple):
    """Residuals of latents whose covariance has one root: whose, K, H and K H (`integrate.rows`)."""

    who: Any
    root: Array
    precision: Array
    rows: Array
    weighted: Array


class Residuals:
    """Residuals of functions (``structure``) and of factors (``factors``), and their covariances.

    Parameters
    ----------
    design : Design
        Who is in which group, whose functions have a covariance of their own.
    slots : Slots
        Where the parameters stand.
    """

    def __init__(self, design: Design, slots: Slots) -> None:
        self._slots, self._factors = slots, len(design.coords[n.FACTOR])
        self._scored = len(design.scored_factors)
        self._groups = groups.Roots(design, slots)

    def weigh(self, name: str, theta: Array, rows: Array, matrix: Array, constant: Array) -> list[Weighed]:
        """Add what residuals say to M and constant, root by root.

        Parameters
        ----------
        name : {"structure", "factors"}
            Of functions, or of factors.
        theta : numpy.ndarray
            Parameters [slot].
        rows : numpy.ndarray
            Residuals over (factors, functions, -1) [latent, element, `participant`].
        matrix, constant : numpy.ndarray
            M [element, element, `participant`] and [`participant`], changed in place.
        """
        found = []
        for who, root in self._roots(name, theta):
            precision, log_det = inverse(root)
            constant[who] += 0.5 * (log_det - len(root) * LOG_2PI)
            if isinstance(who, slice):  # everybody
                found.append(Weighed(who, root, precision, rows, weigh(rows, precision, matrix)))
                continue
            own, part = (np.ascontiguousarray(v[:, :, who]) for v in (rows, matrix))
            found.append(Weighed(who, root, precision, own, weigh(own, precision, part)))
            matrix[:, :, who] = part
        return found

    def weigh_back(
        self, name: str, theta: Array, weighed: list[Weighed], by_matrix: Array, found: Array
    ) -> Array:
        """Return the derivative by the rows, and add that by the parameters [slot] to `found`."""
        by_rows = np.empty((len(weighed[0].rows), *by_matrix.shape[1:]))
        for g, (who, root, precision, rows, weighted) in enumerate(weighed):
            own = np.ascontiguousarray(by_matrix[:, :, who])
            by_rows[:, :, who], by_precision = weigh_back(own, rows, weighted)
            by_root = inverse_back(root, precision, by_precision, rows.shape[2])
            self._root_back(name, theta, by_root, found, group=g)
        return by_rows

    def _of(self, name: str, theta: Array) -> Array:
        return theta[self._slots.where[name]].reshape(self._slots.shapes[name])

    def _correlation(self, theta: Array) -> Array:
        """Return the root of the factors' correlation matrix, which of a single one has no parameter."""
        return self._of("Omega_x", theta) if "Omega_x" in self._slots.where else np.eye(self._factors)

    def _sd(self, theta: Array) -> Array:
        """Return residual sds of the factors, which are 1 where items measure them."""
        found = np.ones(self._factors)
        if self._scored:
            found[: self._scored] = np.maximum(self._of("sigma_x", theta), LEAST_SD)
        return found

    def _roots(self, name: str, theta: Array) -> list[tuple[Any, Array]]:
        """Return whose covariance of functions or factors has which lower triangular root."""
        if name == "structure":
            return self._groups(theta)
        return [(_EVERYBODY, self._sd(theta)[:, None] * self._correlation(theta))]

    def _root_back(self, name: str, theta: Array, by_root: Array, found: Array, *, group: int) -> None:
        if name == "structure":
            self._groups.back(theta, group, by_root, found)
            return
        if self._scored:
            by_sd = (by_root * self._correlation(theta)).sum(axis=1)[: self._scored]
            found[self._slots.where["sigma_x"]] += by_sd * (self._of("sigma_x", theta) > LEAST_SD)
        if "Omega_x" in self._slots.where:
            by_correlation = by_root * self._sd(theta)[:, None]
            found[self._slots.where["Omega_x"]] += by_correlation.ravel()
