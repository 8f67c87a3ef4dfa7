"""Images and an atlas -> activation and connectivity, with standard errors, coverage and quality.

What is wrong with one person's images is counted with its cure, and the rest goes on; nothing is
extracted twice.
"""

from __future__ import annotations

import logging
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.atlases.images import open_atlas
from nssi_bayes.extract.activation import activation_of, check_template, no_activation
from nssi_bayes.extract.connectivity import MEASURES, connectivity_of, no_connectivity
from nssi_bayes.extract.problems import AuditRow, Problems
from nssi_bayes.extract.quality import outlying
from nssi_bayes.imaging import ActivationSource, ConnectivitySource
from nssi_bayes.privacy import pseudonymous
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, write_dataset, write_table
from nssi_bayes.study import read_study, source_folder

__all__ = ["run"]

log = logging.getLogger(__name__)

_BEYOND: Final = "people whose motion, signal and coverage stand apart: flagged, not dropped"


def run(layout: Layout, params: Params) -> None:
    """Extract what the study's images say of everyone who was scanned.

    Writes ``activation.nc`` (`participant`, `roi`; raw units), ``connectivity.nc`` (`participant`,
    `edge`; Fisher's z), either without regions or edges when the study has no such images, and
    ``audit_extract.tsv``. Who has no image has no row.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run's parameters.

    Raises
    ------
    DataError
        If nobody's images can be used; with the number of people for each problem.
    SpecError
        If the study asks for an atlas, a space or edges that do not fit.
    """
    study = read_study(layout, params.study)
    parts, audit = [], list[AuditRow]()
    for table, empty in ((n.ACTIVATION, no_activation()), (n.CONNECTIVITY, no_connectivity())):
        rule = getattr(study, table)
        dataset = empty if rule is None else _extract(layout, params, rule, table=table, audit=audit)
        dataset = pseudonymous(dataset, layout, keyed=study.keyed)
        dataset.attrs |= {"study": params.study, "synthetic": int(study.synthetic)}
        parts.append(dataset)
    write_table(layout.audit_of("extract", params.study), pd.DataFrame(audit, columns=list(n.AUDIT)))
    write_dataset(layout.activation(params.study), parts[0])
    write_dataset(layout.connectivity(params.study), parts[1])


def _extract(
    layout: Layout, params: Params, rule: ActivationSource | ConnectivitySource, *, table: str,
    audit: list[AuditRow],
) -> xr.Dataset:  # fmt: skip
    where = f"{layout.study(params.study)}: {table}"
    opened = open_atlas(rule.atlas, folder=layout.study_folder(params.study))
    check_template(rule, opened, where=where)
    problems = Problems(where, table=table)
    source = source_folder(layout, params)
    if isinstance(rule, ActivationSource):
        dataset = activation_of(source, rule, opened=opened, layout=layout, problems=problems)
        measures = np.column_stack([dataset[n.MOTION], dataset[n.ACTIVATION_COVERAGE].mean(n.ROI)])
    else:
        dataset = connectivity_of(source, rule, opened=opened, layout=layout, problems=problems)
        measures = dataset[n.QUALITY].to_numpy()
    dataset[n.OUTLYING] = (n.PARTICIPANT, outlying(measures).astype("int8"), {"units": "0 or 1"})
    read = dataset.sizes[n.PARTICIPANT]
    log.info("%s: %d people, atlas %s", table, read, opened.atlas.name)
    audit += problems.audit(read=read + sum(problems.counts.values()))
    audit += _audit(dataset, rule, table=table)
    return dataset


def _audit(dataset: xr.Dataset, rule: ActivationSource | ConnectivitySource, *, table: str) -> list[AuditRow]:
    """Count, for every region or edge and every measure of quality, who was read and who is missing."""
    read = dataset.sizes[n.PARTICIPANT]
    if isinstance(rule, ActivationSource):
        dim, why, one = n.ROI, f"coverage of at least {rule.min_coverage:g}", "region"
        told = {n.MOTION: dataset[n.MOTION]}
    else:
        dim, why = (
            n.EDGE,
            f"{rule.min_effective:g} effective frames, coverage {rule.min_coverage:g}",
        )
        one = "edge"
        told = {name: dataset[n.QUALITY].sel({n.QUALITY_MEASURE: name}) for name in MEASURES}
    lost = dataset[table].isnull()
    rows: list[AuditRow] = [
        ("extract", table, str(label), why, read, int(count), 0, 0, int(count),
         f"{one} set to missing" if count else "")
        for label, count in zip(dataset[dim].to_numpy(), lost.sum(n.PARTICIPANT).to_numpy(), strict=True)
    ]  # fmt: skip
    nowhere = int(lost.all(dim).sum())
    rows.append(("extract", table, table, f"any {one}", read, nowhere, 0, 0, nowhere,
                 f"people without any {one}" if nowhere else ""))  # fmt: skip
    for name, values in told.items():
        unknown = int(values.isnull().sum())
        level = f"median {float(values.median()):.3g}" if unknown < read else "not in these files"
        rows.append(("extract", table, name, f"quality: {level}", read, unknown, 0, 0, 0, ""))
    apart = int(dataset[n.OUTLYING].sum())
    rows.append(("extract", table, n.OUTLYING, "robust distance", read, 0, 0, apart, 0,
                 _BEYOND if apart else ""))  # fmt: skip
    return rows
