"""Counts of people that may be printed: small cells, and what would give them away, are hidden."""

from __future__ import annotations

__all__ = ["Cells"]


class Cells:
    """Print counts, hiding 1 to `smallest` - 1 and what would reveal such a count by subtraction.

    Parameters
    ----------
    smallest : int
        The smallest count that is printed; 0 is always printed.
    total : int, optional
        People of the cohort, known to the reader.
    """

    def __init__(self, smallest: int, *, total: int | None = None) -> None:
        self.smallest = smallest
        self.known = [] if total is None else [total]

    def hidden(self, count: int) -> bool:
        """Return whether `count` itself is too small to print."""
        return 0 < count < self.smallest

    def show(self, count: int) -> str:
        """Return `count`, or what may be said about it.

        A count that differs by a small cell from one already printed is given as a range.
        """
        if self.hidden(count):
            return f"<{self.smallest}"
        near = next((k for k in self.known if self.hidden(abs(k - count))), None)
        if near is not None:
            return f"within {self.smallest - 1} of {near}"
        self.known.append(count)
        return str(count)

    def share(self, count: int, of: int) -> str:
        """Return a percentage, hidden when the count or its complement is."""
        if not of or self.hidden(count) or self.hidden(of - count):
            return "–"
        return f"{count / of:.0%}"
