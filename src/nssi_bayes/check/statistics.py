"""What is compared between the data and data that a model draws: vectors of statistics by check.

Every statistic is of the whole cohort or of a group of people, never of one person, and quantiles
are left out because a quantile is somebody's value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.check.rootograms import each_shown, shown

__all__ = ["ABOUT", "Statistics", "person_columns"]

_TAIL: Final = (2, 4)
"""Multiples of the cohort's mean count over which the tail of counts is looked at."""
FEWEST_TOGETHER: Final = 20
"""People with both columns that a correlation needs."""

ABOUT: Final = {
    "item_histogram": "share of each response, by indicator",
    "item_histogram_by_disorder": "share of each response, by indicator and disorder",
    "item_floor": "share at the lowest response: each indicator, and people who are there on all",
    "sum_score": "mean, sd, skewness and kurtosis of the sum score of each function",
    "item_pairs": "correlation of each pair of indicators (observed less expected: what is left)",
    "score_moments": "mean, sd, skewness and kurtosis of each continuous indicator",
    "score_pairs": "correlation of each pair of continuous indicators, and of each with each ordinal one",
    "score_disorder_means": "people with a disorder less the others, by continuous indicator",
    "disorder_means": "people with a disorder less the others: sum scores, factors, outcome",
    "factor_moments": "mean, sd, skewness and correlations of the factor scores",
    "roi_mean": "mean of each region",
    "roi_sd": "sd of each region",
    "roi_correlation": "correlation of each pair of regions",
    "roi_disorder_means": "people with a disorder less the others, by region",
    "edge_mean": "mean of each edge",
    "edge_sd": "sd of each edge",
    "edge_correlation": "correlation of each pair of edges",
    "between_blocks": "correlations of sum scores, factors and outcome with each other and with images",
    "outcome": "mean, sd, skewness and kurtosis of the outcome",
    "outcome_share": "share of each answer or category of the outcome",
    "outcome_counts": "zeros, tail, and mean and sd of log(1 + count) of the outcome",
    "missing_by_block": "people with a block less those without: sum scores, factors, outcome",
}
"""Checks, in order, and what each compares."""

type Array = np.ndarray[Any, Any]
type Part = tuple[Array, Array]
"""Values, and how many people stand behind each."""


def person_columns(design: Design) -> tuple[list[str], Array]:
    """Return mean responses and scores by function, factor scores and the outcome [`participant`, column].

    Parameters
    ----------
    design : Design
        The data.

    Returns
    -------
    tuple
        Labels, and values of which NaN are missing; responses, those to a factor's items among them, are
        scaled to 0 to 1, and of a count it is log(1 + count), whose differences and correlations no single
        count decides.
    """
    totals = _totals(design)
    labels, columns = [label for label, _ in totals], [values for _, values in totals]
    columns += list(np.where(design.factor_seen, design.factor, np.nan).T)
    labels += design.scored_factors
    if design.outcome_seen.any():
        columns.append(_outcome(design))
        labels.append("outcome")
    return labels, np.column_stack(columns)


