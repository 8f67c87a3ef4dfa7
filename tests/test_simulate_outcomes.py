"""Response and frequency of the invented people: what the constants say, and nothing else is changed."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.families import bernoulli, negative_binomial
from nssi_bayes.integrate.curve import derivatives
from nssi_bayes.outcome import Outcome
from nssi_bayes.simulate.outcomes import draw_outcomes, write_outcomes
from nssi_bayes.simulate.parameters import read_constants

PUBLISHED: dict[str, Any] = {name: constant.value for name, constant in read_constants().items()}
PEOPLE = 4000


def people() -> xr.Dataset:
    rng = np.random.default_rng(1)
    return xr.Dataset(
        {
            "x": ((n.PARTICIPANT, n.FACTOR), rng.standard_normal((PEOPLE, 2))),
            "eta": ((n.PARTICIPANT, n.FUNCTION), rng.standard_normal((PEOPLE, 3))),
        },
        coords={
            n.PARTICIPANT: [f"sub-{i:04d}" for i in range(PEOPLE)],
            n.FACTOR: ["trauma", "attachment"],
            n.FUNCTION: ["a", "b", "c"],
        },
    )


def test_outcomes_are_what_the_constants_say() -> None:
    """The score of the likelihood at the truth is 0, within its standard error, along every slope."""
    who = people()
    drawn = draw_outcomes(np.random.default_rng(2), who, published=PUBLISHED)
    columns = np.column_stack([np.ones(PEOPLE), who["x"].to_numpy(), who["eta"].to_numpy()])
    for kind, value in (("response", drawn["response"]), ("days", drawn["nssi_days"])):
        slopes = [PUBLISHED[f"{kind}_level"], *PUBLISHED[f"{kind}_factor"].values()]
        mu = columns @ [*slopes, *[PUBLISHED[f"{kind}_function"]] * 3]
        y = value.to_numpy().astype(float)
        curve = bernoulli.curve(y)
        if kind == "days":
            months = drawn["months_observed"].to_numpy().astype(float)
            curve = negative_binomial.curve(y, months, PUBLISHED["days_dispersion"])
        first, second = derivatives(curve, mu)
        score, information = columns.T @ first, columns.T @ (second[:, None] * columns)
        assert float(score @ np.linalg.solve(information, score)) < 28.0  # chi-square of 6, .9999
    assert (drawn["nssi_days"] <= 30 * drawn["months_observed"]).all()
    assert 0.02 < (drawn["nssi_days"] == 0).mean() < 0.3


def test_the_file_is_one_that_a_study_can_name(tmp_path: Path) -> None:
    (tmp_path / "phenotype").mkdir()
    write_outcomes(tmp_path, people(), rng=np.random.default_rng(3), published=PUBLISHED)
    table = pd.read_csv(tmp_path / "phenotype" / "outcomes.tsv", sep="\t")
    assert list(table) == ["participant_id", "response", "nssi_days", "months_observed"]
    assert 0.95 * PEOPLE < len(table) < PEOPLE
    Outcome.model_validate(
        {"column": "nssi_days", "family": "negative_binomial", "exposure": "months_observed"}
    )
