"""Join scores, images and people into the one data set that models read.

Nobody is dropped for missing a block. Continuous columns are centred at the cohort's mean and
divided by one pooled within-site sd; the constants stand beside them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.assemble.columns import pooled_within_sd, varies
from nssi_bayes.assemble.flow import assessed_of, flow
from nssi_bayes.assemble.images import add_edges, add_quality, add_regions
from nssi_bayes.errors import DataError
from nssi_bayes.schema import VARIABLES, validate
from nssi_bayes.sources import read_source_table
from nssi_bayes.store import (
    Layout,
    read_dataset,
    read_table,
    write_dataset,
    write_json,
    write_table,
)
from nssi_bayes.study import Study, read_study

if TYPE_CHECKING:
    import numpy.typing as npt

    from nssi_bayes.spec import Params

__all__ = ["cohort", "flow", "pooled_within_sd", "run"]

_log = logging.getLogger(__name__)
_PRIMARY = "primary_disorder"
_CURE = "mend the study file or the tables and run `dvc repro` again"


def run(layout: Layout, params: Params) -> None:
    """Write the cohort, its flow and the audit of all stages.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run's parameters.

    Raises
    ------
    DataError
        If the cohort cannot satisfy the contract; with everything that is wrong.
    ArtefactError
        If an earlier stage has not run.
    """
    study = read_study(layout, params.study)
    path = layout.tables(params.study) / "participants.tsv"
    people = read_table(path).set_index("participant_id")
    people["site"] = read_source_table(path)["site"].to_numpy()  # a site called 01 is no number
    scores = read_dataset(layout.scores(params.study))
    dataset, audit = cohort(
        params.study, study, people=people, scores=scores,
        activation=read_dataset(layout.activation(params.study)),
        connectivity=read_dataset(layout.connectivity(params.study)),
    )  # fmt: skip
    validate(dataset, where=str(layout.cohort(params.study)))
    stages: tuple[Literal["ingest", "score", "extract"], ...] = ("ingest", "score", "extract")
    tables = [read_table(layout.audit_of(stage, params.study)).astype("object") for stage in stages]
    write_table(layout.audit(params.study), pd.concat([t for t in [*tables, audit] if len(t)]))
    write_json(layout.flow(params.study), flow(study, dataset, people=people))
    write_dataset(layout.cohort(params.study), dataset)
    _log.info("%d of %d people in the cohort", dataset.sizes[n.PARTICIPANT], len(people))


def cohort(
    name: str, study: Study, *, people: pd.DataFrame, scores: xr.Dataset, activation: xr.Dataset,
    connectivity: xr.Dataset,
) -> tuple[xr.Dataset, pd.DataFrame]:  # fmt: skip
    """Join everything that is known about the study's people.

    Parameters
    ----------
    name : str
        The study's name.
    study : Study
        Its mapping.
    people : pandas.DataFrame
        The tidy table of participants, indexed by person.
    scores : xarray.Dataset
        From `score`; `participant` as in `people`.
    activation, connectivity : xarray.Dataset
        From `extract`; each a subset of the people, raw units.

    Returns
    -------
    xarray.Dataset
        The cohort; see `schema`.
    pandas.DataFrame
        The audit of this stage; counts only.

    Raises
    ------
    DataError
        With everything that cannot be centred or is missing where it may not be.
    """
    maker = _Maker(
        name, study, people=people, scores=scores, activation=activation, connectivity=connectivity
    )
    maker.covariates()
    maker.factors()
    maker.treatments()
    maker.outcomes()
    maker.continuous()
    add_regions(maker)
    add_edges(maker)
    add_quality(maker)
    if maker.problems:
        raise DataError(maker.problems, where=name, cure=_CURE)
    dataset = maker.dataset.assign_attrs(
        study=name,
        synthetic=int(study.synthetic),
        title=study.title,
        diagnosis_period=study.disorders.period,
        **({} if study.assume is None else {"assume": study.assume}),
    )
    return dataset, pd.DataFrame(maker.audit, columns=list(n.AUDIT))


class _Maker:
    """Builds the cohort column by column; collects problems and the audit."""

    def __init__(self, name: str, study: Study, *, people: pd.DataFrame, scores: xr.Dataset,
                 activation: xr.Dataset, connectivity: xr.Dataset) -> None:  # fmt: skip
        self.study = study
        self.problems: list[str] = []
        self.audit: list[tuple[str, str, str, str, int, int, int, int, int, str]] = []
        people = _with_scales(study, people, scores)
        ids = people.index.to_numpy("str")
        scanned = [part[n.PARTICIPANT].to_numpy().astype("str") for part in (activation, connectivity)]
        unknown = int((~np.isin(np.concatenate(scanned), ids)).sum())
        if unknown or not np.array_equal(scores[n.PARTICIPANT].to_numpy(), ids):
            raise DataError("scores or images are of other people than the tables", where=name,
                            cure="run `dvc repro`: an earlier stage is out of date")  # fmt: skip
        self.activation = activation.reindex({n.PARTICIPANT: ids})
        self.connectivity = connectivity.reindex({n.PARTICIPANT: ids})
        self.scores = scores
        self.people = people
        keep = self._kept()
        self.people = people.loc[keep]
        self.scores = scores.isel({n.PARTICIPANT: keep})
        self.activation = self.activation.isel({n.PARTICIPANT: keep})
        self.connectivity = self.connectivity.isel({n.PARTICIPANT: keep})
        self.site = self.people["site"].to_numpy("str")
        self.dataset = self._base()
        counts = self.dataset[n.DIAGNOSIS].to_numpy().sum(axis=0)
        nobody = [d for d, count in zip(study.disorders.names, counts, strict=True) if not count]
        if nobody:
            self.problems.append(f"nobody in the cohort has {', '.join(nobody)}; drop it from `disorders`")

    def note(self, column: str, rule: str, *, read: int, missing: int = 0, changed: int = 0,
             dropped: int = 0, note: str = "") -> None:  # fmt: skip
        self.audit.append(("assemble", "cohort", column, rule, read, missing, changed, 0, dropped, note))

    def _kept(self) -> npt.NDArray[np.bool_]:
        assessed = assessed_of(self.study, self.people)
        self.note("diagnosis", "diagnoses assessed", read=len(assessed), dropped=int((~assessed).sum()))
        measured = np.isfinite(self.scores[n.RESPONSE].to_numpy()).any(axis=1)
        measured |= np.isfinite(self.activation[n.ACTIVATION].to_numpy()).any(axis=1)
        measured |= np.isfinite(self.connectivity[n.CONNECTIVITY].to_numpy()).any(axis=1)
        measured |= np.isfinite(_factor_scores(self.study, self.scores)).any(axis=1)
        for outcome in self.study.outcomes:
            measured |= self.people[f"outcome_{outcome}"].notna().to_numpy()
        for score in self.study.scores:
            measured |= self.people[f"score_{score}"].notna().to_numpy()
        self.note("participant", "an item, a factor, a scan or an outcome", read=int(assessed.sum()),
                  dropped=int((assessed & ~measured).sum()))  # fmt: skip
        return assessed & measured

    def _base(self) -> xr.Dataset:
        disorders = list(self.study.disorders.names)
        diagnosis = self.people[[f"disorder_{d}" for d in disorders]].to_numpy("float64").astype("int64")
        period = {"period": self.study.disorders.period}
        base = xr.Dataset(
            {
                n.DIAGNOSIS: ((n.PARTICIPANT, n.DISORDER), diagnosis, _units(n.DIAGNOSIS) | period),
                n.SITE_OF: ((n.PARTICIPANT,), self.site, _units(n.SITE_OF)),
            },
            coords={n.PARTICIPANT: self.people.index.to_numpy("str"), n.DISORDER: disorders},
        )
        if _PRIMARY in self.people:
            main = self.people[_PRIMARY].to_numpy("str")[:, None] == np.array(disorders)
            base[n.PRIMARY] = ((n.PARTICIPANT, n.DISORDER), main.astype("int64"), _units(n.PRIMARY))
        response = self.scores[n.RESPONSE].assign_attrs(_units(n.RESPONSE))
        return base.merge(response.to_dataset(), join="exact")

    def standardise(
        self, variable: str, dim: str, labels: list[str], *, values: npt.NDArray[np.float64],
        raw: npt.NDArray[np.bool_] | None = None,
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        """Add centred and scaled columns with their constants, `raw` ones as they are; return the scale."""
        scale = pooled_within_sd(values, self.site)
        scale = np.where(varies(values, scale), scale, np.nan)
        seen = np.isfinite(values)
        for label, sd, count in zip(labels, scale, seen.sum(axis=0), strict=True):
            if not sd > 0:
                self.problems.append(
                    f"{variable} {label!r} does not vary within sites ({int(count)} people observed)"
                )
        center = np.where(seen, values, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        if raw is not None:
            center, scale = np.where(raw, 0.0, center), np.where(raw, 1.0, scale)
        unit = {"units": "original"}
        self.dataset = self.dataset.assign_coords({dim: labels}).assign(
            {
                variable: ((n.PARTICIPANT, dim), (values - center) / scale, _units(variable)),
                variable + n.CENTER: ((dim,), center, unit),
                variable + n.SCALE: ((dim,), scale, unit),
            }
        )
        return scale

    def covariates(self) -> None:
        labels = list(self.study.covariates)
        if not labels:
            return
        frame = self.people[[f"covariate_{c}" for c in labels]].astype("float64").set_axis(labels, axis=1)
        for label in labels:
            absent = int(frame[label].isna().sum())
            if absent and self.study.missing_covariates == "refuse":
                self.problems.append(
                    f"covariate {label!r} is missing for {absent} people; complete it, drop it, or write "
                    "missing_covariates: mean"
                )
            elif absent:
                column = frame[label]
                site_mean = column.groupby(self.site).transform("mean")
                frame[label] = column.fillna(site_mean).fillna(column.mean())
                self.note(f"covariate_{label}", "mean of the site", read=len(frame), missing=absent,
                          changed=absent, note="missing covariates filled, as the study says")  # fmt: skip
        self.standardise(n.COVARIATE_VALUE, n.COVARIATE, labels, values=frame.to_numpy())

    def treatments(self) -> None:
        labels = list(self.study.treatments)
        if not labels:
            return
        values = self.people[[f"treatment_{t}" for t in labels]].to_numpy("float64")
        for label, column in zip(labels, values.T, strict=True):
            seen = column[np.isfinite(column)]
            if not len(seen) or np.ptp(seen) == 0:
                self.problems.append(
                    f"treatment {label!r} is the same of all {len(seen)} people of whom it is known; drop it"
                )
        self.dataset = self.dataset.assign_coords({n.TREATMENT: labels})
        dims = (n.PARTICIPANT, n.TREATMENT)
        self.dataset[n.TREATMENT_VALUE] = (dims, values, _units(n.TREATMENT_VALUE))

    def factors(self) -> None:
        labels = list(self.study.factors)
        if not labels:
            return
        self.standardise(n.FACTOR_SCORE, n.FACTOR, labels, values=_factor_scores(self.study, self.scores))
        reliability = []
        for label, rule in self.study.factors.items():
            scale = f"{rule.instrument}.{rule.scale}"
            value = rule.reliability
            if isinstance(value, str):
                value = float(self.scores[n.SCALE_RELIABILITY].sel({n.SCALE_NAME: scale}))
            if not 0 < value <= 1:
                self.problems.append(
                    f"factor {label!r}: Cronbach's alpha of {scale} is {value:.2f}, no reliability; "
                    "declare one in the study file"
                )
            reliability.append(value)
        self.dataset[n.FACTOR_RELIABILITY] = (
            (n.FACTOR,), np.array(reliability), _units(n.FACTOR_RELIABILITY),
        )  # fmt: skip

    def outcomes(self) -> None:
        labels = list(self.study.outcomes)
        if not labels:
            return
        values = self.people[[f"outcome_{o}" for o in labels]].to_numpy("float64")
        rules = list(self.study.outcomes.values())
        raw = np.array([rule.family != n.GAUSSIAN for rule in rules])
        self.standardise(n.OUTCOME_VALUE, n.OUTCOME, labels, values=values, raw=raw)
        if any(rule.baseline for rule in rules):
            before = [rule.baseline or "" for rule in rules]
            self.dataset = self.dataset.assign_coords({n.OUTCOME_BASELINE: ((n.OUTCOME,), before)})
        if not raw.any():
            return
        start = np.array([rule.minimum if rule.categories else 0 for rule in rules], dtype=float)
        top = [rule.categories for rule in rules]
        self.dataset[n.OUTCOME_VALUE] -= start
        self.dataset[n.OUTCOME_VALUE].attrs.update(_units(n.OUTCOME_VALUE))
        self.dataset = self.dataset.assign_coords(
            {
                n.OUTCOME_FAMILY: ((n.OUTCOME,), [rule.family for rule in rules]),
                n.OUTCOME_CATEGORIES: ((n.OUTCOME,), top),
            }
        )
        counts = np.array([rule.family in n.COUNTS for rule in rules])
        if counts.any():
            exposure = self._exposures(labels, values, counts)
            dims = (n.PARTICIPANT, n.OUTCOME)
            self.dataset[n.OUTCOME_EXPOSURE] = (dims, exposure, _units(n.OUTCOME_EXPOSURE))

    def _exposures(
        self, labels: list[str], values: npt.NDArray[np.float64], counts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """Return what each count was counted over, 1 where the study has no column of it."""
        found = np.where(counts & np.isfinite(values), 1.0, np.nan)
        for o, label in enumerate(labels):
            column = f"exposure_{label}"
            if column in self.people:
                own = self.people[column].to_numpy("float64")
                found[:, o] = np.where(np.isfinite(values[:, o]), own, np.nan)
                bad = int((np.isfinite(values[:, o]) & ~(own > 0)).sum())
                if bad:
                    self.problems.append(f"outcome {label!r}: {bad} counts without an exposure over 0")
        return found

    def continuous(self) -> None:
        labels = list(self.study.scores)
        if labels:
            values = self.people[[f"score_{s}" for s in labels]].to_numpy("float64")
            self.standardise(n.SCORE_VALUE, n.SCORE, labels, values=values)


def _with_scales(study: Study, people: pd.DataFrame, scores: xr.Dataset) -> pd.DataFrame:
    """Add outcomes and scores that are scales of instruments, which stand in the same order of people."""
    for kind, rules in (("outcome", study.outcomes), ("score", study.scores)):
        for name, rule in rules.items():
            if rule.instrument is not None:
                column = scores[n.SCALE_SCORE].sel({n.SCALE_NAME: f"{rule.instrument}.{rule.scale}"})
                people = people.assign(**{f"{kind}_{name}": column.to_numpy()})
    return people


def _units(variable: str) -> dict[str, str]:
    rule = VARIABLES[variable]
    return {"units": rule.unit, "long_name": rule.meaning}


def _factor_scores(study: Study, scores: xr.Dataset) -> npt.NDArray[np.float64]:
    wanted = [f"{rule.instrument}.{rule.scale}" for rule in study.factors.values()]
    return scores[n.SCALE_SCORE].sel({n.SCALE_NAME: wanted}).to_numpy()
