"""What a user can do wrong, said so that it can be mended.

Every error says what was found, what was expected, where (file and key) and what to do. None of
them carries a row value: a message may count people, never name or quote one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = ["ArtefactError", "DataError", "NssiBayesError", "SpecError", "did_you_mean"]


class NssiBayesError(Exception):
    """A problem that the user can mend; the command line shows it without a traceback.

    Parameters
    ----------
    problems : str or sequence of str
        One sentence a problem. All problems of one kind are reported at once.
    where : str, optional
        The file, and the key or column in it.
    cure : str, optional
        What to do about it.
    """

    def __init__(
        self, problems: str | Sequence[str], *, where: str | None = None, cure: str | None = None
    ) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        self.where = where
        self.cure = cure
        super().__init__(self._text())

    def _text(self) -> str:
        head = f"{self.where}: " if self.where else ""
        if len(self.problems) == 1:
            text = head + self.problems[0]
        else:
            lines = "\n".join(f"  - {problem}" for problem in self.problems)
            text = f"{head}{len(self.problems)} problems\n{lines}"
        return f"{text}\n  What to do: {self.cure}" if self.cure else text


class DataError(NssiBayesError):
    """The cohort's files do not hold what the study says they hold."""


class SpecError(NssiBayesError):
    """A study, model or parameter file cannot be understood."""


class ArtefactError(NssiBayesError):
    """A file that an earlier stage should have written is missing, broken or does not fit."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the closest known name, or the known names.

    Parameters
    ----------
    name : str
        The name that was not found.
    known : iterable of str
        The names that exist.

    Returns
    -------
    str
        A sentence to append to an error message.
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "None is defined."
