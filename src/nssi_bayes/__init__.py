"""Joint hierarchical Bayesian models of the functions of non-suicidal self-injury."""
