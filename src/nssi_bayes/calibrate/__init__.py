"""Is the posterior of a model what it says it is? Simulation-based calibration and recovery.

From the spec, the people, the missing values and the diagnoses of the study: parameters from the
priors (or from the posterior), data, a fit, ranks; over and over. What passes says that code, priors
and sampler agree; it says nothing of whether the model is true of the study (predictive checks do).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes.blocks.labelled import theta_of
from nssi_bayes.build import Built, build, fingerprint
from nssi_bayes.calibrate.replication import Plan, replicate
from nssi_bayes.calibrate.shards import fill, open_workers, parse_shard, parse_workers, read_all
from nssi_bayes.calibrate.summary import summarise
from nssi_bayes.errors import SpecError
from nssi_bayes.marks import read_posterior
from nssi_bayes.spec import JointSpec, Params, read_model
from nssi_bayes.store import Layout, digest, read_dataset, write_json

__all__ = ["Work", "run"]

_LOG: Final = logging.getLogger(__name__)
_KEY: Final = 16


@dataclass(frozen=True)
class Work:
    """How much of a calibration is done, and by whom.

    Parameters
    ----------
    replications : int
        Of the whole calibration, over all shards.
    shard : str
        ``i/n``: every n-th replication from the i-th, counted from 0.
    workers : str
        Processes on this machine, or the address of a Dask scheduler.
    posterior : bool
        Parameters from the posterior instead of the prior.
    """

    replications: int = 100
    shard: str = "0/1"
    workers: str = "1"
    posterior: bool = False


def run(layout: Layout, params: Params, *, model: str, work: Work | None = None) -> None:
    """Calibrate one model of the roster, and pool all replications that are there.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        Study, seed, interval and the sampler of the calibration.
    model : str
        ``question/name``.
    work : Work, optional
        How much, and by whom.

    Raises
    ------
    SpecError
        If the model is a conventional one, the shard is none, or there are no such workers.
    ArtefactError
        If the posterior is asked for, and missing or of another model.
    """
    work = work or Work()
    number, of = parse_shard(work.shard)
    parse_workers(work.workers)
    spec = read_model(layout, model)
    where = str(layout.spec(model))
    if not isinstance(spec, JointSpec):
        raise SpecError(
            "only a joint model has replications here", where=where, cure="calibrate a joint model"
        )
    built = build(spec, read_dataset(layout.cohort(params.study)), where=where)
    mark = fingerprint(built, spec)
    given, of_fit = None, dict[str, str]()
    if work.posterior:
        given, fine, fit = _posterior(layout, built, model=model, mark=mark)
        built, of_fit = replace(built, fine=fine), {"fit": fit}
    sampler = params.calibration.resolved()
    plan = Plan(built, sampler, params.seed, interval=params.interval, rope=params.rope, given=given)
    kind = "posterior" if work.posterior else "prior"
    settings = {"sampler": sampler.model_dump(), "seed": params.seed, "interval": params.interval,
                "rope": params.rope}  # fmt: skip
    nodes = {"fine": True} if built.fine else {}
    key = digest({"fingerprint": mark, "kind": kind, **settings, **nodes, **of_fit})[:_KEY]
    path_of = partial(layout.replication, model, key)
    numbers = range(number, work.replications, of)
    with open_workers(work.workers) as executor:
        fill(partial(replicate, plan), numbers, path_of=path_of, executor=executor)
    found = read_all(path_of(index) for index in range(work.replications))
    summary: dict[str, Any] = {
        "model": model, "kind": kind, "fingerprint": mark, "synthetic": True, **settings,
        "asked": work.replications, "participants": len(built.design.diagnosis), **summarise(found),
    }  # fmt: skip
    write_json(layout.numbers("calibration", model), summary)
    _LOG.info("%s: %d of %d replications; %s", model, len(found), work.replications, summary["text"])


def _posterior(layout: Layout, built: Built, *, model: str, mark: str) -> tuple[dict[str, Any], bool, str]:
    """Return draws by parameter, whether they are of the finer nodes, and of which fit they are."""
    tree = read_posterior(layout, model, mark)
    theta = theta_of(tree["posterior"].to_dataset(), built.parameters)
    return theta, bool(tree.attrs.get("fine", 0)), str(tree.attrs["fit"])