class Statistics:
    """Statistics of data on one design, with labels and counts that do not change between replicates.

    Parameters
    ----------
    design : Design
        The observed data.
    min_cell : int
        A group of fewer people has no statistics of its own.
    """

    def __init__(self, design: Design, *, min_cell: int) -> None:
        has = design.diagnosis > 0
        big = (has.sum(axis=0) >= min_cell) & ((~has).sum(axis=0) >= min_cell)
        self.disorders = [str(d) for d, kept in zip(design.coords[n.DISORDER], big, strict=True) if kept]
        self._has = has[:, big]
        self._blocks = self._missing(design, min_cell)
        self._min_cell = min_cell
        counts = design.outcome[design.outcome_seen]
        self._mean_count = float(counts.mean()) if len(counts) else 0.0
        self.labels = {name: list(labels) for name, labels in self._labels(design)}

    def __call__(self, design: Design) -> dict[str, Array]:
        """Return the statistics of data on this design, by check."""
        return {name: values for name, (values, _) in self._parts(design)}

    def people(self, design: Design) -> dict[str, Array]:
        """Return how many people stand behind each statistic, of the two groups the smaller.

        Nobody stands behind a share from which, with the others of its table, that of few people follows.
        """
        found = {name: behind for name, (_, behind) in self._parts(design)}
        if design.coords[n.INDICATOR]:
            whole = self._may(design, np.ones((len(design.response), 1), dtype=bool))
            first = np.cumsum(design.categories) - design.categories
            found["item_histogram"] = np.where(whole[0], found["item_histogram"], 0)
            found["item_floor"] *= np.append(whole[0, first], True)
            if self.disorders:  # of all, less those who have it, are left those who have not
                each = whole & self._may(design, self._has) & self._may(design, ~self._has)
                found["item_histogram_by_disorder"] = np.where(
                    each.ravel(), found["item_histogram_by_disorder"], 0
                )
        if "outcome_share" in found:
            value = design.outcome[design.outcome_seen]
            count = np.array([(value == c).sum() for c in _answers(design)])
            found["outcome_share"] *= shown(count, self._min_cell)
        if design.outcome_family == n.BERNOULLI:  # the difference and the share of all give that of a group
            yes, no = ((design.outcome_seen & (design.outcome == c))[:, None] for c in (1, 0))
            for name, groups in (
                ("disorder_means", [self._has]),
                ("missing_by_block", self._blocks.values()),
            ):
                if name in found:
                    table = np.column_stack(list(groups))
                    fewest = [(g & answer).sum(axis=0) for g in (table, ~table) for answer in (yes, no)]
                    last = found[name].reshape(table.shape[1], -1)[:, -1]
                    last[:] = np.minimum(last, np.min(fewest, axis=0))
        return found

    def _may(self, design: Design, groups: Array) -> Array:
        """Return which shares of responses may be told [group, cell]."""
        return each_shown(_hits(design, groups), design.categories, self._min_cell)

    def _missing(self, design: Design, min_cell: int) -> dict[str, Array]:
        """Return who has what, where enough people have it and enough have not."""
        people = len(design.diagnosis)
        found = {}
        for name, who in (("scan", design.scanned), ("connectome", design.connected)):
            found[name] = np.isin(np.arange(people), who)
        found["outcome"] = design.outcome_seen
        found["all scores"] = design.score_seen.all(axis=1)
        found["all items"] = (design.response != design.missing_response).all(axis=1)
        if design.factor_seen.shape[1]:
            found["all factors"] = design.factor_seen.all(axis=1)
        return {k: v for k, v in found.items() if min(v.sum(), (~v).sum()) >= max(min_cell, 2)}

    def _parts(self, design: Design) -> Iterator[tuple[str, Part]]:
        (_, columns), totals = person_columns(design), len(_totals(design))
        if design.coords[n.INDICATOR]:
            yield from self._items(design)
        yield "sum_score", _shape(columns[:, :totals])
        if design.coords[n.SCORE]:
            yield from self._continuous(design)
        if self.disorders:
            yield "disorder_means", _differences(columns, self._has)
        if design.scored_factors:
            factors = columns[:, totals : totals + len(design.scored_factors)]
            parts = [_shape(factors), _correlations(factors, factors)]
            yield "factor_moments", _join(parts)
        yield from self._images(design)
        images = [v for _, v in _image_means(design)]
        yield "between_blocks", _between(columns, images)
        if design.outcome_seen.any():
            yield self._of_outcome(design, columns[:, -1])
        if self._blocks:
            yield "missing_by_block", _differences(columns, np.column_stack(list(self._blocks.values())))

    def _of_outcome(self, design: Design, column: Array) -> tuple[str, Part]:
        value, family = design.outcome[design.outcome_seen], design.outcome_family
        if family == n.GAUSSIAN:
            return "outcome", _shape(column[:, None])
        if family not in n.COUNTS:
            share = np.array([(value == c).mean() for c in _answers(design)])
            return "outcome_share", (share, np.minimum(share, 1 - share) * len(value))
        hits = [(value == 0).mean(), *((value > k * self._mean_count).mean() for k in _TAIL)]
        share, logs = np.array(hits), column[design.outcome_seen]
        rest = np.array([logs.mean(), logs.std()])
        behind = np.minimum(share, 1 - share) * len(value)
        return "outcome_counts", _join([(share, behind), (rest, np.full(2, len(value)))])

    def _items(self, design: Design) -> Iterator[tuple[str, Part]]:
        score = _scores(design)
        yield "item_histogram", self._histogram(design, np.ones((len(score), 1), dtype=bool))
        if self.disorders:
            yield "item_histogram_by_disorder", self._histogram(design, self._has)
        floor, seen = score == 0, np.isfinite(score)
        all_floor = np.where(seen.any(axis=1), (floor | ~seen).all(axis=1), np.nan)
        together = np.column_stack([np.where(seen, floor, np.nan), all_floor])
        share = _mean(together.T)
        count = np.isfinite(together).sum(axis=0)
        yield "item_floor", (share, np.minimum(share, 1 - share) * count)
        yield "item_pairs", _correlations(score, score)

    def _continuous(self, design: Design) -> Iterator[tuple[str, Part]]:
        values = _continuous(design)
        yield "score_moments", _shape(values)
        across = _correlations(_scores(design), values, below=False)
        yield "score_pairs", _join([_correlations(values, values), across])
        if self.disorders:
            yield "score_disorder_means", _differences(values, self._has)

    def _images(self, design: Design) -> Iterator[tuple[str, Part]]:
        if len(design.scanned):
            values = np.where(design.activation_seen, design.activation, np.nan)
            yield from _moments("roi", values)
            if self.disorders:
                yield "roi_disorder_means", _differences(values, self._has[design.scanned])
        if len(design.connected):
            yield from _moments("edge", np.where(design.connectivity_seen, design.connectivity, np.nan))

    def _histogram(self, design: Design, groups: Array) -> Part:
        hits, answered = _hits(design, groups), design.response != design.missing_response
        total = np.repeat(groups.T.astype(float) @ answered, design.categories, axis=1)
        share = hits / np.maximum(total, 1)
        return share.ravel(), np.minimum(hits, total - hits).ravel()

    def _labels(self, design: Design) -> Iterator[tuple[str, list[str]]]:
        items = [str(i) for i in design.coords[n.INDICATOR]]
        totals = [label for label, _ in _totals(design)]
        scores = [str(s) for s in design.coords[n.SCORE]]
        factors = [str(f) for f in design.scored_factors]
        columns, _ = person_columns(design)
        cells = [f"{i} = {c}" for i, k in zip(items, design.categories, strict=True) for c in range(k)]
        yield "item_histogram", cells
        yield "item_histogram_by_disorder", [f"{cell} | {d}" for d in self.disorders for cell in cells]
        yield "item_floor", [*items, "all indicators"]
        yield "sum_score", _shape_labels(totals)
        yield "item_pairs", _pair_labels(items)
        yield "score_moments", _shape_labels(scores)
        yield "score_pairs", [*_pair_labels(scores), *(f"{s} ~ {i}" for i in items for s in scores)]
        yield "score_disorder_means", [f"{s} | {d}" for d in self.disorders for s in scores]
        yield "disorder_means", [f"{c} | {d}" for d in self.disorders for c in columns]
        yield "factor_moments", [*_shape_labels(factors), *_pair_labels(factors)]
        rois = [str(r) for r in design.coords.get(n.ROI, [])]
        edges = [str(e) for e in design.coords.get(n.EDGE, [])]
        for kind, labels in (("roi", rois), ("edge", edges)):
            yield f"{kind}_mean", labels
            yield f"{kind}_sd", labels
            yield f"{kind}_correlation", _pair_labels(labels)
        yield "roi_disorder_means", [f"{r} | {d}" for d in self.disorders for r in rois]
        images = [name for name, _ in _image_means(design)]
        pairs = [f"{a} ~ {b}" for i, a in enumerate(columns) for b in columns[:i]]
        yield "between_blocks", [*pairs, *(f"{c} ~ {i}" for i in images for c in columns)]
        yield "outcome", _shape_labels(["outcome"])
        yield "outcome_share", [f"outcome = {c}" for c in _answers(design)]
        tail = [f"counts over {k} times the cohort's mean" for k in _TAIL]
        yield "outcome_counts", ["zeros", *tail, "log(1 + count): mean", "log(1 + count): sd"]
        yield "missing_by_block", [f"{c} | has {b}" for b in self._blocks for c in columns]


