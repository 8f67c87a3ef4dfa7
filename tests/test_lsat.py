"""Five yes-no items of the Law School Admission Test: the published maximum, by the sampler's own integral.

Patterns of 1 000 people: Bock & Lieberman 1970 (10.1007/BF02291262), section 6. Estimates of the
two-parameter logistic model: Rizopoulos 2006 (10.18637/jss.v017.i05) and the manual of his package ltm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cohort import make_cohort
from scipy.optimize import minimize
from scipy.special import logit

from designs import small_spec
from nssi_bayes import names as n
from nssi_bayes.build import Built, build
from nssi_bayes.fit.density import compile_density, likelihood_of

PEOPLE = {
    "00000": 3, "00001": 6, "00010": 2, "00011": 11, "00100": 1, "00101": 1, "00110": 3, "00111": 4,
    "01000": 1, "01001": 8, "01011": 16, "01101": 3, "01110": 2, "01111": 15, "10000": 10, "10001": 29,
    "10010": 14, "10011": 81, "10100": 3, "10101": 28, "10110": 15, "10111": 80, "11000": 16, "11001": 56,
    "11010": 21, "11011": 173, "11100": 11, "11101": 61, "11110": 28, "11111": 298,
}  # fmt: skip
MAXIMUM = -2466.653
DISCRIMINATION = [0.825, 0.723, 0.890, 0.689, 0.657]
DIFFICULTY = [-3.360, -1.370, -0.280, -1.866, -3.124]

type Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def built() -> Built:
    answers = np.repeat([[int(a) for a in pattern] for pattern in PEOPLE], list(PEOPLE.values()), axis=0)
    cohort = make_cohort(
        np.random.default_rng(0), len(answers), subscales={"ability": range(1, 6)}, categories=2,
        reliability={},
    )  # fmt: skip
    cohort = cohort.drop_dims([n.COVARIATE, n.FACTOR, n.OUTCOME])
    cohort[n.RESPONSE][:] = answers.astype(float)
    cohort[n.SITE_OF][:] = "A"
    spec = small_spec(
        functions={"ability": ["ability"]}, measurement={"keep_items": ["ability"]}, factors=[], disorder={}
    )
    return build(spec, cohort)


def test_the_maximum_of_the_likelihood_is_the_published_one(built: Built) -> None:
    density, likelihood = compile_density(built), likelihood_of(built, np.arange(sum(PEOPLE.values())))

    def loss(x: Array) -> tuple[float, Array]:
        value, slope = likelihood(x)
        return -value, -slope

    found = minimize(
        loss, density.start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "maxiter": 999}
    )
    assert -found.fun == pytest.approx(MAXIMUM, abs=2e-3)
    at = {name: value[0] for name, value in density.constrain(found.x[None]).items()}
    np.testing.assert_allclose(at["lambda"], DISCRIMINATION, atol=2e-3)
    threshold = logit(at["category_probability_2"][:, 0])  # of a person at 0
    np.testing.assert_allclose(threshold / at["lambda"], DIFFICULTY, atol=5e-3)
