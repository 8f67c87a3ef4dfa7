"""A posterior of two models is judged and scored once, and never by a note that no longer fits."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from designs import small_cohort, small_spec
from nssi_bayes import check
from nssi_bayes.build import build
from nssi_bayes.check import twin
from nssi_bayes.errors import ArtefactError
from nssi_bayes.fit import fit
from nssi_bayes.spec import Params, Sampler
from nssi_bayes.store import Layout, read_dataset, read_json, read_tree, write_dataset, write_json, write_tree

ROSTER = ("structure/shared", "heterogeneity/shared")


@dataclass
class Line:
    """Two models with one posterior, and which of them were scored."""

    layout: Layout
    params: Params
    scored: list[str] = field(default_factory=list)

    def check(self, model: str, **changes: Any) -> int:
        """Check one model, and return how many were scored by now."""
        check.run(self.layout, self.params.model_copy(update=changes), model=model)
        return len(self.scored)


@pytest.fixture(scope="module")
def posterior() -> xr.DataTree:
    built = build(small_spec(), small_cohort(24))
    return fit(built, Sampler(chains=4, tune=100, draws=100), np.random.SeedSequence(2))


@pytest.fixture
def line(tmp_path: Path, posterior: xr.DataTree, monkeypatch: pytest.MonkeyPatch) -> Line:
    found = Line(
        Layout(tmp_path),
        Params(
            study="demo", source=tmp_path, seed=1, roster=ROSTER, questions=("structure", "heterogeneity"),
            allow_uncertified=True,
        ),
    )  # fmt: skip
    write_dataset(found.layout.cohort("demo"), small_cohort(24))
    tree = posterior.copy()
    tree.attrs.update(fingerprint="f", fit="one", synthetic=1)
    for model in ROSTER:
        write_json(found.layout.fingerprint(model), {"fingerprint": "f"})
        write_tree(found.layout.posterior(model), tree)
    joint = check._joint

    def counted(*given: Any, **settings: Any) -> Any:
        found.scored.append(settings["where"])
        return joint(*given, **settings)

    monkeypatch.setattr(check, "read_model", lambda *_: small_spec())
    monkeypatch.setattr(check, "_joint", counted)
    return found


def test_the_copy_is_what_scoring_again_would_write(line: Line, tmp_path: Path) -> None:
    one, two = ROSTER
    assert line.check(one) == 1
    assert line.check(two) == 1
    files = (line.layout.loo, line.layout.predictive, line.layout.estimates, line.layout.checks)
    copied = [path_of(two).read_bytes() for path_of in files]
    line.layout.note("checked").unlink()
    assert line.check(two) == 2
    assert [path_of(two).read_bytes() for path_of in files] == copied
    assert read_json(line.layout.checks(two))["question"] == "heterogeneity"
    assert read_dataset(line.layout.loo(two)).attrs["question"] == "heterogeneity"


@pytest.mark.parametrize("changed", ["settings", "posterior", "cohort", "result", "note", "code"])
def test_what_no_longer_fits_is_scored(line: Line, changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = ROSTER
    assert line.check(one) == 1
    settings: dict[str, Any] = {}
    if changed == "settings":
        settings = {"interval": 0.5}
    elif changed == "posterior":
        tree = read_tree(line.layout.posterior(two))
        tree.attrs["fit"] = "another"
        write_tree(line.layout.posterior(two), tree)
    elif changed == "cohort":
        write_dataset(line.layout.cohort("demo"), small_cohort(24).assign_attrs(title="another"))
    elif changed == "result":
        write_json(line.layout.estimates(one), {})
    elif changed == "note":
        line.layout.note("checked").write_text("{", encoding="utf-8")
    else:
        monkeypatch.setattr(twin, "_PACKAGE", Path(__file__).parent)
    assert line.check(two, **settings) == 2


def test_a_copy_is_refused_as_its_twin_is(line: Line) -> None:
    one, two = ROSTER
    line.check(one)
    with pytest.raises(ArtefactError, match="not certified") as refused:
        line.check(two, allow_uncertified=False)
    assert two in str(refused.value)
    assert len(line.scored) == 1
    assert json.loads(line.layout.checks(two).read_text(encoding="utf-8"))["certified"] is False