def _hits(design: Design, groups: Array) -> Array:
    """Return how many of each group gave each response [group, cell]."""
    largest = max(design.category_groups)
    chosen = (design.response[:, :, None] == np.arange(largest)).reshape(len(design.response), -1)
    valid = (np.arange(largest) < design.categories[:, None]).ravel()
    return np.asarray(groups.T.astype(float) @ chosen[:, valid])


def _scores(design: Design) -> Array:
    response = np.where(design.response == design.missing_response, np.nan, design.response)
    return response / (design.categories - 1)


def _outcome(design: Design) -> Array:
    value = np.log1p(design.outcome) if design.outcome_family in n.COUNTS else design.outcome
    return np.where(design.outcome_seen, value, np.nan)


def _answers(design: Design) -> list[int]:
    """Return the answers or categories of an outcome that has some."""
    if design.outcome_family == n.BERNOULLI:
        return [0, 1]
    return [int(c) for c in design.coords.get(n.OUTCOME_CATEGORY, [])]


def _continuous(design: Design) -> Array:
    return np.where(design.score_seen, design.score, np.nan)


def _totals(design: Design) -> list[tuple[str, Array]]:
    """Return mean responses by function, or factor with items, and mean scores of continuous indicators."""
    found = []
    functions = design.coords[n.FUNCTION]
    kinds = (("sum score", _scores(design), design.function_of, design.axes),
             ("mean score", _continuous(design), design.score_function, functions))  # fmt: skip
    for name, values, owner, latents in kinds:
        for f, function in enumerate(latents):
            if (owner == f).any():
                found.append((f"{name} {function}", _mean(values[:, owner == f])))
    return found


