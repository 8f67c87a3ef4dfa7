"""Join scores, images and people into the one data set that models read.

Nobody is dropped for missing a block. Continuous columns are centred at the cohort's mean and
divided by one pooled within-site sd; the constants stand beside them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
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
_REGION = (n.ROI_NETWORK, n.ROI_HEMISPHERE, n.ROI_X, n.ROI_Y, n.ROI_Z, n.ROI_RADIUS)
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
    activation = read_dataset(layout.activation(params.study))
    dataset, audit = cohort(params.study, study, people=people, scores=scores, activation=activation)
    validate(dataset, where=str(layout.cohort(params.study)))
    parts = (layout.audit_ingest, layout.audit_score, layout.audit_extract)
    tables = [read_table(part(params.study)).astype("object") for part in parts]
    write_table(layout.audit(params.study), pd.concat([t for t in [*tables, audit] if len(t)]))
    write_json(layout.flow(params.study), flow(study, dataset, people=people))
    write_dataset(layout.cohort(params.study), dataset)
    _log.info("%d of %d people in the cohort", dataset.sizes[n.PARTICIPANT], len(people))


def pooled_within_sd(values: npt.NDArray[np.float64], site: npt.NDArray[np.str_]) -> npt.NDArray[np.float64]:
    """Return the pooled within-site standard deviation of every column.

    Parameters
    ----------
    values : ndarray
        (`participant`, column); NaN is missing.
    site : ndarray
        (`participant`,) site labels.

    Returns
    -------
    ndarray
        (column,) sd, with the number of observed people less the number of their sites as degrees
        of freedom; NaN without any.
    """
    frame = pd.DataFrame(values)
    within = frame - frame.groupby(site).transform("mean")
    degrees = frame.notna().sum() - frame.groupby(site).count().gt(0).sum()
    return np.sqrt((within**2).sum() / degrees.where(degrees > 0)).to_numpy("float64")


def cohort(
    name: str, study: Study, *, people: pd.DataFrame, scores: xr.Dataset, activation: xr.Dataset
) -> tuple[xr.Dataset, pd.DataFrame]:
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
    activation : xarray.Dataset
        From `extract`; a subset of the people, raw units.

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
    maker = _Maker(name, study, people=people, activation=activation, scores=scores)
    maker.covariates()
    maker.factors()
    maker.outcomes()
    maker.regions()
    if maker.problems:
        raise DataError(maker.problems, where=name, cure=_CURE)
    dataset = maker.dataset.assign_attrs(
        study=name,
        synthetic=int(study.synthetic),
        title=study.title,
        diagnosis_period=study.disorders.period,
    )
    return dataset, pd.DataFrame(maker.audit, columns=list(n.AUDIT))


class _Maker:
    """Builds the cohort column by column; collects problems and the audit."""

    def __init__(self, name: str, study: Study, *, people: pd.DataFrame, activation: xr.Dataset,
                 scores: xr.Dataset) -> None:  # fmt: skip
        self.study = study
        self.problems: list[str] = []
        self.audit: list[tuple[str, str, str, str, int, int, int, int, int, str]] = []
        people = _with_scale_outcomes(study, people, scores)
        ids = people.index.to_numpy("str")
        unknown = int((~np.isin(activation[n.PARTICIPANT].to_numpy(), ids)).sum())
        if unknown or not np.array_equal(scores[n.PARTICIPANT].to_numpy(), ids):
            raise DataError("scores or images are of other people than the tables", where=name,
                            cure="run `dvc repro`: an earlier stage is out of date")  # fmt: skip
        self.activation = activation.reindex({n.PARTICIPANT: ids})
        self.scores = scores
        self.people = people
        keep = self._kept()
        self.people = people.loc[keep]
        self.scores = scores.isel({n.PARTICIPANT: keep})
        self.activation = self.activation.isel({n.PARTICIPANT: keep})
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
        assessed = _assessed(self.study, self.people)
        self.note("diagnosis", "diagnoses assessed", read=len(assessed), dropped=int((~assessed).sum()))
        measured = np.isfinite(self.scores[n.RESPONSE].to_numpy()).any(axis=1)
        measured |= np.isfinite(self.activation[n.ACTIVATION].to_numpy()).any(axis=1)
        measured |= np.isfinite(_factor_scores(self.study, self.scores)).any(axis=1)
        for outcome in self.study.outcomes:
            measured |= self.people[f"outcome_{outcome}"].notna().to_numpy()
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
        response = self.scores[n.RESPONSE].assign_attrs(_units(n.RESPONSE))
        return base.merge(response.to_dataset(), join="exact")

    def standardise(
        self, variable: str, dim: str, labels: list[str], *, values: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Add centred and scaled columns with their constants; return the scale."""
        scale = pooled_within_sd(values, self.site)
        scale = np.where(_varies(values, scale), scale, np.nan)
        seen = np.isfinite(values)
        for label, sd, count in zip(labels, scale, seen.sum(axis=0), strict=True):
            if not sd > 0:
                self.problems.append(
                    f"{variable} {label!r} does not vary within sites ({int(count)} people observed)"
                )
        center = np.where(seen, values, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
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
        if labels:
            values = self.people[[f"outcome_{o}" for o in labels]].to_numpy("float64")
            self.standardise(n.OUTCOME_VALUE, n.OUTCOME, labels, values=values)

    def regions(self) -> None:
        """Add regions that can be scaled, and motion where anybody's is known."""
        values = self.activation[n.ACTIVATION].to_numpy()
        usable = _varies(values, pooled_within_sd(values, self.site))
        rois = self.activation[n.ROI].to_numpy().astype("str")
        for roi in rois[~usable]:
            self.note(str(roi), "a region varies within sites", read=len(values), dropped=1,
                      note="region left out: too few people have it")  # fmt: skip
        if not usable.any():
            return
        kept = self.activation.isel({n.ROI: usable})
        scale = self.standardise(
            n.ACTIVATION, n.ROI, list(rois[usable]), values=kept[n.ACTIVATION].to_numpy()
        )
        dims = (n.PARTICIPANT, n.ROI)
        error = kept[n.ACTIVATION_SE].to_numpy() / scale
        coverage = kept[n.ACTIVATION_COVERAGE].to_numpy()
        self.dataset[n.ACTIVATION_SE] = (dims, error, _units(n.ACTIVATION_SE))
        self.dataset[n.ACTIVATION_COVERAGE] = (dims, coverage, _units(n.ACTIVATION_COVERAGE))
        self.dataset = self.dataset.assign_coords({c: kept[c] for c in _REGION})
        self._motion(kept[n.MOTION].to_numpy())

    def _motion(self, motion: npt.NDArray[np.float64]) -> None:
        if not np.isfinite(motion).any():
            return
        scale = pooled_within_sd(motion[:, None], self.site)
        if not _varies(motion[:, None], scale)[0]:
            self.problems.append("motion does not vary within sites")
            return
        center = np.nanmean(motion)
        unit = {"units": "mm"}
        self.dataset = self.dataset.assign(
            {
                n.MOTION: ((n.PARTICIPANT,), (motion - center) / scale[0], _units(n.MOTION)),
                n.MOTION + n.CENTER: ((), center, unit),
                n.MOTION + n.SCALE: ((), scale[0], unit),
            }
        )


def _with_scale_outcomes(study: Study, people: pd.DataFrame, scores: xr.Dataset) -> pd.DataFrame:
    """Add outcomes that are scales of instruments, which stand in the same order of people."""
    for outcome, rule in study.outcomes.items():
        if rule.instrument is not None:
            column = scores[n.SCALE_SCORE].sel({n.SCALE_NAME: f"{rule.instrument}.{rule.scale}"})
            people = people.assign(**{f"outcome_{outcome}": column.to_numpy()})
    return people


def _units(variable: str) -> dict[str, str]:
    rule = VARIABLES[variable]
    return {"units": rule.unit, "long_name": rule.meaning}


def _varies(values: npt.NDArray[np.float64], sd: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Say which columns vary by more than rounding."""
    return sd > 1e-9 * np.nan_to_num(np.abs(values)).max(axis=0, initial=0.0)


def _assessed(study: Study, people: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return people[[f"disorder_{d}" for d in study.disorders.names]].notna().all(axis=1).to_numpy()


def _factor_scores(study: Study, scores: xr.Dataset) -> npt.NDArray[np.float64]:
    wanted = [f"{rule.instrument}.{rule.scale}" for rule in study.factors.values()]
    return scores[n.SCALE_SCORE].sel({n.SCALE_NAME: wanted}).to_numpy()


def flow(study: Study, dataset: xr.Dataset, *, people: pd.DataFrame) -> dict[str, Any]:
    """Count who is in the cohort and what is missing.

    Parameters
    ----------
    study : Study
        Its mapping.
    dataset : xarray.Dataset
        The cohort.
    people : pandas.DataFrame
        The tidy table of participants.

    Returns
    -------
    dict
        ``steps``, ``missing``, ``disorders``, ``overlap``, ``synthetic`` and ``title``; counts of people.
    """
    total = dataset.sizes[n.PARTICIPANT]
    blocks = {"items": (n.RESPONSE, n.ITEM), "factors": (n.FACTOR_SCORE, n.FACTOR),
              "activation": (n.ACTIVATION, n.ROI), "outcome": (n.OUTCOME_VALUE, n.OUTCOME)}  # fmt: skip
    seen = {
        block: np.isfinite(dataset[variable].to_numpy())
        for block, (variable, _) in blocks.items()
        if variable in dataset
    }
    has = {block: observed.any(axis=1) for block, observed in seen.items()}
    steps = [
        ("in the table of participants", len(people)),
        ("diagnoses assessed", int(_assessed(study, people).sum())),
        ("in the cohort: any item, factor, scan or outcome", total),
        *((f"of these, with any data in block {block}", int(some.sum())) for block, some in has.items()),
        ("of these, with data in every block", int(np.all(list(has.values()), axis=0).sum())),
    ]
    missing = []
    for block, observed in seen.items():
        labels = dataset[blocks[block][1]].to_numpy()
        for label, count in zip(labels, observed.sum(axis=0), strict=True):
            missing.append({"block": block, "variable": str(label), "observed": int(count),
                            "missing": total - int(count)})  # fmt: skip
    diagnosis = dataset[n.DIAGNOSIS].to_numpy()
    disorders = [
        {"disorder": str(d), "participants": int(count)}
        for d, count in zip(dataset[n.DISORDER].to_numpy(), diagnosis.sum(axis=0), strict=True)
    ]
    nobody = int((diagnosis.sum(axis=1) == 0).sum())
    if nobody:
        disorders.append({"disorder": n.NONE_LEVEL, "participants": nobody})
    return {
        "steps": [{"step": step, "participants": count} for step, count in steps],
        "missing": missing,
        "disorders": disorders,
        "overlap": {"participants_with_two_or_more": int((diagnosis.sum(axis=1) >= 2).sum())},
        "synthetic": study.synthetic,
        "title": study.title,
    }
