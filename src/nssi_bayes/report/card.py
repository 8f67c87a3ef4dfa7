"""The card of a model: what it is for, what it rests on, what it cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nssi_bayes.report.varying import by_disorder
from nssi_bayes.report.words import number, pretty
from nssi_bayes.spec import ConventionalSpec, JointSpec, ModelSpec, RepeatedSpec

__all__ = ["card"]

_NOT_CERTIFIED: Final = "> **Not certified.** Its numbers are not to be believed."
_USE: Final = """## Intended use

To describe, in a research cohort, how functions of non-suicidal self-injury go with diagnoses, trauma,
attachment, regional activation and severity; to compare models of it.

**Not a clinical device.** Not for diagnosis, for the risk of a person, or for the choice of a treatment.
Nothing in it is validated for a decision about one person."""
_LIMITS: Final = """## Limits

- Associations only; nothing here says what would happen if something were different.
- Where all people self-injure it says nothing about risk; people in treatment are selected.
- With fewer than about 60 people in a disorder its differences are mostly the prior.
- It is not known to hold in other cohorts, ages or languages of the instruments."""


def card(model: str, spec: ModelSpec, checks: Mapping[str, Any], *, title: str) -> str:
    """Return a model's card.

    Parameters
    ----------
    model : str
        ``question/name``.
    spec : ModelSpec
        Its specification.
    checks : mapping
        As ``checks.json``.
    title : str
        Of the study.

    Returns
    -------
    str
        Markdown, without a count of people.
    """
    training = checks.get("training", {})
    lines = [
        f"# {model}",
        "",
        *(["> Synthetic data: the people are invented.", ""] if checks.get("synthetic") else []),
        *([] if checks.get("certified") else [_NOT_CERTIFIED, ""]),
        f"{spec.description[:1].upper()}{spec.description[1:].rstrip('.')}.",
        "",
        _USE,
        "",
        "## Model",
        "",
        *_about(spec),
        "",
        "## Data",
        "",
        f"- Study: {title or 'not named'}.",
        f"- Parts of the data: {', '.join(pretty(b) for b in training.get('blocks', [])) or 'not told'}.",
        "- Missing responses, factors and scans are taken to be missing at random, given what was observed.",
        "",
        "## Checks",
        "",
        *_verdicts(checks),
        "",
        _LIMITS,
        "",
        "## To cite and to make again",
        "",
        f"- `nssi-bayes cite {model.split('/')[0]}` prints BibTeX.",
        f"- `dvc repro check@{model}` makes it again.",
        f"- Fingerprint: `{checks.get('fingerprint', 'not told')}`.",
    ]
    return "\n".join(lines) + "\n"


def _about(spec: ModelSpec) -> list[str]:
    if isinstance(spec, ConventionalSpec):
        return [
            "- Sum scores and a formula in Bambi: the field's practice, the baseline.",
            f"- Outcome: {pretty(spec.outcome)}.",
        ]
    if isinstance(spec, RepeatedSpec):
        own = " and of every occasion" if spec.occasion_effect else ""
        return [
            f"- A count of {len(spec.occasions)} occasions in Bambi, with an effect of every person{own}.",
            f"- Outcome: {pretty(spec.outcome)}, {pretty(spec.family)}.",
        ]
    return [
        f"- Functions: {', '.join(pretty(f) for f in spec.functions)}.",
        f"- Psychosocial factors: {', '.join(_factor(spec, f) for f in spec.factors) or 'none'}.",
        f"- By disorder vary: {', '.join(by_disorder(spec)) or 'nothing'}.",
        *_groups(spec),
        f"- Changed priors: {', '.join(spec.priors) or 'none'}.",
    ]


def _groups(spec: JointSpec) -> list[str]:
    if spec.groups is None:
        return []
    return [f"- Groups: by {spec.groups.by}, at the {spec.groups.invariance} rung of measurement invariance."]


def _factor(spec: JointSpec, factor: str) -> str:
    items = spec.factor_items.get(factor, ())
    return f"{pretty(factor)} (items of {', '.join(map(pretty, items))})" if items else pretty(factor)


def _verdicts(checks: Mapping[str, Any]) -> list[str]:
    s = checks.get("sampling", {})
    failed = [pretty(c["name"]) for c in checks.get("checks", []) if c["passed"] is False]
    return [
        f"- Certified: {'yes' if checks.get('certified') else 'no'}.",
        (
            f"- Largest R-hat {number(s.get('max_rhat'), 3)}, fewest effective draws "
            f"{number(s.get('min_ess_bulk'), 0)} in bulk and {number(s.get('min_ess_tail'), 0)} in tails, "
            f"divergences {s.get('divergences', '–')}."
        ),
        f"- Failed: {', '.join(failed) or 'none'}.",
    ]
