"""Arrays in, numbers out: weights, calibration, distances, convergence."""
