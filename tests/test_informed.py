"""Priors from published estimates: exact, robust, and those of the shelf."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats
from scipy.special import expit
from typer.testing import CliRunner

from designs import small_spec
from nssi_bayes import cli
from nssi_bayes.errors import SpecError
from nssi_bayes.priors.published import Foreseen, as_yaml, foresee, informative
from nssi_bayes.priors.studies import Published, read_published
from nssi_bayes.spec import parse, read_priors

SHELF = files("nssi_bayes.priors")
EVENTS = (23, 12, 19, 9, 39, 6, 9, 10)
PEOPLE = (107, 44, 51, 39, 139, 20, 78, 35)
"""Eight historical trials in ankylosing spondylitis (RBesT, 10.18637/jss.v100.i19)."""


def _published(studies: list[dict[str, Any]], **changes: Any) -> Published:
    content = {"heterogeneity": 1.0, "sigma": 2.0, "studies": studies, **changes}
    return parse(Published, content, where="test")


@pytest.fixture(scope="module")
def trials() -> tuple[Published, Foreseen]:
    counts = zip(EVENTS, PEOPLE, strict=True)
    published = _published([{"study": f"{i}", "events": r, "people": n} for i, (r, n) in enumerate(counts)])
    return published, foresee(published)


def test_the_published_anchor_of_eight_trials(trials: tuple[Published, Foreseen]) -> None:
    """The anchor is a simulation of some 1 000 effective draws: .04 sd of error, and more at the ends."""
    _, found = trials
    mean, sd = found.of_events()
    assert mean == pytest.approx(0.255, abs=0.006)
    assert sd == pytest.approx(0.086, abs=0.004)
    assert found.tau == pytest.approx((0.387, 0.215), abs=0.012)
    ends = [float(expit(found.quantile(p))) for p in (0.025, 0.975)]
    assert ends == pytest.approx([0.106, 0.461], abs=0.013)


def test_counts_are_integrated_as_by_brute_force(trials: tuple[Published, Foreseen]) -> None:
    """On a grid of tau and beta, effects by Gauss-Hermite, which is no code of ours."""
    nodes, weight = np.polynomial.hermite_e.hermegauss(61)
    tau, beta = np.meshgrid(np.linspace(0.005, 2.5, 200), np.linspace(-3, 1, 200), indexing="ij")
    log_density = -0.5 * tau**2 - 0.5 * (beta / 2) ** 2
    p = expit(beta[..., None] + tau[..., None] * nodes)
    for r, n in zip(EVENTS, PEOPLE, strict=True):
        log_density += np.log((p**r * (1 - p) ** (n - r)) @ weight)
    mass = np.exp(log_density - log_density.max())
    mass /= mass.sum()
    _, found = trials
    mean, average = (mass * tau).sum(), (mass * beta).sum()
    assert found.tau == pytest.approx((mean, np.sqrt((mass * (tau - mean) ** 2).sum())), abs=0.003)
    spread = np.sqrt((mass * (tau**2 + (beta - average) ** 2)).sum())
    assert found.moments == pytest.approx((average, spread), abs=0.003)


def test_estimates_are_integrated_as_on_a_grid_of_two_dimensions() -> None:
    y, se = np.array([0.3, 0.1, 0.45]), np.array([0.1, 0.05, 0.2])
    rows = [{"study": f"{a}", "estimate": a, "se": b} for a, b in zip(y, se, strict=True)]
    found = foresee(_published(rows, heterogeneity=0.3, mu=0.1, sigma=0.5))
    tau, beta = np.meshgrid(np.linspace(0.0005, 1.5, 1000), np.linspace(-1.5, 2, 701), indexing="ij")
    log_density = stats.halfnorm.logpdf(tau, scale=0.3) + stats.norm.logpdf(beta, 0.1, 0.5)
    for a, b in zip(y, se, strict=True):
        log_density += stats.norm.logpdf(a, beta, np.sqrt(b**2 + tau**2))
    mass = np.exp(log_density - log_density.max())
    mass /= mass.sum()
    mean = (mass * beta).sum()
    sd = np.sqrt((mass * (tau**2 + (beta - mean) ** 2)).sum())
    assert found.moments == pytest.approx((mean, sd), abs=1e-3)
    assert found.tau[0] == pytest.approx((mass * tau).sum(), abs=1e-3)
    for p in (0.025, 0.5, 0.975):
        q = found.quantile(p)
        assert (mass * stats.norm.cdf((q - beta) / tau)).sum() == pytest.approx(p, abs=1e-3)


def test_the_mixture_has_the_moments_and_the_robust_part(trials: tuple[Published, Foreseen]) -> None:
    published, found = trials
    mixture = informative(found, published)
    assert sum(mixture.weight) == pytest.approx(1)
    assert (mixture.weight[-1], mixture.mu[-1]) == (0.2, 0.0)
    assert mixture.sigma[-1] == pytest.approx(np.sqrt(2.0**2 + 1.0**2))
    weight, mu, sigma = (np.array(v[:-1]) for v in (mixture.weight, mixture.mu, mixture.sigma))
    weight = weight / weight.sum()
    mean = weight @ mu
    assert mean == pytest.approx(found.moments[0], abs=0.01)
    assert np.sqrt(weight @ (sigma**2 + (mu - mean) ** 2)) == pytest.approx(found.moments[1], rel=0.02)
    for q in (-2.5, -1.5, -1.0, 0.0):
        assert weight @ stats.norm.cdf((q - mu) / sigma) == pytest.approx(found.below(q)[0], abs=0.005)


def test_the_robust_part_takes_over_where_data_disagree() -> None:
    rows = [{"study": "a", "estimate": 0.5, "se": 0.02}, {"study": "b", "estimate": 0.52, "se": 0.02}]
    posterior = []
    for robust in (0.0, 0.2):
        published = _published(rows, robust=robust, heterogeneity=0.1, sigma=0.5)
        m = informative(foresee(published), published)
        x = np.linspace(-2, 2, 4001)[:, None]
        mass = (stats.norm.pdf(x, m.mu, m.sigma) @ m.weight) * stats.norm.pdf(-0.3, x[:, 0], 0.15)
        posterior.append(float((x[:, 0] * mass).sum() / mass.sum()))
    assert posterior[1] < posterior[0] - 0.1


def test_odds_ratios_and_correlations_become_slopes() -> None:
    rows = [
        {"study": "abuse", "odds_ratio": 3.03, "low": 2.56, "high": 3.54},
        {"study": "r", "correlation": 0.29, "people": 103},
    ]
    (slope, se), (other, its) = (s.normal for s in _published(rows).studies)
    assert 2 * slope == pytest.approx(0.61, abs=0.005)  # d, as in the literature
    assert slope / np.sqrt(1 + slope**2) == pytest.approx(0.29, abs=0.005)  # r
    assert se == pytest.approx(np.log(3.54 / 2.56) / 3.92 * np.sqrt(3) / np.pi / 2, rel=1e-3)
    assert other == pytest.approx(0.29 / np.sqrt(1 - 0.29**2))
    assert its == pytest.approx(0.1 / np.sqrt(1 - 0.29**2), rel=1e-6)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"study": "a", "estimate": 1.0}], "one of these ways"),
        ([{"study": "a", "odds_ratio": 3, "low": 4, "high": 5}], "not within its interval"),
        ([{"study": "a", "events": 9, "people": 8}], "more than people"),
        ([{"study": "a", "events": 9, "people": 18}, {"study": "b", "estimate": 1, "se": 1}], "all of them"),
        ([{"study": "a", "estimat": 1.0, "se": 2}], "did you mean"),
    ],
)
def test_what_cannot_be_understood_is_refused(rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(SpecError, match="(?i)" + said):
        _published(rows)


def test_the_shelf_is_what_its_evidence_gives() -> None:
    informed = yaml.safe_load(SHELF.joinpath("informed.yaml").read_text(encoding="utf-8"))
    there = {f.name.removesuffix(".yaml") for f in SHELF.joinpath("evidence").iterdir()}
    assert {name for name, p in informed.items() if p["family"] == "mixture"} == there
    for name in there:
        published = read_published(Path(str(SHELF.joinpath("evidence", f"{name}.yaml"))))
        printed = yaml.safe_load(as_yaml(published))[name]
        for key in ("weights", "mus", "sigmas"):  # the last digit may be another machine's
            np.testing.assert_allclose(printed[key], informed[name][key], atol=2e-3, err_msg=f"{name}: {key}")
        assert informed[name]["unit"] == published.unit == read_priors()[name].unit
    assert set(informed) <= set(read_priors())


def test_the_command_reads_a_table_beside_its_file(tmp_path: Path) -> None:
    (tmp_path / "studies.csv").write_text("study,estimate,se,events,people\na,.2,.1,,\nb,.3,.1,,\n")
    (tmp_path / "one.yaml").write_text("heterogeneity: 0.2\nsigma: 0.5\nparameter: q\ntable: studies.csv\n")
    done = CliRunner().invoke(cli.app, ["priors", "map", str(tmp_path / "one.yaml")])
    assert done.exit_code == 0, done.output
    prior = yaml.safe_load(done.output)["q"]
    changed = read_priors(small_spec(priors={"q": prior}).priors)["q"]
    assert changed.family == "mixture"
    assert sum(changed.weights or ()) == pytest.approx(1)
