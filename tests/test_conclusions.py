"""What counts as a conclusion, of posteriors and between revisions: ladders, spread and item bias, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from cohort import add_terms
from scipy import stats

from designs import full_cohort, joint_spec, prior_tree, small_cohort, small_spec
from folders import params
from ladders import ladder, mixed_cohort
from nssi_bayes import names as n
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build
from nssi_bayes.calibrate.reliability import statements
from nssi_bayes.check import estimates
from nssi_bayes.check.bias import MODERATE
from nssi_bayes.check.levels import Met
from nssi_bayes.report import against
from nssi_bayes.sensitivity.conclusions import SUMMED_UP, by_chance, changes, conclusions

type Array = np.ndarray[Any, Any]
SHAPE = (4, 1000)


def _draws(built: Built) -> tuple[dict[str, Array], xr.Dataset]:
    """Return draws from a prior, and the same with labels, as of one chain."""
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(1), 40)
    values = {k: v @ v.mT if k.startswith("Omega") else v for k, v in theta.items()}
    return values, label({k: v[None] for k, v in values.items()}, built.parameters, built.design)


def test_means_sds_and_correlations_of_groups_are_conclusions() -> None:
    values, draws = _draws(build(ladder("scalar"), mixed_cohort()))
    found = conclusions(draws)
    np.testing.assert_array_equal(found["level_group[B, outer]"][0], values["level_group"][:, 0, 1])
    np.testing.assert_allclose(
        found["log spread_group[B, inner]"][0], np.log(values["spread_group"][:, 0, 0])
    )
    np.testing.assert_array_equal(found["Omega_group_B[outer, inner]"][0], values["Omega_group_B"][:, 1, 0])
    assert sum(name.startswith("Omega") for name in found) == 3


def test_a_model_of_which_no_parameter_has_functions_has_conclusions_as_met() -> None:
    """One function, one site, no covariate, no factor, and nothing varies by disorder."""
    cohort = small_cohort(60).drop_dims(n.COVARIATE)
    cohort[n.SITE_OF] = (n.PARTICIPANT, np.full(60, "A"))
    spec = small_spec(
        functions={"one": ["affect_regulation", "anti_dissociation", "marking_distress"]},
        factors=[], disorder={"levels": False},
    )  # fmt: skip
    built = build(spec, cohort)
    _, draws = _draws(built)
    assert n.FUNCTION not in draws.coords
    labels, rng = built.design.coords, np.random.default_rng(2)
    met = Met(rng.standard_normal((40, 5, 1)), rng.standard_normal((40, 10, 1)))
    found = conclusions(draws, met, disorders=labels[n.DISORDER], functions=labels[n.FUNCTION])
    assert len(found) == 15
    assert "level as_met[mood, one]" in found


def test_spread_by_disorder_is_a_conclusion() -> None:
    values, draws = _draws(build(small_spec(disorder={"levels": True, "spread": True}), small_cohort(60)))
    found = conclusions(draws)
    disorders, functions = (draws[d].to_numpy() for d in (n.DISORDER, n.FUNCTION))
    name = f"h[{disorders[1]}, {functions[0]}]"
    np.testing.assert_array_equal(found[name][0], values["h"][:, 0, 1])
    assert sum(k.startswith("h[") for k in found) == len(disorders) * len(functions)


def test_biases_that_a_report_states_are_conclusions_and_stay_so_in_a_refit() -> None:
    _, draws = _draws(build(small_spec(measurement={"bias": "dense"}), small_cohort(60)))
    delta = 0.05 * draws["delta"] / float(np.abs(draws["delta"]).max())
    draws["delta"] = delta
    assert not [name for name in conclusions(draws) if name.startswith("delta")]
    delta[:, :, 1, 2] = 2 * MODERATE
    (name,) = (name for name in conclusions(draws) if name.startswith("delta"))
    indicator, disorder = (draws[d].to_numpy()[i] for d, i in ((n.BIASED_INDICATOR, 1), (n.DISORDER, 2)))
    assert name == f"delta[{indicator}, {disorder}]"
    delta[:, :, 1, 2] = 0.0
    assert name in conclusions(draws, also=[name])
    assert name not in conclusions(draws)


def test_groups_spread_and_bias_are_compared_between_revisions() -> None:
    sure = {"mean": 0.5, "low": 0.3, "high": 0.7, "sd": 0.1, "p_positive": 1.0}
    open_ = {**sure, "mean": 0.1, "p_positive": 0.7}
    biased = {"indicator": "isas_01", "disorder": "mood"}
    little = {"indicator": "isas_02", "disorder": "mood", "p_moderate": 0.1}
    now, then = (
        {
            "interval": 0.9, "rope": 0.2,
            "groups": [{"what": "mean", "group": "B", "function": "inner", **row}],
            "spread": [{"disorder": "mood", "function": "inner", **row}],
            "item_bias": [{**biased, "p_moderate": likely, **row}, {**little, **row}],
        }
        for row, likely in ((sure, 0.9), (open_, 0.2))
    )  # fmt: skip
    rows = against.conclusions(now, then)
    assert {row["what"] for row in rows} == {
        "groups: mean, B, inner", "spread: mood, inner", "item bias: isas 01, mood",
    }  # fmt: skip
    assert {(row["then"], row["now"]) for row in rows} == {("not settled", "positive, a direction")}


def test_how_many_conclusions_change_from_run_to_run_is_foreseen() -> None:
    rng, rope, interval = np.random.default_rng(17), 0.2, 0.9
    means = stats.norm.ppf(np.linspace(0.02, 0.98, 200)) * 1.5  # some near 0, some near a limit

    def run() -> dict[str, Array]:
        noise = rng.standard_normal((len(means), *SHAPE))
        for i in range(1, SHAPE[1]):  # chains that remember, so that a draw counts for a third
            noise[..., i] = 0.5 * noise[..., i - 1] + np.sqrt(0.75) * noise[..., i]
        return {f"c{k}": mean + noise[k] for k, mean in enumerate(means)}

    runs = [run() for _ in range(5)]
    foreseen = np.mean([by_chance(one, interval=interval, rope=rope) for one in runs])
    pairs = [(a, b) for a in range(5) for b in range(a)]
    seen = [changes(runs[a], runs[b], interval=interval, rope=rope)["changed"] for a, b in pairs]
    assert 0.6 < np.mean(seen) / foreseen < 1.6, (np.mean(seen), foreseen)
    far = {"c": 5 + rng.standard_normal(SHAPE)}
    assert by_chance(far, interval=interval, rope=rope) < 1e-6
    assert by_chance({}, interval=interval, rope=rope) == 0


def _of_groups(r: dict[str, Any]) -> str:
    kind = {"mean": "level_group", "log_sd": "log spread_group"}.get(r["what"])
    group, function = r["group"], r["function"]
    of_group = "Omega" if group == "A" else f"Omega_group_{group}"  # the first group has the model's own
    return f"{kind}[{group}, {function}]" if kind else f"{of_group}[{r['other']}, {function}]"


def _of_outcome(r: dict[str, Any], known: set[str]) -> str:
    end = "_some" if r.get("part") == "any" else ""
    term = r["term"]
    names = [f"{kind}{end}[{term}]" for kind in ("w", "q", "d", "theta")]
    names += [f"v{end}[{term.removesuffix('_activation')}]", f"{term}{end}"]
    names.append(f"phi{end}[{', '.join(term.split(n.TIMES)[::-1])}]")
    return next((name for name in names if name in known), names[0])


def _of_levels(r: dict[str, Any]) -> str:
    kind = "A" if r["estimand"] == "adjusted" else "level as_met"
    return f"{kind}[{r['disorder']}, {r['function']}]"


_NAMES: dict[str, Any] = {
    "levels": _of_levels,
    "contrasts": lambda r: f"contrast {r['estimand']}[{r['disorder']} - {r['other']}, {r['function']}]",
    "heterogeneity": lambda r: (
        f"largest difference, {r['term']}[{', '.join(x for x in (r['function'], r['detail']) if x)}]"
    ),
    "slopes": lambda r: f"B[{r['function']}, {r['factor']}]",
    "outcome_by_disorder": lambda r: f"outcome slope by disorder[{r['function']}, {r['disorder']}]",
    "slopes_by_disorder": lambda r: f"slope by disorder[{r['function']}, {r['factor']}, {r['disorder']}]",
    "correlations": lambda r: f"Omega[{r['other']}, {r['function']}]",
    "networks": lambda r: f"L_network[{r['network']}, {r['function']}]",
    "network_pairs": lambda r: f"L_pair[{r['network_pair']}, {r['function']}]",
    "item_bias": lambda r: f"delta[{r['indicator']}, {r['disorder']}]",
    "spread": lambda r: f"h[{r['disorder']}, {r['function']}]",
    "skewness": lambda r: f"skewness[{r['function']}]",
    "groups": _of_groups,
    "pathways": lambda r: f"pathway[{r['pathway']}]",
}
_TOLD_BY_OTHERS = {"levels", "rois_by_disorder", "measurement", "projection"}
"""Parts that are not compared one by one between revisions: contrasts, networks and heterogeneity are."""
_PRINTABLE = {
    "circuits": (joint_spec(outcome="severity"), full_cohort(30)),
    "treatment": (
        joint_spec(
            "outcome/joint",
            outcome_from={"treatment": ["therapy", "dose"], "baseline": True, "activation": True},
            disorder={"levels": True, "outcome": True},
        ),
        add_terms(full_cohort(30), np.random.default_rng(3)),
    ),
    "roots": (joint_spec("heterogeneity/disorder_roots"), full_cohort(30)),
    "spread and bias": (
        small_spec(disorder={"levels": True, "spread": True}, measurement={"bias": "dense"}),
        small_cohort(30),
    ),
    "skewed": (joint_spec("structure/skewed"), full_cohort(30)),
    "ladder": (ladder("scalar"), mixed_cohort()),
}


def _printed(model: str) -> tuple[dict[str, Any], xr.Dataset, dict[str, Array]]:
    """Return what a page prints, the draws that it rests on, and conclusions; draws are of the prior."""
    spec, cohort = _PRINTABLE[model]
    built = build(spec, cohort)
    tree, design, rng = prior_tree(built), built.design, np.random.default_rng(3)
    disorders, functions = (len(design.coords[d]) for d in (n.DISORDER, n.FUNCTION))
    pairs = disorders * (disorders - 1) // 2
    met = Met(*(rng.standard_normal((100, k, functions)) for k in (disorders, pairs)))
    spread = np.ones((100, functions))
    found = estimates.estimate(tree, design, spread, met, params=params(), cohort=cohort)
    draws = tree["posterior"].to_dataset()
    return found, draws, conclusions(draws, met, disorders=design.coords[n.DISORDER])


@pytest.mark.parametrize("model", _PRINTABLE)
def test_conclusions_are_what_a_report_prints(model: str) -> None:
    """Every row of estimates.json is a conclusion, or its part says which other part sums it up."""
    found, _, concluded = _printed(model)
    known = set(concluded)
    rows = {part: rows for part, rows in found.items() if isinstance(rows, list) and rows}
    assert set(SUMMED_UP.values()) - {""} <= set(_NAMES)
    expected = set()
    for part, each in rows.items():
        if part not in SUMMED_UP:
            names = [_of_outcome(r, known) if part == "outcome" else _NAMES[part](r) for r in each]
            likely = [part != "item_bias" or r["p_moderate"] > 0.5 for r in each]
            expected |= {name for name, keep in zip(names, likely, strict=True) if keep}
    assert expected <= known, expected - known
    assert {name.split("[")[0] for name in known - expected} <= {"level_burden"}
    assert set(rows) - set(against._JUDGED) <= _TOLD_BY_OTHERS
    for part in set(rows) & set(against._KEYS):
        assert len(against._pairs(part, found, found)) == (
            len(rows[part]) if part != "item_bias" else sum(r["p_moderate"] > 0.5 for r in rows[part])
        )


def test_what_is_printed_of_all_of_them_is_there() -> None:
    """The models above print every part, but for what only a fit has."""
    parts = {part for model in _PRINTABLE for part, rows in _printed(model)[0].items() if rows}
    assert {p for p in set(estimates.PARTS) - parts if not p.startswith("pathways")} <= {"projection"}


def test_the_largest_difference_of_a_network_is_that_of_its_mean_loadings() -> None:
    found, draws, known = _printed("circuits")
    row = next(r for r in found["heterogeneity"] if r["term"] == "loadings")
    values = known[f"largest difference, loadings[{row['function']}, {row['detail']}]"]
    assert values.mean() == pytest.approx(row["posterior"]["largest"]["mean"])
    assert (np.abs(values) > 0.2).mean() == pytest.approx(row["p_over_rope"])
    assert not any(name.startswith(("L_disorder", "L_edge_disorder")) for name in known)
    said = statements(draws, draws.isel(chain=[0], draw=[0]), rope=0.2)
    sizes, directions = (len(said[kind]["stated"]) for kind in ("size", "direction"))
    unsigned = sum(name.startswith("largest difference") for name in conclusions(draws))
    assert sizes - directions == unsigned > 0


def test_heterogeneity_is_compared_between_revisions_without_a_sign() -> None:
    row = {"term": "loadings", "function": "inner", "detail": "salience"}
    span = {"finite_sd": {}, "largest": {"mean": 0.4, "low": 0.3, "high": 0.5}, "tau": {}}
    now, then = (
        {"interval": 0.9, "rope": 0.2, "heterogeneity": [{**row, "posterior": span, "p_over_rope": p}]}
        for p in (0.99, 0.5)
    )
    (found,) = against.conclusions(now, then)
    assert found == {
        "what": "heterogeneity: loadings, inner, salience",
        "then": "not settled", "now": "beyond the ROPE",
    }  # fmt: skip
