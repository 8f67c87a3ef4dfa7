"""How loops are compiled by Numba, once for all models and kept on disk.

The cache looks at a function's own file alone: compiled functions call none of another file.
"""

from __future__ import annotations

from numba import njit

__all__ = ["compiled"]


def compiled[F](function: F) -> F:
    """Compile a function; others may run while it does."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)
