"""Versions of what the numbers come from."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

__all__ = ["PACKAGES", "installed"]

PACKAGES: Final = (
    "nssi-bayes", "pymc", "pytensor", "nutpie", "jax", "bambi", "arviz", "numpy", "scipy", "xarray",
    "nilearn", "dvc",
)  # fmt: skip


def installed(package: str) -> str:
    """Return the version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
