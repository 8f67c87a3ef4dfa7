"""Whether the hypothesised functions beat functions that are no hypothesis.

Items of one subscale are near-parallel, so a latent of its own improves the fit of any of them. A placebo is
the hypothesised structure with another subscale alone in its function (`models/placebo`,
`structure/placebo_function`); functions are believed only if the hypothesised ones beat those of every other
subscale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from nssi_bayes.spec import JointSpec

__all__ = ["PREFIX", "against_placebos"]

PREFIX: Final = "placebo"
"""What the name of a placebo starts with."""

type Worse = Callable[[str, str], bool | None]


def against_placebos(specs: Mapping[str, JointSpec], worse: Worse) -> list[str]:
    """Say of each hypothesised structure how many placebo structures it beats, and whether it is believed.

    Parameters
    ----------
    specs : mapping of str to JointSpec
        The joint models of a question, by name.
    worse : callable
        From a model and a placebo to whether the placebo is worse on all data together by the rule of the
        comparison (over 4 elpd and over two standard errors, trusted); None where one of them is not ranked.

    Returns
    -------
    list of str
        A sentence for each model that differs from placebos in its functions alone; one sentence where models
        differ in how many functions they have and there is no placebo; none where all have equally many.
    """
    placebos = {name: spec for name, spec in specs.items() if name.startswith(PREFIX)}
    found = []
    for name, spec in specs.items():
        own = {p: _alone(s) - _alone(spec) for p, s in placebos.items() if _is_placebo(s, spec)}
        if name in placebos or not own:
            continue
        found_worse = {p: worse(name, p) for p in own}
        others = {s for members in spec.functions.values() for s in members} - _alone(spec)
        found.append(_told(name, found_worse, absent=len(others.difference(*own.values()))))
    counts = {len(spec.functions) for name, spec in specs.items() if name not in placebos}
    if not found and len(counts) > 1:
        found.append(
            "How many functions there are is not settled here: a further function improves the fit "
            "whatever it is, and no placebo structure that differs in its functions alone is among the "
            "models."
        )
    return found


def _told(name: str, worse: Mapping[str, bool | None], *, absent: int) -> str:
    beaten = sum(w is True for w in worse.values())
    said = (
        f"{name} beats {beaten} of {len(worse)} placebo structures, each with another subscale "
        "alone in its function"
    )
    left = [p for p, w in worse.items() if w is False]
    if left:
        return f"{said}: its functions are not believed, which asks for all. Not beaten: {', '.join(left)}."
    unknown = [p for p, w in worse.items() if w is None]
    if unknown:
        return f"{said}: its functions are not believed yet. Not ranked both: it and {', '.join(unknown)}."
    if absent:
        return f"{said}: its functions are not believed yet, for {absent} subscales have no placebo here."
    return f"{said}: its functions are believed."


def _alone(spec: JointSpec) -> set[str]:
    """Return the subscales that are a function by themselves."""
    return {members[0] for members in spec.functions.values() if len(members) == 1}


def _is_placebo(placebo: JointSpec, of: JointSpec) -> bool:
    """Return whether two specs differ in what their equally many functions hold, and in nothing else."""
    plain = {"functions": {}, "description": ""}
    return len(placebo.functions) == len(of.functions) and (
        placebo.model_copy(update=plain) == of.model_copy(update=plain)
    )
