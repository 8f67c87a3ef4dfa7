"""Everything a report rests on, read once; what is missing is listed, not skipped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

import pandas as pd

from nssi_bayes.errors import ArtefactError, NssiBayesError
from nssi_bayes.instruments import Instrument, study_instrument
from nssi_bayes.marks import of_another
from nssi_bayes.report.author import read_author
from nssi_bayes.report.cells import few, few_treated, few_with_several
from nssi_bayes.report.words import split_name
from nssi_bayes.spec import JointSpec, ModelSpec, Params, Prior, read_model, read_priors
from nssi_bayes.store import Layout, Numbers, digest, read_json, read_table
from nssi_bayes.study import Study, read_study

__all__ = ["Evidence", "gather"]

_OTHER: Final = "of another state of the model (other priors, data or structure)"
_ATTACKS: Final[tuple[Numbers, ...]] = get_args(Numbers.__value__)


@dataclass
class Evidence:
    """The artefacts of one question.

    Parameters
    ----------
    question : str
        The question.
    params : Params
        The run.
    entries : list of str
        Its models, ``question/name``, in the roster's order.
    flow, audit, notes, table : dict or pandas.DataFrame
        Cohort flow, what was changed or dropped, the comparison's notes and table; None where missing.
    checks, estimates, specs, models, priors, posteriors, revisions, parameters : dict
        By entry; an entry without the artefact is absent. `specs` is text, `models` what it says,
        `priors` what it starts from, `posteriors` paths, `revisions` the names under which DVC keeps
        them, `parameters` what the model has (from the fingerprint).
    attacks : dict of str to dict
        By entry, then by ``predictive_checks``, ``prior_predictive``, ``sensitivity`` and
        ``calibration``: what was found; what nobody asked for is absent.
    main : str or None
        The entry whose estimates the report shows: the last joint model of the roster.
    unverified : list of str
        Instruments whose key is not verified.
    cohort_hash : str or None
        SHA-256 of the cohort's file.
    study : Study or None
        What stands where in the cohort's folder.
    instruments : dict of str to Instrument
        By the study's name for them.
    author : dict of str to str
        What only the authors can say, by item of a guideline.
    shareable : bool
        Whether the page leaves the lab.
    missing : list of str
        What could not be read, with the reason.
    """

    question: str
    params: Params
    entries: list[str]
    flow: dict[str, Any] | None = None
    audit: pd.DataFrame | None = None
    notes: dict[str, Any] | None = None
    table: pd.DataFrame | None = None
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    estimates: dict[str, dict[str, Any]] = field(default_factory=dict)
    specs: dict[str, str] = field(default_factory=dict)
    models: dict[str, ModelSpec] = field(default_factory=dict)
    priors: dict[str, dict[str, Prior]] = field(default_factory=dict)
    posteriors: dict[str, Path] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, list[str]] = field(default_factory=dict)
    attacks: dict[str, dict[Numbers, dict[str, Any]]] = field(default_factory=dict)
    main: str | None = None
    unverified: list[str] = field(default_factory=list)
    cohort_hash: str | None = None
    study: Study | None = None
    instruments: dict[str, Instrument] = field(default_factory=dict)
    author: dict[str, str] = field(default_factory=dict)
    shareable: bool = False
    missing: list[str] = field(default_factory=list)

    @property
    def synthetic(self) -> bool:
        """Whether any artefact says that the people are invented."""
        said = [bool((self.flow or {}).get("synthetic"))]
        said += [bool(c.get("synthetic")) for c in self.checks.values()]
        return any(said) or self.params.study in self.params.synthetic_cohorts

    @property
    def uncertified(self) -> list[str]:
        """Entries whose posterior is not certified, or whose checks are missing."""
        return [e for e in self.entries if not self.checks.get(e, {}).get("certified")]

    @property
    def small_disorders(self) -> list[str]:
        """Disorders that too few people have, or do not have, to print a mean of theirs."""
        return few(self.flow or {}, self.params.min_cell)

    @property
    def few_with_several(self) -> bool:
        """Whether too few people have two diagnoses or more."""
        return few_with_several(self.flow or {}, self.params.min_cell)

    @property
    def few_treated(self) -> list[str]:
        """Treatments that too few people had, or had not."""
        return few_treated(self.flow or {}, self.params.min_cell)

    @property
    def shown(self) -> dict[str, Any] | None:
        """Estimates of the main model."""
        return self.estimates.get(self.main) if self.main else None


def gather(layout: Layout, params: Params, question: str) -> Evidence:
    """Read all artefacts of one question.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run.
    question : str
        One of its questions.

    Returns
    -------
    Evidence
        What is there, and what is not.
    """
    found = Evidence(question, params, params.models_of(question))

    def read[T](reader: Callable[[Path], T], path: Path) -> T | None:
        place = path.relative_to(layout.root).as_posix()
        try:
            return reader(path)
        except NssiBayesError as error:
            found.missing.append(f"{place}: {'; '.join(error.problems)}")
        except (OSError, ValueError) as error:
            found.missing.append(f"{place}: cannot be read ({type(error).__name__})")
        return None

    found.flow = read(read_json, layout.flow(params.study))
    found.audit = read(read_table, layout.audit(params.study))
    found.notes = read(read_json, layout.comparison_notes(question))
    found.table = read(read_table, layout.comparison(question))
    found.cohort_hash = read(lambda p: digest(p.read_bytes()), layout.cohort(params.study))
    found.author = read(read_author, layout.author(question)) or {}
    for entry in found.entries:
        _gather_model(found, layout, entry, read)
    study, shelf = layout.study(params.study), layout.instruments(params.study)
    found.study = read(lambda _: read_study(layout, params.study), study)
    for name, place in (found.study.instruments if found.study else {}).items():
        instrument = read(lambda _, i=name, f=place.form: study_instrument(i, form=f, folder=shelf), study)  # type: ignore[misc]
        if instrument is None:
            continue
        found.instruments[name] = instrument
        if not instrument.verified:
            found.unverified.append(f"{instrument.title} ({split_name(name)}): {instrument.verified_by}")
    return found


def _gather_model(found: Evidence, layout: Layout, entry: str, read: Callable[..., Any]) -> None:
    """Read all artefacts of one model; the last joint one becomes the one that is shown."""
    prints = read(read_json, layout.fingerprint(entry))
    if prints is not None:
        found.parameters[entry] = list(prints.get("parameters", []))
    own = partial(_own, mark=(prints or {}).get("fingerprint"))
    checks = read(own, layout.checks(entry))
    if checks is not None:
        found.checks[entry] = checks
    for what in _ATTACKS:
        path = layout.numbers(what, entry)
        attacked = read(own, path) if path.exists() else None
        if attacked is not None and (checks is not None or what != "predictive_checks"):
            found.attacks.setdefault(entry, {})[what] = attacked
    spec = read(lambda p: p.read_text(encoding="utf-8"), layout.spec(entry))
    if spec is not None:
        found.specs[entry] = spec
    posterior = layout.posterior(entry)
    revision = read(lambda p: hashlib.md5(p.read_bytes(), usedforsecurity=False).hexdigest(), posterior)
    if revision is not None:
        found.posteriors[entry], found.revisions[entry] = posterior, revision
    model = read(lambda _: read_model(layout, entry), layout.spec(entry))
    if model is not None:
        found.models[entry] = model
    if not isinstance(model, JointSpec):
        return
    found.priors[entry] = read_priors(model.priors, model.prior_set)
    found.main = entry
    estimates = read(read_json, layout.estimates(entry))
    if estimates is not None and not _stale(layout, entry, checks):
        found.estimates[entry] = estimates


def _own(path: Path, mark: str | None) -> dict[str, Any]:
    """Read what was found of a model, unless it was another one then: other priors, data or structure."""
    content = read_json(path)
    if of_another(content, mark):
        cure = "run `dvc repro`, or the command that wrote it"
        raise ArtefactError(f"{_OTHER}, and not shown: {cure}", where=path.name, cure=cure)
    return content


def _stale(layout: Layout, entry: str, checks: dict[str, Any] | None) -> bool:
    """Return whether checks, with which estimates are written, are there and could not be taken."""
    return checks is None and layout.checks(entry).exists()
