"""How the walkers of a chain move.

What mixes: an independent proposal, a mixture of normals that importance sampling in rounds fits to
the posterior before the first step, among differential-evolution moves that keep it honest where
the mixture is thin. Plain stretch moves, those of the paper, are the other choice. Every one of
them keeps detailed balance; the snooker move of emcee 3.1.6 does not (emcee's pull request 531).
"""

import emcee
import numpy as np

from hpcsbi.statistics.mixture import Mixture

__all__ = ["MOVES", "moves_of"]

MOVES = ("mixed", "stretch")
INDEPENDENT = 0.6  # share of the independent moves


def moves_of(kind: str, proposal: Mixture) -> list[tuple[emcee.moves.Move, float]]:
    """Moves of a kind and their shares, which add up to one.

    Arguments:
        kind: one of MOVES.
        proposal: of the independent move.
    """
    if kind == "stretch":
        return [(emcee.moves.StretchMove(), 1.0)]

    def independent(z: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        new = proposal.sample(len(z), rng)
        return new, proposal.log_prob(z) - proposal.log_prob(new)

    return [(emcee.moves.MHMove(independent), INDEPENDENT), (emcee.moves.DEMove(), 1 - INDEPENDENT)]
