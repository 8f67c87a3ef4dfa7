"""What runs, how long it will take and how much is left: on a terminal as a bar, in a log as lines.

Expected times only inform; they are never written into an artefact.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from nssi_bayes.errors import ArtefactError
from nssi_bayes.launch import terminal
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, read_json, write_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["Count", "announced", "stages_left"]

_LOG = logging.getLogger(__name__)

_STEP: Final = 0.2
"""Share of the draws between two lines."""
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


class Count:
    """Says how many draws are finished and how long the others take: a bar on a terminal, lines elsewhere.

    Parameters
    ----------
    total : int
        Draws of all chains.
    parts : int
        Chains that may report each for itself.
    console : rich.console.Console, optional
        Where a bar is drawn; the terminal of the log if left out, and nowhere if there is none.
    """

    def __init__(self, total: int, *, parts: int = 1, console: Console | None = None) -> None:
        self._total, self._each = total, [0] * parts
        self._said, self._first = 0.0, (0.0, 0)
        self._console = console if console is not None else terminal()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if self._console is not None:
            self._bar = _bar(self._console)
            self._bar.add_task("draws", total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, finished: int, *, part: int | None = None) -> None:
        """Tell how many draws are finished, of one chain or of all together; compiling does not count.

        Parameters
        ----------
        finished : int
            Draws, warm-up among them.
        part : int, optional
            Of which chain; of all together if left out.
        """
        if part is not None:
            self._each[part] = finished
            finished = sum(self._each)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=finished)
            return
        now = time.monotonic()
        if finished and not self._first[1]:
            self._first = (now, finished)
        began, before = self._first
        share = finished / self._total
        if share - self._said >= _STEP and share < 1 and finished > before:
            self._said = share
            left = (now - began) / (finished - before) * (self._total - finished)
            _LOG.info("%d of %d draws, about %.0f s to go", finished, self._total, left)


def _bar(console: Console) -> Progress:
    """Return one bar with the draws that are finished and the time that is left; it goes when it is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(compact=True), TextColumn("to go"),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=True)
