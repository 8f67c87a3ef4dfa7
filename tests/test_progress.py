"""How far a fit is: one bar with the time left on a terminal, a few lines in a log."""

from __future__ import annotations

import io
import logging
import re
import time

import pytest
from rich.console import Console
from rich.logging import RichHandler

from nssi_bayes import launch
from nssi_bayes.fit import chains
from nssi_bayes.progress import Count
from nssi_bayes.spec import Sampler

SAMPLER = Sampler(chains=4, tune=100, draws=150)
LOGGER = logging.getLogger("nssi_bayes")


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A stand-in for a terminal, with the log of the command on it."""
    found = Console(file=io.StringIO(), force_terminal=True, width=90)
    handler = RichHandler(console=found, show_path=False, show_level=False)
    monkeypatch.setattr(LOGGER, "handlers", [handler])
    monkeypatch.setattr(LOGGER, "level", logging.INFO)
    return found


def _report(count: Count) -> None:
    """Four chains run side by side."""
    with count:
        for finished in range(0, 250, 50):
            for chain in range(4):
                count.say(finished, part=chain)
            time.sleep(0.03)


def _drawn(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())


def test_a_terminal_shows_one_bar_with_the_time_left_and_no_lines(console: Console) -> None:
    _report(chains._counted(SAMPLER, 4))
    said = _drawn(console)
    assert re.search(r"800/1000 +\d\d:\d\d to go", said)
    assert "about" not in said
    frames = said.replace("\r", "\n").splitlines()
    assert max(frame.count("to go") for frame in frames) == 1
    assert console.file.getvalue().rstrip().endswith("\x1b[2K")  # type: ignore[attr-defined]


def test_the_bar_goes_when_a_fit_is_interrupted(console: Console) -> None:
    with pytest.raises(KeyboardInterrupt), Count(10):
        raise KeyboardInterrupt
    assert "\x1b[?25h" in console.file.getvalue()  # type: ignore[attr-defined]  # the cursor is back


def test_what_is_logged_stands_above_the_bar(console: Console) -> None:
    with Count(10) as count:
        count.say(3)
        LOGGER.info("once more, more carefully")
    assert "once more, more carefully" in _drawn(console)


def test_a_log_has_a_few_lines_and_no_bar(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOGGER, "handlers", [])
    monkeypatch.setattr(LOGGER, "propagate", True)
    with caplog.at_level(logging.INFO, logger="nssi_bayes"):
        _report(chains._counted(SAMPLER, 4))
    assert 2 <= len(caplog.messages) <= 5
    assert all(re.fullmatch(r"\d+ of 1000 draws, about \d+ s to go", m) for m in caplog.messages)


def test_a_process_whose_log_is_no_terminal_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOGGER, "handlers", [])  # that of a worker, or under dvc
    assert launch.terminal() is None
