"""Every dim, coord and variable name, once (the field's terms, singular)."""

from __future__ import annotations

from typing import Final

# dims
PARTICIPANT: Final = "participant"
DISORDER: Final = "disorder"
FUNCTION: Final = "function"
FUNCTION_OTHER: Final = "function_other"  # second axis of Omega
ITEM: Final = "item"
INDICATOR: Final = "indicator"  # an item, or a testlet (the sum of a subscale's items)
SCORE: Final = "score"  # a continuous subscale, or any other score that measures a function
GROUP: Final = "group"  # of the invariance ladder
GROUP_LATER: Final = "later_group"  # all but the first
THRESHOLD: Final = "threshold"
CATEGORY: Final = "category"
FACTOR: Final = "factor"
FACTOR_OTHER: Final = "factor_other"
FACTOR_SCORED: Final = "factor_scored"  # factors measured by a score, where others are by items
LATENT: Final = "latent"  # what ordinal items measure, where that is not functions alone
COVARIATE: Final = "covariate"
CONFOUND: Final = "confound"  # covariates of the scan: motion and the person's covariates
ROI: Final = "roi"
EDGE_REGION: Final = "edge_region"  # regions that edges join
CONFOUND_EDGE: Final = "confound_edge"
HUB: Final = "hub"  # regions with a residual factor of their edges
EDGE: Final = "edge"  # "AMY_L--VMPFC"
NETWORK: Final = "network"
NETWORK_PAIR: Final = "network_pair"  # "limbic--valuation", sorted
BIG_NETWORK: Final = "big_network"  # networks with a residual factor of their own
SITE: Final = "site"
OUTCOME: Final = "outcome"
TREATMENT: Final = "treatment"  # what people were given, or how much of it
OUTCOME_CATEGORY: Final = "outcome_category"  # of an ordinal outcome
QUALITY_MEASURE: Final = "quality_measure"
PATTERN: Final = "pattern"  # all diagnoses of a person together: "mood+anxiety"
TESTLET: Final = "testlet"
CROSS_LOADED: Final = "cross_loaded"  # "item--function": an indicator and another function
GENERAL_INDICATOR: Final = "general_indicator"  # indicators of the general and a specific function
GENERAL: Final = "general"  # label of the general function of a bifactor model
SCALED_INDICATOR: Final = "scaled_indicator"  # those whose residual scale may differ by group
BIASED_INDICATOR: Final = "biased_indicator"  # indicators whose meaning may differ by disorder
MEASURE: Final = "measure"  # one column of everything that was observed on a person
CHAIN: Final = "chain"
DRAW: Final = "draw"
SCALE_NAME: Final = "scale"  # a scale of an instrument: "ctq_sf.total"

# variables of the scores
SCALE_SCORE: Final = "scale_score"
SCALE_RELIABILITY: Final = "scale_reliability"
SCALE_INSTRUMENT: Final = "scale_instrument"

# variables of the cohort (schema.py says what each holds)
RESPONSE: Final = "response"
SCORE_VALUE: Final = "score_value"
DIAGNOSIS: Final = "diagnosis"
PRIMARY: Final = "primary_diagnosis"
FACTOR_SCORE: Final = "factor_score"
FACTOR_RELIABILITY: Final = "factor_reliability"
COVARIATE_VALUE: Final = "covariate_value"
SITE_OF: Final = "site_of"
ACTIVATION: Final = "activation"
ACTIVATION_SE: Final = "activation_se"
ACTIVATION_COVERAGE: Final = "activation_coverage"
ACTIVATION_RELIABILITY: Final = "activation_reliability"
MOTION: Final = "motion"
CONNECTIVITY: Final = "connectivity"
CONNECTIVITY_SE: Final = "connectivity_se"
CONNECTIVITY_FRAMES: Final = "connectivity_frames"  # effective frames
CONNECTIVITY_RELIABILITY: Final = "connectivity_reliability"
QUALITY: Final = "quality"
OUTLYING: Final = "outlying"
OUTCOME_VALUE: Final = "outcome_value"
OUTCOME_EXPOSURE: Final = "outcome_exposure"  # how long, or over how much, a count was counted
TREATMENT_VALUE: Final = "treatment_value"
CENTER: Final = "_center"  # suffix: what was subtracted, in the original unit
SCALE: Final = "_scale"  # suffix: what it was divided by (pooled within-site sd)

# scores of a fit (loo.nc)
BLOCK: Final = "block"
MODEL: Final = "model"
ELPD: Final = "elpd"
P_LOO: Final = "p_loo"
K_HAT: Final = "k_hat"

# coords along item, roi
ITEM_INSTRUMENT: Final = "item_instrument"
ITEM_SUBSCALE: Final = "item_subscale"
ITEM_CATEGORIES: Final = "item_categories"
ITEM_ALSO: Final = "item_also_of"
"""Subscales of other instruments that have the item, too, with spaces between; only where there are some."""
ROI_NETWORK: Final = "roi_network"
ROI_HEMISPHERE: Final = "roi_hemisphere"
ROI_X: Final = "roi_x"
ROI_Y: Final = "roi_y"
ROI_Z: Final = "roi_z"
ROI_RADIUS: Final = "roi_radius_mm"

# coords along outcome, where not all are Gaussian
OUTCOME_FAMILY: Final = "outcome_family"
OUTCOME_CATEGORIES: Final = "outcome_categories"  # of an ordinal outcome; 0 of the others
OUTCOME_BASELINE: Final = "outcome_baseline"  # the outcome that it was before; "" where there is none
# its values
GAUSSIAN: Final = "gaussian"
BERNOULLI: Final = "bernoulli"
NEGATIVE_BINOMIAL: Final = "negative_binomial"
HURDLE: Final = "hurdle_negative_binomial"
ORDINAL: Final = "ordinal"
COUNTS: Final = (NEGATIVE_BINOMIAL, HURDLE)  # with an exposure

# coords along edge; a and b in the order of the label
EDGE_NETWORK: Final = "edge_network"  # the pair of networks, "limbic--valuation", sorted
EDGE_A: Final = "edge_a"
EDGE_B: Final = "edge_b"
EDGE_A_X: Final = "edge_a_x"
EDGE_A_Y: Final = "edge_a_y"
EDGE_A_Z: Final = "edge_a_z"
EDGE_B_X: Final = "edge_b_x"
EDGE_B_Y: Final = "edge_b_y"
EDGE_B_Z: Final = "edge_b_z"
EDGE_COORDS: Final = (
    EDGE_NETWORK, EDGE_A, EDGE_B, EDGE_A_X, EDGE_A_Y, EDGE_A_Z, EDGE_B_X, EDGE_B_Y, EDGE_B_Z,
)  # fmt: skip
EDGE_SEPARATOR: Final = "--"  # between the regions of an edge, and the networks of a pair

# a person without any diagnosis is a level of its own, outside the zero-sum
NONE_LEVEL: Final = "none"

BURDEN: Final = "_burden"  # how effects of a further diagnosis end, which people with two or more tell of

TIMES: Final = " x "  # between what a term is the product of: "self_punishment x therapy"

# how conclusions and refits are named that may not leave the lab as they are
LARGEST_DIFFERENCE: Final = "largest difference"
"""Between disorders, all together, of which one may be of few people."""
WITHOUT_SITE: Final = "without site "

# columns of an audit; every number counts people or values
AUDIT: Final = (
    "stage",
    "table",
    "column",
    "rule",
    "read",
    "missing",
    "changed",
    "out_of_range",
    "dropped",
    "note",
)
