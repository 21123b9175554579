"""Which of several flows is best, told by the same held-out spectra pair by pair."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from hpcsbi.errors import BadInput
from hpcsbi.report.tables import number
from hpcsbi.statistics.calibration import score
from hpcsbi.terminal import duration

__all__ = ["CONFIDENCE", "Standing", "cells", "standings"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Standing:
    """Where a flow stands among others.

    Arguments:
        score, error: mean log density of the true parameters of held-out spectra and its standard
            error, nat.
        behind, behind_error: mean difference to the best flow over the same spectra, and the
            standard error of that mean; much smaller than those of the two scores, which share
            the easy and the hard spectra.
        best: highest score of all.
        tied: the spectra do not tell it from the best.
    """

    score: float
    error: float
    behind: float
    behind_error: float
    best: bool
    tied: bool


def standings(log_prob: np.ndarray) -> list[Standing]:
    """Compare flows by the log density that each gives the truth of each held-out spectrum.

    A flow is tied with the best when it is behind by less than so many standard errors that, with
    probability `CONFIDENCE`, the flow that more spectra would show to be best is among those tied:
    one-sided comparison with the best, the error shared among the flows (Bonferroni). What another
    seed of training would change is not in it.

    Arguments:
        log_prob: shape (n_flows, n_spectra), finite, at least two spectra.

    Raises:
        ValueError: too few spectra, or a value that is not finite.

    References:
        Hsu 1984, Annals of Statistics 12, 1136: constrained multiple comparisons with the best.

    Example:
        >>> [s.tied for s in standings(np.array([[1.0, 2, 3], [1.0, 2, 3], [0.1, 1, 2.1]]))]
        [True, True, False]
    """
    log_prob = np.asarray(log_prob, dtype=float)
    flows, spectra = log_prob.shape
    if spectra < 2 or not np.isfinite(log_prob).all():
        raise BadInput(
            f"{flows} flows cannot be compared on {spectra} spectra: at least two are needed, and "
            "a finite log density of each."
        )
    best = int(np.argmax(log_prob.mean(1)))
    reach = stats.t.ppf(1 - (1 - CONFIDENCE) / max(flows - 1, 1), spectra - 1)
    ranking = []
    for i, log_densities in enumerate(log_prob):
        behind, error = score(log_prob[best] - log_densities)
        tied = i == best or behind <= reach * error
        ranking.append(Standing(*score(log_densities), behind, error, i == best, bool(tied)))
    return ranking


def cells(row: dict) -> dict[str, str]:
    """One flow of `compare` as it stands in a table, what it lacks left empty.

    Arguments:
        row: its figures by name, None where there is none.
    """
    return {
        "mark": "best" if row["best"] else "tied" if row["tied"] else "",
        "name": row["name"],
        "hidden": _text(row["hidden"]),
        "transforms": _text(row["transforms"]),
        "score": _with_error(row["log_prob"], row["log_prob_error"]),
        "behind": "" if row["best"] else _with_error(row["behind"], row["behind_error"]),
        "calibrated": {True: "passed", False: "FAILED", None: ""}[row["calibrated"]],
        "cpu": "" if row["cpu_seconds"] is None else duration(row["cpu_seconds"]),
        "speed": "" if row["draws_per_second"] is None else f"{row['draws_per_second']:,.0f}",
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _with_error(value: float | None, error: float | None) -> str:
    """Both to two digits of the error.

    Example:
        >>> _with_error(4.58512, 0.0123)
        '4.585 ± 0.012'
    """
    if value is None or error is None:
        return ""
    if not error > 0:
        return number(value, 4)
    places = int(np.clip(1 - np.floor(np.log10(error)), 0, 5))
    return f"{value:.{places}f} ± {error:.{places}f}"
