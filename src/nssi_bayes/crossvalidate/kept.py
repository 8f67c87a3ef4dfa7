"""What is kept on this machine of a fit without some of the people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from nssi_bayes.compare.scores import MIXED
from nssi_bayes.errors import ArtefactError

__all__ = ["Kept"]

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Kept:
    """What is kept of a fit without some of the people.

    Parameters
    ----------
    index : int
        Which of the groups.
    elpd : dict of str to numpy.ndarray
        By name of a score [person left out], nats.
    of_group : numpy.ndarray
        Log-likelihood of all who were scored, together [`chain`, `draw`].
    by_person : numpy.ndarray, optional
        Of each of them [`chain`, `draw`, person].
    divergences : int
        Of all chains.
    max_rhat : float
        Of what the scores rest on.
    """

    index: int
    elpd: dict[str, Array]
    of_group: Array
    by_person: Array | None
    divergences: int
    max_rhat: float

    @property
    def failed(self) -> bool:
        """Whether its chains have not mixed, as far as can be told, or a score is no number."""
        return not (self.max_rhat <= MIXED and all(np.isfinite(v).all() for v in self.elpd.values()))

    def arrays(self) -> dict[str, Array]:
        """Return what is written."""
        found = {f"elpd {k}": v for k, v in self.elpd.items()} | {"of_group": self.of_group}
        found |= {"divergences": np.array(self.divergences), "max_rhat": np.array(self.max_rhat)}
        return found if self.by_person is None else found | {"by_person": self.by_person}

    @classmethod
    def read(cls, index: int, arrays: Mapping[str, Array]) -> Self:
        """Return what was written.

        Parameters
        ----------
        index : int
            Which of the groups.
        arrays : mapping
            From `arrays`.

        Raises
        ------
        ArtefactError
            If something is missing.
        """
        try:
            elpd = {k.removeprefix("elpd "): v for k, v in arrays.items() if k.startswith("elpd ")}
            health = int(arrays["divergences"]), float(arrays["max_rhat"])
            return cls(index, elpd, arrays["of_group"], arrays.get("by_person"), *health)
        except KeyError as error:
            raise ArtefactError(
                "a kept fit is not complete",
                where=".nssi_bayes/held_out",
                cure="delete that folder; its fits are made again",
            ) from error
