"""The verdict on a calibration: what passes, what fails, and the figures that decide it."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from hpcsbi.errors import BadInput
from hpcsbi.statistics.calibration import LEVELS, central_coverage, joint_names, ks_p_values

__all__ = ["BLUNT", "IMPROBABLE", "verdict", "why_blunt"]

WITHOUT_DRAWS = 0.01  # share of objects without a single draw that a good flow stays below
# Predictive p-values of right posteriors lie below a number at most twice as often as it says.
IMPROBABLE, MOST_IMPROBABLE = 0.01, 0.02
BLUNT = 0.05  # share of improbable spectra from which a flow has learned too little to build on


def verdict(
    ranks: np.ndarray,
    n_samples: np.ndarray | int,
    tarp: np.ndarray,
    names: Sequence[str],
    alpha: float = 0.01,
    joint: np.ndarray | None = None,
    p_values: Mapping[str, np.ndarray] | None = None,
    derived: Mapping[str, np.ndarray] | None = None,
) -> dict:
    """Pass or fail of a calibration, with the figures that decided it.

    It fails when one of its p-values lies below alpha over their number: a right posterior fails
    with probability alpha at most. They are those of Kolmogorov and Smirnov, for each parameter,
    derived quantity and joint rank and TARP, and the probability of so many improbable spectra.

    Arguments:
        ranks: shape (n_spectra, n_theta).
        n_samples: draws of each spectrum, a number or shape (n_spectra,).
        tarp: fractions of `tarp_fractions`, shape (n_spectra,).
        names: parameters, in the order of the columns.
        alpha: probability to fail a right posterior.
        joint: of `joint_ranks`, if they were made.
        p_values: posterior predictive p-values by the name of their column, predictive_p that of
            chi squared, each of shape (n_spectra,), NaN where there is none.
        derived: ranks of what follows from theta, by name, each of shape (n_spectra,).

    Returns:
        {"passed", "parameters": {name: {"ks_p", "coverage": {level: share}}}, "derived": the same
        of the quantities, "joint": {what: {"ks_p"}}, "tarp": {"ks_p"}, "predictive": {column:
        {"p", "improbable"}}, "reasons", "n", "without_draws", "alpha", "threshold"}, for JSON.

    Raises:
        ValueError: no spectrum has a draw.

    References:
        Meng 1994, Annals of Statistics 22, 1142: predictive p-values against uniform ones.
    """
    n = np.broadcast_to(np.asarray(n_samples), len(ranks))
    drawn = n > 0
    if not drawn.any():
        raise BadInput(f"none of {len(ranks)} spectra has a posterior draw: nothing to judge.")
    ranks, n, tarp = ranks[drawn], n[drawn], tarp[drawn]
    pairs = [] if joint is None else joint_names(names)
    joint = np.empty((len(ranks), 0), int) if joint is None else joint[drawn]
    quantities = {name: column[drawn] for name, column in (derived or {}).items()}
    ranks, singles = np.column_stack([ranks, *quantities.values()]), [*names, *quantities]
    columns = np.column_stack([ranks, joint, np.rint(np.asarray(tarp, dtype=float) * n)])
    p = dict(zip([*singles, *pairs, "tarp"], ks_p_values(columns, n).tolist(), strict=True))
    predictive = {
        name: _predictive(values[np.isfinite(values)])
        for name, values in (p_values or {}).items()
        if np.isfinite(values).any()
    }
    p |= {name: figures["p"] for name, figures in predictive.items()}
    coverage = central_coverage(ranks, n)
    threshold = alpha / len(p)
    low = {name: value for name, value in p.items() if value < threshold}
    reasons = [
        (_improbable if name in predictive else _reason)(name, value, threshold)
        for name, value in low.items()
        if name not in pairs
    ]
    if wrong := [name for name in low if name in pairs]:
        worst = min(wrong, key=low.get)
        more = f" (the worst of {len(wrong)} of {len(pairs)} joint ranks)"
        reasons.append(_reason(worst, low[worst], threshold) + more)
    figures = {
        name: {
            "ks_p": p[name],
            "coverage": dict(zip(map(str, LEVELS), coverage[:, i].tolist(), strict=True)),
        }
        for i, name in enumerate(singles)
    }
    missing = int((~drawn).sum())
    if missing > WITHOUT_DRAWS * len(drawn):
        reasons.append(f"{missing} of {len(drawn)} spectra have no draw inside the prior")
    return {
        "passed": not reasons,
        "parameters": {name: figures[name] for name in names},
        "derived": {name: figures[name] for name in quantities},
        "joint": {name: {"ks_p": p[name]} for name in pairs},
        "tarp": {"ks_p": p["tarp"]},
        "predictive": predictive,
        "reasons": reasons,
        "n": int(drawn.sum()),
        "without_draws": missing,
        "alpha": alpha,
        "threshold": threshold,
    }


def why_blunt(flow_verdict: dict) -> str:
    """Why re-weighted draws should not rest on a flow, or "".

    A blunt flow can be calibrated, and weights can make its draws right; but they cannot see a mode
    that no draw of it visits.

    Arguments:
        flow_verdict: verdict on the flow alone, of `verdict`.
    """
    of_chi2, n = flow_verdict["predictive"].get("predictive_p", {}), flow_verdict["n"]
    share = of_chi2.get("improbable")
    if share is None or stats.binom.sf(round(share * n) - 1, n, BLUNT) >= flow_verdict["threshold"]:
        return ""
    return (
        f"of the flow alone {100 * share:.0f} % of the spectra are improbable under their own "
        f"posterior, above {100 * BLUNT:.0f} %: train longer"
    )


def _predictive(p: np.ndarray) -> dict[str, float]:
    """Share of improbable spectra, and the probability of so many if posteriors are right."""
    count = int((p < IMPROBABLE).sum())
    chance = float(stats.binom.sf(count - 1, len(p), MOST_IMPROBABLE))
    return {"p": chance, "improbable": count / len(p)}


def _improbable(name: str, p: float, threshold: float) -> str:
    return (
        f"too many spectra are improbable under their own posterior by {name}: p = {p:.2g}, below "
        f"{threshold:.2g}"
    )


def _reason(name: str, p: float, threshold: float) -> str:
    what = "TARP fractions" if name == "tarp" else f"ranks of {name}"
    return f"{what} are not uniform: KS p = {p:.2g}, below {threshold:.2g}"
