"""What became of the pieces that a cluster was given."""

from hpcsbi.cluster.executors import Finished


def results(outcomes) -> dict:
    """Piece -> what it returned, or its failure."""
    return {
        piece: outcome.receipt if isinstance(outcome, Finished) else outcome
        for piece, outcome in outcomes
    }
