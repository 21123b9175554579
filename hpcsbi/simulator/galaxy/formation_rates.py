"""Star formation rates of draws in bins of lookback time, whatever the family of histories."""

from collections.abc import Sequence

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.histories import family_of

__all__ = ["formation_rates"]


def formation_rates(theta: np.ndarray, names: Sequence[str], edges: np.ndarray) -> np.ndarray:
    """Mean rates between lookback times, exact: they conserve the mass formed.

    Arguments:
        theta: in own units, shape (n, n_theta).
        names: its columns.
        edges: Gyr before the observation, ascending, from 0 or later, shape (bins + 1,).

    Returns:
        solar masses a year, shape (n, bins).

    Raises:
        BadInput: edges that are not ascending, or before 0.
    """
    edges = np.asarray(edges, dtype=float)
    if edges.ndim != 1 or len(edges) < 2 or edges[0] < 0 or not (np.diff(edges) > 0).all():
        raise BadInput("edges of a history are two or more lookback times in Gyr, ascending from 0")
    column = dict(zip(names, np.asarray(theta, dtype=float).T, strict=True))
    family = family_of(names)
    share = [family.younger(edge, column) if edge else np.zeros(len(theta)) for edge in edges]
    formed = 10.0 ** column["logmass"][:, None] * np.diff(np.column_stack(share), axis=1)
    return formed / (np.diff(edges) * 1e9)
