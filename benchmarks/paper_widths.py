"""Widths and coverage of a flow of the paper's, by the authors' formula and by labels it never saw.

    python benchmarks/paper_widths.py FLOW_FOLDER TRAINING_STORE [--draws 1000] [--split test]

Of the test spectra, which are FSPS's own with labels of their own (`augment.labels` is about
training, so `--split train` judges a flow by such labels): medians of the half width of the 16 to
84 % interval and of what the authors' notebook quotes, the root of the sum of squares of both sides
of it; how far medians scatter about the truth, in half the 16 to 84 % range; their mean offset over
its error; the share of intervals that hold the truth; and chi, the scatter over the width, which
the paper draws below its figure 4. Last the same of the spectra whose parameters are all in the
middle 68 % of the prior, as the paper chose its test spectra.
"""

import argparse

import numpy as np
import torch
from held_out_pairs import judged_pairs

from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.pairs import SPLITS

LEVELS, MIDDLE = (0.16, 0.5, 0.84), (0.16, 0.84)


def main() -> None:
    """Print a line for each parameter, twice."""
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("training")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--spectra", type=int, default=1000)
    parser.add_argument("--split", choices=SPLITS, default="test")
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior = load_posterior(options.flow)
    truth, batch = judged_pairs(posterior, options.training, options.spectra, options.split)
    drawn = posterior.sample(batch, options.draws, 50).coordinates
    low, middle, high = np.nanquantile(drawn, LEVELS, axis=1)
    prior = posterior.prior
    unit = prior.to_unit(truth, prior.high)
    inner = ((unit > MIDDLE[0]) & (unit < MIDDLE[1])).all(1)
    for words, rows in (("all of the prior", np.ones(len(truth), bool)), ("its middle", inner)):
        print(f"{words}, {rows.sum()} spectra")
        for i, name in enumerate(prior.names):
            each = (array[rows, i] for array in (truth, low, middle, high))
            print(f"  {'log ' * bool(prior.log[i]) + name:9}: {line(*each)}")


def line(truth: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray) -> str:
    """What the head of this file says, of one parameter."""
    half, off = (high - low) / 2, middle - truth
    quoted = np.hypot(high - middle, middle - low)
    scatter = np.ptp(np.quantile(off, MIDDLE)) / 2
    covered = ((truth >= low) & (truth <= high)).mean()
    chi = np.ptp(np.quantile(off / half, MIDDLE)) / 2
    return (
        f"half width {np.median(half):.3f}, as quoted {np.median(quoted):.3f}, scatter "
        f"{scatter:.3f}, offset {off.mean() / off.std() * np.sqrt(len(off)):+.1f} sigma, "
        f"68 % intervals hold {covered:.3f}, chi {chi:.2f}"
    )


if __name__ == "__main__":
    main()
