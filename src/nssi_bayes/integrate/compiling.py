"""How loops are compiled by Numba, once for all models and kept on disk.

The cache looks at a function's own file alone: compiled functions call none of another file. Arrays
are copied element by element in them: each other way costs a second or two of compiling.
"""

from __future__ import annotations

from typing import Any, Final

from numba import njit

__all__ = ["compiled", "inlined"]

_OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy"}
"""Others may run beside it; no fast-math: a cold and a warm cache agree."""


def compiled[F](function: F) -> F:
    """Compile a function that Python calls."""
    return njit(cache=True, **_OPTIONS)(function)


def inlined[F](function: F) -> F:
    """Compile a function that compiled ones of its package call: no way in from Python, kept in theirs."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
