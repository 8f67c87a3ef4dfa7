"""The shelf of likelihoods: log-density, simulation and support, one family a file."""
