"""What runs, how long it will take and how much is left.

Expected times only inform; they are never written into an artefact.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nssi_bayes.errors import ArtefactError
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, read_json, write_json

__all__ = ["announced", "stages_left"]

_LOG = logging.getLogger(__name__)

_TYPICAL_SECONDS: Final = {
    "simulate": 10.0, "ingest": 2.0, "score": 2.0, "extract": 10.0, "assemble": 2.0,
    "build": 8.0, "fit": 90.0, "check": 15.0, "compare": 3.0, "report": 12.0,
    "check.prior": 8.0, "preview": 20.0, "sensitivity": 60.0, "crossvalidate": 2.0, "calibrate": 600.0,
    "crossvalidate.fits": 900.0,
}  # fmt: skip
"""Before this machine has run a verb: seconds for 120 people on two cores."""


def stages_left(layout: Layout, params: Params) -> list[str]:
    """List the verb of every stage whose output is not there yet.

    Parameters
    ----------
    layout : Layout
        Where outputs lie.
    params : Params
        The run's study, roster and questions.

    Returns
    -------
    list of str
        One a stage: its verb, or where it does more than usual, as `_TYPICAL_SECONDS` names that; an output
        that is there but stale does not count.
    """
    study = params.study
    outputs: list[tuple[str, Path]] = [
        ("ingest", layout.audit_of("ingest", study)),
        ("score", layout.scores(study)),
        ("extract", layout.activation(study)),
        ("assemble", layout.cohort(study)),
    ]
    if study in params.synthetic_cohorts:
        outputs.insert(0, ("simulate", layout.truth(study)))
    for model in params.roster:
        outputs += [
            ("build", layout.fingerprint(model)),
            ("fit", layout.posterior(model)),
            ("check", layout.checks(model)),
        ]
    outputs += [("sensitivity", layout.numbers("sensitivity", model)) for model in params.sensitivity.models]
    for question in params.questions:
        outputs += [(_kind("crossvalidate", params), layout.left_out(question))]
        outputs += [("compare", layout.comparison(question)), ("report", layout.report(question))]
    return [verb for verb, path in outputs if not path.exists()]


@contextmanager
def announced(layout: Layout, params: Params, *, verb: str, name: str = "") -> Iterator[None]:
    """Log the start of a stage with what to expect, and its end with the time it took.

    Parameters
    ----------
    layout : Layout
        Where outputs lie.
    params : Params
        The run's study, roster and questions.
    verb : str
        The stage.
    name : str, optional
        Its model or question.
    """
    seconds, kind = _expected(layout), _kind(verb, params)
    stage = f"{verb} {name}".strip().replace("check.prior", "build --prior-predictive")
    left = stages_left(layout, params)
    rest = sum(seconds[v] for v in left)
    count = f"{len(left)} stage{'s' if len(left) != 1 else ''} to go"
    _LOG.info("%s: started, %s; %s, %s", stage, _about(seconds[kind]), count, _about(rest))
    start = time.perf_counter()
    yield
    took = time.perf_counter() - start
    _LOG.info("%s: done in %.1f s", stage, took)
    write_json(layout.note("durations"), {**seconds, kind: took})


def _kind(verb: str, params: Params) -> str:
    """Tell fits without some of the people from the seconds that it takes to ask for none."""
    asked = params.cross_validation
    fits = asked.scheme != "psis" or asked.leave or asked.evidence
    return "crossvalidate.fits" if verb == "crossvalidate" and fits else verb


def _expected(layout: Layout) -> dict[str, float]:
    """Return seconds by verb: the last time on this machine, or a typical time."""
    try:
        last = read_json(layout.note("durations"))
    except ArtefactError:
        last = {}
    return {verb: float(last.get(verb) or typical) for verb, typical in _TYPICAL_SECONDS.items()}


def _about(seconds: float) -> str:
    return f"about {max(seconds, 1):.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"
