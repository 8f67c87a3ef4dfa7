"""What is compiled for one fit serves every refit of its structure: the refits of a cross-validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from designs import small_cohort, small_spec
from nssi_bayes.build import Built, build
from nssi_bayes.crossvalidate import refit
from nssi_bayes.crossvalidate.refit import held_out
from nssi_bayes.fit import density
from nssi_bayes.spec import Sampler

GROUPS = [np.array([0, 1]), np.array([2]), np.arange(10, 16)]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of functions for which machine code is made, or read from disk, as it happens."""
    found: list[str] = []
    plain = Dispatcher.compile

    def noted(self: Any, signature: Any) -> Any:
        found.append(self.py_func.__qualname__)
        return plain(self, signature)

    monkeypatch.setattr(Dispatcher, "compile", noted)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # here, where it is counted
    return found


def _refits(built: Built, made: list[str]) -> Iterator[list[str]]:
    """Yield what was compiled in each of three refits without other people."""
    sampler = Sampler(chains=2, tune=100, draws=100)
    seeds = [np.random.SeedSequence(i) for i in range(3)]
    for _ in held_out(built, GROUPS, sampler, seeds):
        yield made.copy()
        made.clear()


def _model() -> Built:
    return build(small_spec(factors=[]), small_cohort(40))


def test_three_refits_compile_once(made: list[str]) -> None:
    first, second, third = _refits(_model(), made)
    assert len(first) == len(set(first))
    assert (second, third) == ([], [])


def test_what_compiles_for_each_refit_is_counted(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def anew(built: Built) -> density.Density:
        numba.njit(lambda x: x + 1)(1.0)
        return density.compile_density(built)

    monkeypatch.setattr(refit, "compile_density", anew)
    assert [sum("lambda" in name for name in one) for one in _refits(_model(), made)] == [1, 1, 1]


def test_pytensor_and_jax_compile_nothing_for_a_fit(monkeypatch: pytest.MonkeyPatch, made: list[str]) -> None:
    """They state the model, for tests; what is sampled is compiled by Numba alone."""
    import jax
    import pytensor

    for owner, name in ((pytensor, "function"), (jax, "jit")):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("compiled by another"))
    assert len(list(_refits(_model(), made))) == 3
