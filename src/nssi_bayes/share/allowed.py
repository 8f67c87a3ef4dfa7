"""The list of what may leave the lab."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from nssi_bayes import names as n
from nssi_bayes.spec import Strict, parse

__all__ = ["Allowed", "allowed"]


class Allowed(Strict):
    """Variables at the level of the population, and the dims that they may have.

    Parameters
    ----------
    dims, begins : tuple of str
        Dims, and how numbered ones begin.
    stay : tuple of str
        Variables that stay, and whose names give nothing away.
    zero_sum : tuple of str
        Variables that sum to zero over disorders.
    variables : dict of str to tuple of str
        Variable: its dims, in any order.
    conventional, conventional_begins : tuple of str
        Scalars of a formula, and how their names begin.
    numbered : dict of str to tuple of str
        How a numbered variable begins: how its dims begin.
    """

    dims: tuple[str, ...]
    stay: tuple[str, ...]
    begins: tuple[str, ...]
    zero_sum: tuple[str, ...]
    variables: dict[str, tuple[str, ...]]
    conventional: tuple[str, ...]
    conventional_begins: tuple[str, ...]
    numbered: dict[str, tuple[str, ...]]

    def knows(self, dim: str) -> bool:
        """Return whether a dim is none of people."""
        return dim in self.dims or (dim.startswith(self.begins) and dim.split("_")[-1].isdigit())

    def why_not(self, name: str, dims: tuple[str, ...]) -> str:
        """Return why a variable stays; empty if it may go.

        Parameters
        ----------
        name : str
            The variable.
        dims : tuple of str
            Its dims, without `chain` and `draw`.

        Returns
        -------
        str
            A reason, without a label or value.
        """
        if name in self.stay:
            return "effects of sites: their names are those of hospitals"
        strange = [dim for dim in dims if not self.knows(dim)]
        if strange:
            return f"has a dim that is not at the level of the population ({len(strange)})"
        dims = tuple(n.FACTOR if dim == n.FACTOR_SCORED else dim for dim in dims)
        wanted: tuple[str, ...] | None = self.variables.get(name)
        for begins, of in self.numbered.items():
            suffix = name.removeprefix(begins)
            if name.startswith(begins) and suffix.isdigit():
                wanted = tuple(f"{dim}{suffix}" for dim in of)
        if wanted is not None and sorted(wanted) == sorted(dims):
            return ""
        if not dims and (name in self.conventional or name.startswith(self.conventional_begins)):
            return ""
        return "has other dims than the list says" if wanted is not None else "is not on the list"


@cache
def allowed() -> Allowed:
    """Return the list."""
    text = files("nssi_bayes.share").joinpath("allowed.yaml").read_text(encoding="utf-8")
    return parse(Allowed, yaml.safe_load(text), where="share/allowed.yaml")
