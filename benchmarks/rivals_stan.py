"""Stan programs of the rivals, through pystan."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import numpy as np
from rivals_elsewhere import PROGRAM, stan_data
from rivals_marginal import MARGINAL, marginal_data
from rivals_problem import Point

from nssi_bayes.build import Built

__all__ = ["listed", "program", "stan_model"]


def program(rival: str) -> str:
    """Return the text of a rival's program."""
    return (MARGINAL if rival == "stan_marginal" else PROGRAM).read_text("utf-8")


def stan_model(built: Built, seed: int, *, rival: str, **nodes: int) -> Any:
    """Compile a Stan program, with more patience than pystan has: a busy machine needs it."""
    import aiohttp.client
    import httpstan.compile
    import stan

    def run(command: list[Any], **given: Any) -> Any:
        return subprocess.run(command, **given | {"timeout": 60}, check=False)  # noqa: S603, Stan's translator

    httpstan.compile.subprocess = SimpleNamespace(run=run)
    aiohttp.client.DEFAULT_TIMEOUT = aiohttp.ClientTimeout(total=None)
    marginal = rival == "stan_marginal"
    data = marginal_data(built, **nodes) if marginal else stan_data(built, centred=rival == "stan_centred")
    return stan.build(program(rival), data=data, random_seed=seed)


def listed(point: Point) -> dict[str, Any]:
    """Return a point as pystan takes it."""
    return {name: np.asarray(value).tolist() for name, value in point.items()}
