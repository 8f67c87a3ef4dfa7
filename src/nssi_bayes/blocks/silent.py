"""What the data say nothing of, so that only the prior would speak: refused before anything is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from nssi_bayes.errors import SpecError
from nssi_bayes.spec import JointSpec

__all__ = ["FEWEST_PEOPLE", "check_told"]

FEWEST_PEOPLE: Final = 5
"""People under which there is no model of them."""

type Array = np.ndarray[Any, Any]


def check_told(
    spec: JointSpec, *, diagnosis: Array, disorders: Sequence[str], answered: dict[str, bool], where: str
) -> None:
    """Refuse a cohort of next to nobody, a function without an answer, and a disorder that everybody has.

    Parameters
    ----------
    spec : JointSpec
        The model.
    diagnosis : numpy.ndarray
        As it is coded [`participant`, `disorder`].
    disorders : sequence of str
        Labels.
    answered : dict of str to bool
        Key of the spec, such as ``functions.distress``: whether anybody answered anything that measures it.
    where : str
        The spec's file, for messages.

    Raises
    ------
    SpecError
        With all of these, and what to do about each.
    """
    people = len(diagnosis)
    problems = []
    if people < FEWEST_PEOPLE:
        problems.append(
            f"the cohort has {people} people, at least {FEWEST_PEOPLE} are needed: look in its flow for "
            "where the others were lost"
        )
    problems += [
        f"{key}: nobody answered anything that measures it; take it out, or name subscales that were answered"
        for key, there in answered.items()
        if not there
    ]
    asked = [k for k in ("levels", "slopes", "loadings", "spread", "outcome") if getattr(spec.disorder, k)]
    everybody = [
        str(d) for d, c in zip(disorders, diagnosis.T, strict=True) if people and c.min() == c.max() > 0
    ]
    if asked and everybody:
        problems.append(
            f"disorder.{', disorder.'.join(asked)}: everybody has {', '.join(everybody)}, a constant that "
            "tells nothing; take it out of `disorders` in study.yaml, or write false"
        )
    if problems:
        raise SpecError(problems, where=where, cure="mend the spec or the study file")
