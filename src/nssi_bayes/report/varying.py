"""What a joint model lets differ by disorder or by group, in words, as its spec says."""

from __future__ import annotations

from typing import Final

from nssi_bayes.spec import JointSpec

__all__ = ["by_disorder", "by_group", "pooled", "unit"]

_ALL: Final = ("thresholds", "loadings", "intercepts", "residual scales")
_OWN: Final[dict[bool, dict[str, tuple[str, ...]]]] = {
    False: {
        "configural": ("thresholds", "loadings"),
        "thresholds": ("loadings", "intercepts", "residual scales"),
        "metric": ("intercepts", "residual scales"),
        "scalar": ("residual scales",),
        "strict": (),
    },
    True: {
        "configural": ("intercepts", "loadings", "residual sds"),
        "metric": ("intercepts", "residual sds"),
        "scalar": ("residual sds",),
        "strict": (),
    },
}
"""What every group has of its own on a rung, of ordinal and of continuous indicators."""
_FUNCTIONS: Final = {
    "metric": "Functions have mean 0 in every group, and residual sd 1 in the first; sds of later groups are "
    "free",
    "scalar": "Functions have mean 0 and residual sd 1 in the first group; means and sds of later groups are "
    "free",
}
_FIXED: Final = "Functions have mean 0 and residual sd 1 in every group"


def pooled(spec: JointSpec) -> list[str]:
    """Return which effects on functions, or of them, differ by disorder."""
    asked = {
        "levels": spec.disorder.levels,
        "slopes of psychosocial factors": spec.disorder.slopes,
        "neural associations": spec.disorder.loadings,
        "slopes of the outcome on functions": spec.disorder.outcome,
    }
    return [word for word, there in asked.items() if there]


def by_disorder(spec: JointSpec) -> list[str]:
    """Return everything of functions and of their measurement that differs by disorder."""
    asked = {
        "residual sds of functions": spec.disorder.spread,
        "thresholds of indicators": spec.measurement.bias != "none",
        "loadings of indicators": spec.measurement.nonuniform,
    }
    found = [*pooled(spec), *(word for word, there in asked.items() if there)]
    if spec.groups is not None and spec.groups.by == "disorder":
        found.append(f"what the {spec.groups.invariance} rung of measurement invariance leaves free")
    return found


def unit(spec: JointSpec) -> str:
    """Return where the residual sd of a function is 1, in a model without groups."""
    where = " at the cohort's average diagnoses" if spec.disorder.spread else ""
    return f"The residual sd of a function is 1{where}"


def by_group(spec: JointSpec, *, continuous: bool) -> str:
    """Return what a rung of the ladder makes equal and leaves free.

    Parameters
    ----------
    spec : JointSpec
        With groups.
    continuous : bool
        Whether indicators are; else they are ordinal.

    Returns
    -------
    str
        Sentences.
    """
    if spec.groups is None:
        return ""
    rung = spec.groups.invariance
    own = _OWN[continuous][rung]
    every = _OWN[True]["configural"] if continuous else _ALL
    equal = [word for word in every if word not in own]
    if not continuous and rung == "configural":
        equal = []  # intercepts and scales are not there
    functions = _FUNCTIONS.get("scalar" if rung == "strict" else rung, _FIXED)
    told = f"Of the indicators {_listed(own)} are each group's own" if own else "Indicators do not differ"
    told += f", and {_listed(equal)} are equal" if own and equal else ""
    binary = " (the scale of an indicator of two categories is 1)" if "residual scales" in own else ""
    return (
        f"Groups are those of {spec.groups.by}, at the {rung} rung of measurement invariance. "
        f"{told}{binary}. {functions}; correlations of functions are each group's own."
    )


def _listed(words: tuple[str, ...] | list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
