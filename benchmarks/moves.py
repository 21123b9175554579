"""The moves of `fit`, and some that it could have, on densities that are known.

    PYTHONPATH=tests/mcmc python benchmarks/moves.py [DENSITY ...] [--steps 20000]

The densities are those of tests/mcmc/test_moves.py. For each move alone, and for the two kinds that
`fit.moves` offers: the width of the draws over the right one less one, in percent, with its
standard error; the autocorrelation time in steps (mean square of the whitened coordinates); shares
accepted; and independent draws in a CPU second, of 128 walkers and a density that costs nothing.
"""

import argparse
import time

import emcee
import numpy as np
from emcee.model import Model
from test_moves import BATCHES, TARGETS, off_and_wide

from hpcsbi.mcmc.moves import MOVES, moves_of

WALKERS = 128


class Snooker(emcee.moves.DESnookerMove):
    """The snooker move with the right direction and Jacobian (ter Braak & Vrugt 2008)."""

    def get_proposal(self, s, c, random):
        others = np.concatenate(c)
        three = np.array([random.choice(len(others), 3, replace=False) for _ in s])
        z, one, two = others[three].swapaxes(0, 1)
        off = s - z
        norm = np.linalg.norm(off, axis=1, keepdims=True)
        along = ((one - two) * off / norm).sum(1, keepdims=True)
        q = s + self.gammas * along * off / norm
        factor = np.log(np.linalg.norm(q - z, axis=1)) - np.log(norm[:, 0])
        return q, (s.shape[1] - 1.0) * factor


def chain(moves, target, steps):
    """Mean square of the whitened coordinates at each step, acceptance and CPU seconds."""
    random = np.random.RandomState(3)
    x = target.point(np.random.default_rng(2).normal(size=(WALKERS, len(target.factor))))
    state = emcee.State(x, log_prob=target(x))
    model = Model(target, lambda x: (target(x), None), map, random)
    kinds, shares = zip(*moves, strict=True)
    squares, accepted, began = np.empty(steps), 0, time.process_time()
    for i in range(steps):
        state, new = kinds[random.choice(len(kinds), p=shares)].propose(model, state)
        accepted += new.mean()
        squares[i] = (target.plain(state.coords) ** 2).mean()
    return squares, accepted / steps, time.process_time() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("densities", nargs="*", default=list(TARGETS))
    parser.add_argument("--steps", type=int, default=20_000)
    options = parser.parse_args()
    steps = options.steps // BATCHES * BATCHES
    print("density    move                        width - 1, %     tau   accepted  draws / CPU s")
    for name in options.densities:
        target = TARGETS[name]
        proposal = off_and_wide(target)
        mixed = moves_of("mixed", proposal)
        cases = {type(move).__name__: [(move, 1.0)] for move, _ in mixed}
        cases |= {f"fit.moves={kind}": moves_of(kind, proposal) for kind in MOVES}
        cases["DESnookerMove of emcee"] = [(emcee.moves.DESnookerMove(), 1.0)]
        cases["snooker, corrected"] = [(Snooker(), 1.0)]
        cases["mixed, 1/4 of DE snooker"] = [mixed[0], (mixed[1][0], 0.3), (Snooker(), 0.1)]
        for case, moves in cases.items():
            squares, accepted, seconds = chain(moves, target, steps)
            batches = squares.reshape(BATCHES, -1).mean(1)
            error = batches.std(ddof=1) / np.sqrt(BATCHES)
            tau = emcee.autocorr.integrated_time(squares, tol=0, quiet=True)[0]
            print(
                f"{name:10s} {case:26s} {50 * (squares.mean() - 1):7.2f} +- {50 * error:.2f} "
                f"{tau:8.1f} {accepted:8.2f} {WALKERS * steps / tau / seconds:12.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