def _mean(values: Array) -> Array:
    """Return the mean over the last axis of what is there."""
    seen = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(seen, values, 0).sum(axis=-1) / seen.sum(axis=-1)


def _image_means(design: Design) -> list[tuple[str, Array]]:
    """Return each person's mean over regions of a network, and over all edges."""
    people = len(design.diagnosis)
    found = []

    def whole(who: Array, values: Array) -> Array:
        column = np.full(people, np.nan)
        column[who] = _mean(values)
        return column

    if len(design.scanned):
        values = np.where(design.activation_seen, design.activation, np.nan)
        for w, network in enumerate(design.coords[n.NETWORK]):
            found.append((f"activation {network}", whole(design.scanned, values[:, design.network_of == w])))
    if len(design.connected):
        values = np.where(design.connectivity_seen, design.connectivity, np.nan)
        for p, pair in enumerate(design.coords[n.NETWORK_PAIR]):
            found.append((f"edges {pair}", whole(design.connected, values[:, design.pair_of == p])))
    return found


def _shape(values: Array) -> Part:
    """Mean, sd, skewness and kurtosis of each column, by column."""
    seen = np.isfinite(values)
    count = seen.sum(axis=0)
    mean = _mean(values.T)
    centred = np.where(seen, values - mean, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        sd = np.sqrt((centred**2).sum(axis=0) / count)
        third, fourth = ((centred**k).sum(axis=0) / count / sd**k for k in (3, 4))
    return np.stack([mean, sd, third, fourth], axis=1).ravel(), np.repeat(count, 4)


def _shape_labels(columns: list[str]) -> list[str]:
    return [f"{c}: {m}" for c in columns for m in ("mean", "sd", "skewness", "kurtosis")]


def _moments(kind: str, values: Array) -> Iterator[tuple[str, Part]]:
    seen = np.isfinite(values)
    count, mean = seen.sum(axis=0), _mean(values.T)
    yield f"{kind}_mean", (mean, count)
    with np.errstate(invalid="ignore"):
        yield f"{kind}_sd", (np.sqrt(_mean((values - mean).T ** 2)), count)
    yield f"{kind}_correlation", _correlations(values, values)


def _pair_labels(labels: list[str]) -> list[str]:
    return [f"{labels[a]} ~ {labels[b]}" for a, b in zip(*np.tril_indices(len(labels), -1), strict=True)]


def _correlations(one: Array, other: Array, *, below: bool = True) -> Part:
    """Correlate columns over the people who have both; NaN where these are too few."""
    seen_one, seen_other = (np.isfinite(v).astype(float) for v in (one, other))
    count = seen_one.T @ seen_other
    a, b = (np.where(np.isfinite(v), v - _mean(v.T), 0) for v in (one, other))
    size = np.maximum(count, 1)
    mean_a, mean_b = a.T @ seen_other / size, seen_one.T @ b / size
    variance = ((a**2).T @ seen_other / size - mean_a**2) * (seen_one.T @ b**2 / size - mean_b**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (a.T @ b / size - mean_a * mean_b) / np.sqrt(variance)
    found = np.where((count >= FEWEST_TOGETHER) & np.isfinite(found), found, np.nan)
    if not below:
        return found.ravel(), count.ravel()
    at = np.tril_indices(len(found), -1)
    return found[at], count[at]


def _between(columns: Array, images: list[Array]) -> Part:
    """Correlations of the columns of a person with each other, and with means of the images."""
    own, count = _correlations(columns, columns)
    if not images:
        return own, count
    table = np.column_stack(images)
    return _join([(own, count), _correlations(table, columns, below=False)])


def _differences(columns: Array, groups: Array) -> Part:
    """Mean of a group less that of the others [group, column]."""
    seen = np.isfinite(columns)
    filled = np.where(seen, columns, 0)
    inside, outside = (g.T.astype(float) for g in (groups, ~groups))
    counts = [g @ seen for g in (inside, outside)]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = inside @ filled / counts[0] - outside @ filled / counts[1]
    return found.ravel(), np.minimum(*counts).ravel()


def _join(parts: list[Part]) -> Part:
    values, counts = zip(*parts, strict=True)
    return np.concatenate(values), np.concatenate(counts)
