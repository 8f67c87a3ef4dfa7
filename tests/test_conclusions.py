"""What counts as a conclusion, of posteriors and between revisions: ladders, spread and item bias, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from designs import small_cohort, small_spec
from ladders import ladder, mixed_cohort
from nssi_bayes import names as n
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build
from nssi_bayes.check.bias import MODERATE
from nssi_bayes.report import against
from nssi_bayes.sensitivity.conclusions import by_chance, changes, conclusions

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
    assert {(row["then"], row["now"]) for row in rows} == {
        ("no evidence either way", "positive, a direction")
    }


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
