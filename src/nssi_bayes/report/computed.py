"""How the posteriors were drawn and the models compared, as a paper says it."""

from __future__ import annotations

import re
from typing import Final

from nssi_bayes.report.citations import short
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.software import installed
from nssi_bayes.report.words import number, split_name
from nssi_bayes.spec import MOST_BESIDE, JointSpec

__all__ = ["computation", "decisions", "link"]

_FOLDS: Final = re.compile(r"scored by (\d+-fold) cross-validation")
"""How `compare` begins to say that people were left out in folds."""


def computation(e: Evidence) -> str:
    """Return the sentences on sampling and convergence.

    Parameters
    ----------
    e : Evidence
        With a joint model.
    """
    s = e.checks.get(str(e.main), {}).get("sampling", {})
    verdict = (
        "All posteriors met these rules."
        if not e.uncertified
        else f"Not met by: {', '.join(split_name(m) for m in e.uncertified)}."
    )
    parts = f", in {s['parts']} parts with a warm-up each" if s.get("parts", 1) > 1 else ""
    integrated = "People's latent functions were integrated out, and parameters drawn with NUTS "
    model = e.models.get(str(e.main))
    if isinstance(model, JointSpec) and _sampled(model, set(e.parameters.get(str(e.main), []))):
        integrated = "People's latent functions and parameters were drawn with NUTS "
    return (
        f"{integrated}({short('hoffman2014')}) by nutpie {installed('nutpie')}, on a density that nssi-bayes "
        f"compiles; priors and transforms are those of PyMC {installed('pymc')} ({short('abrilpla2023')}). "
        f"{s.get('chains', '–')} chains of {s.get('draws', '–')} draws after {s.get('tune', '–')} of "
        f"warm-up{parts} were run, root seed {e.params.seed}. We asked of every reported quantity for "
        "rank-normalised R-hat under 1.01 and 400 effective draws in bulk and tail "
        f"({short('vehtari2021')}; ArviZ, {short('kumar2019')}), of the ends of printed intervals for 1000, "
        f"and for no divergence. Largest R-hat of the model shown: {number(s.get('max_rhat'), 3)}; fewest "
        f"effective draws: {number(s.get('min_ess_bulk'), 0)} in bulk, {number(s.get('min_ess_tail'), 0)} in "
        f"the tails. {verdict}"
    )


def decisions(e: Evidence) -> str:
    """Return the sentences on the comparison of models, intervals and verdicts.

    Parameters
    ----------
    e : Evidence
        With a joint model.
    """
    return (
        f"Models are compared by participant-level {_left_out(e)}, latents integrated out "
        f"({short('merkle2019')}; {short('vehtari2017')}). Differences of elpd under 4 are too small to tell "
        "models apart, larger ones are read with their "
        f"standard error ({short('sivula2020')}); stacking weights ({short('yao2018')}) are no "
        f"probabilities of models.{_doubted(e)} "
        f"Estimates are posterior means with {e.params.interval:.0%} equal-tailed intervals. A direction "
        "is reported when "
        f"the interval leaves 0 out; the region of practical equivalence is ±{number(e.params.rope)} "
        f"({short('kruschke2018')}). Reporting follows BARG ({short('kruschke2021')})."
    )


def _left_out(e: Evidence) -> str:
    """Say whether people were left out one by one or in folds, as the comparison tells."""
    warnings = (e.notes or {}).get("warnings", [])
    folds = next((found[1] for found in map(_FOLDS.match, warnings) if found), None)
    if folds is not None:
        return f"{folds} cross-validation"
    again = next((f" ({w})" for w in warnings if w.startswith("people over the k-hat limit were")), "")
    return f"leave-one-out cross-validation by Pareto-smoothed importance sampling{again}"


def _doubted(e: Evidence) -> str:
    """Say that differences are not to be trusted, where the comparison says so."""
    verdicts = [] if e.table is None else [str(v) for v in e.table["verdict"]]
    doubted = next((v for v in verdicts if v.startswith("not trusted: ")), None)
    return "" if doubted is None else f" Here differences are {doubted}."


def _sampled(model: JointSpec, has: set[str]) -> bool:
    """Return whether functions were sampled: an outcome beside few functions is integrated with them."""
    curved = bool(link(has) and len(model.functions) > MOST_BESIDE)
    return model.explicit or curved or "w_some" in has


def link(has: set[str]) -> str:
    """Return what priors of an outcome that is not Gaussian end with, or nothing.

    Parameters
    ----------
    has : set of str
        Parameters of a model.
    """
    if "w" not in has or "sigma_outcome" in has:
        return ""
    return "_log" if "dispersion" in has else "_logit"
