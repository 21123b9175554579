"""How two measurements of the same things agree: differences, pulls, outliers."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Agreement", "agreement", "half_width"]

ROBUST = 1.4826  # median absolute deviation of a normal distribution in standard deviations
FAR = 3.0  # standard deviations from which on a pull is an outlier


@dataclass(frozen=True)
class Agreement:
    """Numbers of one quantity; NaN where nothing is compared.

    Arguments:
        count: objects that both measured.
        median: of the differences, first less second.
        median_error: standard error of that median, from the robust scatter.
        scatter: robust standard deviation of the differences about their median.
        pull_median, pull_scatter: the same of pulls.
        outliers: share of pulls beyond FAR; 0.0027 for normal ones.
    """

    count: int
    median: float
    median_error: float
    scatter: float
    pull_median: float
    pull_scatter: float
    outliers: float


def half_width(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Half of a central 68 % interval, which a normal distribution calls its standard deviation."""
    return (np.asarray(high, float) - np.asarray(low, float)) / 2


def agreement(difference: np.ndarray, error: np.ndarray) -> Agreement:
    """Compare two measurements of the same objects.

    Arguments:
        difference: first less second, NaN where one lacks, shape (objects,).
        error: standard deviation of the difference, as quoted, shape (objects,); pulls are of the
            objects where it is above 0.

    References:
        Hoaglin, Mosteller & Tukey 1983, Understanding Robust and Exploratory Data Analysis,
        chapter 12 (median absolute deviation; the median's error is sqrt(pi / 2) sigma / sqrt(n)).

    Example:
        >>> agreement(np.array([0.1, -0.1, 0.0, 9.0]), np.full(4, 0.1)).outliers
        0.25
    """
    difference, error = np.asarray(difference, float), np.asarray(error, float)
    known = np.isfinite(difference)
    pulls = difference[known & (error > 0)] / error[known & (error > 0)]
    values, count = difference[known], int(known.sum())
    scatter = robust_scatter(values)
    return Agreement(
        count,
        float(np.median(values)) if count else np.nan,
        float(np.sqrt(np.pi / 2) * scatter / np.sqrt(count)) if count else np.nan,
        scatter,
        float(np.median(pulls)) if len(pulls) else np.nan,
        robust_scatter(pulls),
        float((np.abs(pulls) > FAR).mean()) if len(pulls) else np.nan,
    )


def robust_scatter(values: np.ndarray) -> float:
    """Standard deviation that the middle of the values tells; NaN of none."""
    if not len(values):
        return float("nan")
    return float(ROBUST * np.median(np.abs(values - np.median(values))))
