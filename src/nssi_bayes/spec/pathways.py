"""Pathways of a joint model's spec: which indirect associations with the outcome are asked for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from nssi_bayes import names as n
from nssi_bayes.errors import did_you_mean

if TYPE_CHECKING:
    from nssi_bayes.spec.models import JointSpec

__all__ = ["ACTIVATION", "ARROW", "Pathway", "backwards", "networks_of", "not_there"]

type Pathway = Annotated[tuple[str, ...], Field(min_length=3)]
"""Where it begins, what it goes through, and the outcome."""

ACTIVATION: Final = "_activation"
"""What names of latent activation end with, behind the network's: ``limbic_activation``."""
ARROW: Final = " -> "
"""Between the names of a pathway."""


def backwards(spec: JointSpec) -> bool:
    """Return whether pathways lead from activation to functions; the data do not choose.

    Parameters
    ----------
    spec : JointSpec
        The model, whose pathways agree on it.

    Returns
    -------
    bool
        False where no pathway has both.
    """
    functions = _functions(spec)
    return any(_is_activation(a, spec) and b in functions for a, b in _steps(spec))


def networks_of(spec: JointSpec) -> set[str]:
    """Return the latent activations that pathways of a spec go through."""
    return {name for path in spec.pathways for name in path[1:-1] if _is_activation(name, spec)}


def _is_activation(name: str, spec: JointSpec) -> bool:
    """Return whether a name is of latent activation, and of no factor or function that is called so."""
    return name.endswith(ACTIVATION) and name not in {*spec.factors, *_functions(spec)}


def _steps(spec: JointSpec) -> set[tuple[str, str]]:
    """Return the steps of all pathways before the outcome."""
    return {step for path in spec.pathways for step in pairwise(path[:-1])}


def not_there(spec: JointSpec) -> list[str]:
    """Say which pathways the model does not have, and why.

    Parameters
    ----------
    spec : JointSpec
        The model.

    Returns
    -------
    list of str
        Problems. Direct paths are always there: whatever a pathway may begin with or go through, the outcome
        is regressed on, too.
    """
    if not spec.pathways:
        return []
    if spec.outcome is None:
        return ["pathways: the model has no `outcome` that they could lead to; name one, or leave them out"]
    if spec.groups is not None:
        return ["pathways: not beside groups; leave one of them out"]
    found = [problem for path in spec.pathways for problem in _broken(path, spec)]
    found += [
        f"pathways: {_said(path)} stands there {count} times; once is enough"
        for path, count in Counter(spec.pathways).items()
        if count > 1
    ]
    forwards = any(a in _functions(spec) and _is_activation(b, spec) for a, b in _steps(spec))
    if forwards and backwards(spec):
        found.append(
            "pathways: some lead from functions to activation and some back; the data cannot tell these "
            "apart: choose one direction by what your study assumes, and write it in all of them"
        )
    return found


def _broken(path: Pathway, spec: JointSpec) -> list[str]:
    """Say what is wrong with one pathway."""
    first, *through, last = path
    functions = _functions(spec)
    found = []
    if last != spec.outcome:
        found.append(f"ends with {last!r}, and the model's outcome is {spec.outcome!r}")
    if first not in {*spec.factors, *functions}:
        known = [*spec.factors, *functions]
        found.append(f"begins with {first!r}, which is no factor or function. {did_you_mean(first, known)}")
    for name in through:
        if _is_activation(name, spec):
            if not spec.outcome_from.activation:
                found.append(
                    f"goes through {name!r}, and the outcome has no direct path from activation; write "
                    "outcome_from: {activation: true}"
                )
        elif name not in functions:
            found.append(
                f"goes through {name!r}, which is no function and no <network>{ACTIVATION}. "
                f"{did_you_mean(name, functions)}"
            )
    for a, b in pairwise(path[:-1]):
        if (a in functions) == (b in functions) and a not in spec.factors:
            kind = "functions" if a in functions else "networks"
            found.append(f"goes from {a!r} to {b!r}: {kind} correlate, and none of them comes first")
    return [f"pathways: {_said(path)} {problem}" for problem in found]


def _functions(spec: JointSpec) -> list[str]:
    """Return names of functions, and of the general one that a bifactor model adds."""
    return [*spec.functions, *([n.GENERAL] if spec.general == "bifactor" else [])]


def _said(path: Pathway) -> str:
    return ARROW.join(path)
