"""The scores of one model as `check` wrote them, and what is wrong with a file of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.errors import ArtefactError
from nssi_bayes.marks import mark_of, of_another
from nssi_bayes.store import Layout, read_dataset

__all__ = ["CLEAR", "FAILED_SHARE", "MIXED", "SAME", "Scores", "k_hat_limit", "read_scores"]

SAME: Final = 4.0
"""elpd: below it models predict alike (Sivula, Magnusson & Vehtari 2020)."""
CLEAR: Final = 2.0
"""Standard errors: what a difference must exceed to be read as one."""
FAILED_SHARE: Final = 0.05
"""Share of people over the k-hat limit past which nothing is trusted."""
MIXED: Final = 1.05
"""Largest R-hat of a short fit without some people whose scores count as found."""
_VARIABLES: Final = {n.ELPD: (n.PARTICIPANT, n.BLOCK), n.P_LOO: (n.BLOCK,), n.K_HAT: (n.PARTICIPANT,)}
_ATTRS: Final = ("observed", "conditioned", "draws", "certified")


@dataclass(frozen=True)
class Scores:
    """The scores of one model, with what must be equal between models.

    Parameters
    ----------
    model : str
        Its name.
    data : xarray.Dataset
        As ``loo.nc``.
    observed, conditioned : dict of str to str
        By block: hash of the values scored, and what they are conditional on.
    limit : float
        Of k-hat.
    certified : bool
        Whether its posterior is.
    method : str
        How people were left out.
    """

    model: str
    data: xr.Dataset
    observed: dict[str, str]
    conditioned: dict[str, str]
    limit: float
    certified: bool
    method: str = "PSIS"

    @property
    def blocks(self) -> list[str]:
        """Names of its scores."""
        return [str(b) for b in self.data[n.BLOCK].to_numpy()]

    @property
    def k_hat(self) -> np.ndarray:
        """Of each person."""
        return self.data[n.K_HAT].to_numpy()

    @property
    def unreliable(self) -> bool:
        """Whether so many people are over the limit that nothing compared with it is trusted."""
        return self.failed > FAILED_SHARE * len(self.k_hat)

    def over(self, people: np.ndarray) -> int:
        """Return how many of some people [`participant`] are over the limit; what is no number is over it."""
        return int((people & ~(self.k_hat <= self.limit)).sum())

    @property
    def failed(self) -> int:
        """People over the limit."""
        return self.over(np.ones(len(self.k_hat), dtype=bool))


def k_hat_limit(draws: int) -> float:
    """Return the Pareto k-hat over which a person's score is not to be believed.

    Parameters
    ----------
    draws : int
        Posterior draws of all chains together.

    Returns
    -------
    float
        ``min(1 - 1 / log10(draws), 0.7)``.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72), arXiv:1507.02646.
    """
    return float(min(1 - 1 / np.log10(draws), 0.7))


def read_scores(layout: Layout, model: str) -> Scores:
    """Read one model's scores.

    Raises
    ------
    ArtefactError
        If the file is missing or broken, or of another state of the model than the one that was built.
    """
    path = layout.loo(model)
    data = read_dataset(path)
    problems = [f"attribute {a!r} is missing" for a in _ATTRS if a not in data.attrs]
    problems += [
        f"variable {v!r} is missing or has other dims than {dims}"
        for v, dims in _VARIABLES.items()
        if v not in data or data[v].dims != dims
    ]
    if not problems:
        if data.indexes[n.PARTICIPANT].has_duplicates:
            problems.append("a participant stands twice")
        if of_another(data.attrs, mark_of(layout, model)):
            problems.append("scores of another state of the model (other priors, data or structure)")
        bad = ~np.isfinite(data[n.ELPD].to_numpy()).all(axis=1)
        if bad.any():
            problems.append(f"{int(bad.sum())} people have a score that is not finite")
    if problems:
        raise ArtefactError(problems, where=str(path), cure=f"run `dvc repro check@{model}` again")
    return Scores(
        model=model.split("/")[1],
        data=data,
        observed=json.loads(data.attrs["observed"]),
        conditioned=json.loads(data.attrs["conditioned"]),
        limit=k_hat_limit(int(data.attrs["draws"])),
        certified=bool(int(data.attrs["certified"])),
    )
