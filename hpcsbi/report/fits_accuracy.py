"""What converged chains say of the flow and its weights: distances, widths, and CPU time."""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from scipy import stats

from hpcsbi.pipeline import upstream
from hpcsbi.report.tables import number
from hpcsbi.simulator.theta.parameters import parameter

__all__ = [
    "CLOSE",
    "STEPS",
    "accuracy_rows",
    "agreement",
    "break_even",
    "correlation",
    "object_costs",
    "overhead",
    "verdict_on_costs",
]

TRAINING = upstream("train")  # what is paid once
STEPS = {
    "fit: chain": "the chain",
    "fit: flow": "the flow's draws",
    "fit: weights": "their weights",
}
MINUS = "\N{MINUS SIGN}"
CLOSE = 0.02  # standard deviations that a method may be farther than halves of the chain
ENOUGH = 10  # objects that a correlation takes


def accuracy_rows(
    names: Sequence[str], wasserstein: np.ndarray, width_ratio: np.ndarray, c2st: np.ndarray
) -> dict:
    """Distances and widths of each method against the chain, over the objects given.

    Arguments:
        names: parameters.
        wasserstein: distance to the chain in its standard deviations, NaN where the method has
            nothing, shape (n, methods, n_theta).
        width_ratio: p84 - p16 over that of the chain, same shape.
        c2st: accuracy of a classifier between method and chain, shape (n, methods).

    Returns:
        {"counts": objects of each method, "rows": for each parameter its name, (median, worst)
        distance and (median, p16, p84) of the width ratio by method, "c2st": (median, worst) by
        method}.
    """
    rows = [
        {
            "name": parameter(name).header,
            "distances": [_middle_and_worst(column) for column in wasserstein[..., i].T],
            "widths": [_spread(column) for column in width_ratio[..., i].T],
        }
        for i, name in enumerate(names)
    ]
    counts = np.isfinite(wasserstein).all(-1).sum(0).tolist()
    return {
        "counts": counts,
        "rows": rows,
        "c2st": [_middle_and_worst(accuracies) for accuracies in c2st.T],
    }


def correlation(k: np.ndarray, distance: np.ndarray) -> tuple[float, int]:
    """Spearman's rank correlation of Pareto k and a distance, and the number of objects it is of.

    Arguments:
        k, distance: shape (n,); objects without either do not count, an infinite k does.

    Returns:
        NaN for fewer than ten objects, or where all are alike.
    """
    known = ~np.isnan(k) & np.isfinite(distance)
    n = int(known.sum())
    if n < ENOUGH or min(len(np.unique(values[known])) for values in (k, distance)) < 2:
        return np.nan, n
    return float(stats.spearmanr(k[known], distance[known]).statistic), n


def agreement(distance: np.ndarray, halves: np.ndarray) -> tuple[int, int]:
    """Objects that a method has no farther from the chain than its halves are, and all it has.

    Arguments:
        distance: of the method, NaN where it has nothing, shape (n,).
        halves: between the halves of the chain, shape (n,).
    """
    known = np.isfinite(distance) & np.isfinite(halves)
    return int((distance[known] <= halves[known] + CLOSE).sum()), int(known.sum())


def object_costs(notes: Sequence[Mapping]) -> dict[str, tuple[float, int]]:
    """CPU seconds of an object in each step of `fit`, and the number of objects measured.

    Arguments:
        notes: of rates.jsonl; those of other stages do not count.
    """
    sums: dict[str, np.ndarray] = {}
    for note in notes:
        if note["stage"] in STEPS:
            spent = np.array([note["worker_seconds"], note["rows"]], dtype=float)
            sums[note["stage"]] = sums.get(note["stage"], 0) + spent
    return {
        step: (sums[step][0] / sums[step][1], int(sums[step][1]))
        for step in STEPS
        if step in sums and sums[step][1] > 0
    }


def overhead(notes: Sequence[Mapping], flow: str) -> dict[str, float]:
    """CPU seconds of each stage that is paid once, whatever the number of galaxies.

    Arguments:
        notes: of costs.jsonl.
        flow: folder of the flow as the notes name it; other trainings of a sweep do not count.
    """
    sums: dict[str, float] = {}
    for note in notes:
        stage = note["stage"]
        if stage in TRAINING and (stage != "train" or note.get("out", flow) == flow):
            sums[stage] = sums.get(stage, 0.0) + float(note["cpu_seconds"])
    return sums


def break_even(once: float, chain: float, flow: float, weights: float) -> int | None:
    """Number of galaxies from which on flow and weights have cost less CPU than chains.

    Arguments:
        once: CPU seconds of simulations and training.
        chain, flow, weights: CPU seconds of an object.

    Returns:
        None when a chain is not dearer than flow and weights.

    Example:
        >>> break_even(300, 10, 1, 1), break_even(300, 2, 1, 1)
        (38, None)
    """
    saved = chain - flow - weights
    return ceil(once / saved) if saved > 0 else None


def verdict_on_costs(once: Mapping[str, float], each: Mapping[str, tuple[float, int]]) -> str:
    """The break-even number as a sentence, or why there is none.

    Arguments:
        once: from `overhead`.
        each: from `object_costs`.
    """
    lacking = {
        "costs.jsonl": [stage for stage in TRAINING if stage not in once],
        "rates.jsonl": [f"'{step}'" for step in STEPS if step not in each],
    }
    if any(lacking.values()):
        texts = [f"{name} has none of {', '.join(of)}" for name, of in lacking.items() if of]
        return f"No break-even number, for costs are missing: {'; '.join(texts)}."
    chain, flow, weights = (each[step][0] for step in STEPS)
    total = sum(once.values())
    galaxies = break_even(total, chain, flow, weights)
    if galaxies is None:
        return (
            f"No break-even number: a chain ({number(chain)} s) is not dearer than the flow's "
            f"draws and their weights ({number(flow + weights)} s)."
        )
    parts = f" {MINUS} ".join(map(number, (chain, flow, weights)))
    return (
        f"Flow and weights are cheaper than chains from {galaxies} galaxies on: CPU time of "
        f"{', '.join(TRAINING[:-1])} and {TRAINING[-1]}, over that of a chain less that of the "
        f"flow's draws less that of their weights, {number(total, 4)} s / ({parts}) s."
    )


def _middle_and_worst(values: np.ndarray) -> tuple[str, str]:
    known = values[np.isfinite(values)]
    if not len(known):
        return number(np.nan), number(np.nan)
    return f"{np.median(known):.3f}", f"{known.max():.3f}"


def _spread(values: np.ndarray) -> tuple[str, str, str]:
    known = values[np.isfinite(values)]
    if not len(known):
        return (number(np.nan),) * 3
    return tuple(f"{level:.2f}" for level in np.quantile(known, [0.5, 0.16, 0.84]))
