"""Is the posterior of a model what it says it is? Simulation-based calibration and recovery."""
