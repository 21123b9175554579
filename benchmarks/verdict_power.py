"""Which wrong posteriors the verdict fails, from how many spectra on, and how often a right one.

    OMP_NUM_THREADS=1 python benchmarks/verdict_power.py [--sets 20] [--null 300] [--dimensions 5]

Posteriors are normal, of a place and width of their own for each spectrum; truths are drawn from
one, draws from another. For each error and number of spectra, the share of sets that fail: by the
verdict, and by parts of it alone, each at the same probability (0.01) to fail a right posterior:
ranks of single parameters and TARP (the verdict as it was), joint ranks of pairs, and of squares.
Last, right posteriors: the share that fails, and its binomial standard error.
"""

import argparse

import numpy as np

from hpcsbi.statistics.calibration import (
    joint_names,
    joint_ranks,
    ks_p_values,
    sbc_ranks,
    tarp_fractions,
)
from hpcsbi.statistics.verdict import verdict

ALPHA = 0.01


def posteriors(kind, n, draws, dimensions, rng):
    """Truths (n, dimensions) and draws (n, draws, dimensions)."""
    right, wrong = np.eye(dimensions), np.eye(dimensions)
    pair = {"0.6 for 0.8": (0.8, 0.6), "0.8 for 0.6": (0.6, 0.8), "0 for 0.2": (0.2, 0.0)}
    first, second = pair.get(kind, (0.8, 0.8))
    right[0, 1] = right[1, 0] = first
    wrong[0, 1] = wrong[1, 0] = second
    theta = rng.multivariate_normal(np.zeros(dimensions), right, (n, 1))
    samples = rng.multivariate_normal(np.zeros(dimensions), wrong, (n, draws))
    along = np.ones(dimensions) / np.sqrt(dimensions)
    if kind == "15 % narrow along a diagonal":
        samples += (0.85 - 1) * (samples @ along)[..., None] * along
    if kind == "10 % narrow":
        samples *= 0.9
    if kind == "0.1 sd off":
        samples[..., 0] += 0.1
    if kind == "straight for bent":
        bent = theta[..., 3] + 0.25 * (theta[..., 2] ** 2 - 1)
        theta[..., 3] = bent / np.sqrt(1 + 2 * 0.25**2)
    place, width = 3 * rng.normal(size=(n, 1, dimensions)), rng.lognormal(size=(n, 1, dimensions))
    return (place + width * theta)[:, 0], place + width * samples


KINDS = (
    "0.6 for 0.8", "0.8 for 0.6", "0 for 0.2", "15 % narrow along a diagonal", "10 % narrow",
    "0.1 sd off", "straight for bent",
)  # fmt: skip


def failed(theta, samples, rng):
    """Whether the verdict fails, and its parts alone: as it was, pairs, squares."""
    draws, names = samples.shape[1], [f"x{i}" for i in range(theta.shape[1])]
    ends = samples.min((0, 1)), samples.max((0, 1))
    tarp = tarp_fractions(theta, samples, *ends, rng)
    ranks, joint = sbc_ranks(theta, samples), joint_ranks(theta, samples)
    whole = verdict(ranks, draws, tarp, names, ALPHA, joint=joint)
    before = verdict(ranks, draws, tarp, names, ALPHA)
    p = ks_p_values(joint, draws)
    square = np.array(["^2" in name for name in joint_names(names)])
    parts = [part.min() < ALPHA / len(part) for part in (p[~square], p[square])]
    return [not whole["passed"], not before["passed"], *parts]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--null", type=int, default=300)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--dimensions", type=int, default=5)
    options = parser.parse_args()
    print("| error | spectra | verdict | single ranks and TARP | pairs | squares |")
    for kind in (*KINDS, "none"):
        sets = options.null if kind == "none" else options.sets
        for n in (300,) if kind == "none" else (300, 1000, 2000):
            rng = np.random.default_rng(n)
            sizes = n, options.draws, options.dimensions
            shares = np.mean([failed(*posteriors(kind, *sizes, rng), rng) for _ in range(sets)], 0)
            errors = [f"{share:.3f}" for share in shares]
            if kind == "none":
                deviation = np.sqrt(ALPHA * (1 - ALPHA) / sets)
                errors[0] += f" ({ALPHA} +- {deviation:.3f} promised at most, {sets} sets)"
            print(f"| {kind} | {n} | {' | '.join(errors)} |", flush=True)


if __name__ == "__main__":
    main()
