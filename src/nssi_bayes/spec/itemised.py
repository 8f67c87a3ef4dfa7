"""Psychosocial factors that are measured by items of their own, and what a spec cannot say beside them.

A score with a reliability is one number a person, its error one variance for everybody. Items say more: a
subscale at its floor says little of how little trauma there was, and a missing item takes away what it
would have said and no more. The factor is then a latent as functions are, measured by the same graded
model, and stands among the factors that functions are regressed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nssi_bayes.errors import did_you_mean

if TYPE_CHECKING:
    from nssi_bayes.spec.models import JointSpec

__all__ = ["MOST_AXES", "beyond"]

MOST_AXES: Final = 4
"""Latents of a person that items measure, functions and factors together: axes of the integral."""


def beyond(spec: JointSpec) -> list[str]:
    """Say what of a spec has no place beside factors that items measure.

    Parameters
    ----------
    spec : JointSpec
        With `factor_items`.

    Returns
    -------
    list of str
        Problems, each with its cure.
    """
    found = _names(spec)
    axes = len(spec.functions) + len(spec.factor_items)
    if axes > MOST_AXES:
        found.append(
            f"factor_items: {len(spec.functions)} functions and {len(spec.factor_items)} factors with items "
            f"are {axes} axes of the integral over a person, and {MOST_AXES} are the most; name fewer "
            "functions, or let a factor be its score with a reliability: take it out of `factor_items`"
        )
    asked = {
        "groups": spec.groups is not None,
        "general: bifactor": spec.general == "bifactor",
        "measurement.cross_loadings": spec.measurement.cross_loadings,
        "measurement.bias": spec.measurement.bias != "none",
        f"distribution: {spec.distribution}": spec.distribution != "normal",
    }
    found += [
        f"factor_items: not beside {name}, which is stated for functions alone; leave it out, or let the "
        "factors be their scores: leave `factor_items` out"
        for name, there in asked.items()
        if there
    ]
    return found


def _names(spec: JointSpec) -> list[str]:
    """Say which factors and subscales cannot be told apart."""
    found = []
    seen = {s: f"functions.{f}" for f, members in spec.functions.items() for s in members}
    for factor, members in spec.factor_items.items():
        key = f"factor_items.{factor}"
        if factor not in spec.factors:
            found.append(
                f"{key}: {factor!r} is not among `factors`, which functions are regressed on; add it there. "
                f"{did_you_mean(factor, spec.factors)}"
            )
        if factor in spec.functions:
            found.append(f"{key}: a function has this name, too; give the factor another")
        if not members:
            found.append(f"{key}: it has no subscale; name those that measure it, or leave it out")
        for subscale in members:
            if subscale in seen:
                found.append(f"{key}: {subscale!r} measures {seen[subscale]}, too; take it out of one")
            seen[subscale] = key
    return found
