"""How far a template is from what theta does to a spectrum."""

from collections.abc import Sequence

import numpy as np
import torch

from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.parameters import OF_ERRORS
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["angles_to_theta"]

STEP = 1e-3  # of a column's range


@torch.no_grad()
def angles_to_theta(
    templates: np.ndarray,
    ssp: Ssp,
    prior: Prior,
    theta: np.ndarray,
    errors: Sequence[str] = OF_ERRORS,
) -> np.ndarray:
    """Angle between each template and the span of d ln(flux) / d theta, degrees, (rank,).

    At 0 the posterior of theta takes all of it, and no spectrum can teach it; at 90 none.

    Arguments:
        templates: fractions of the model, shape (rank, pixels).
        ssp: the table.
        prior: of theta.
        theta: where the derivatives are taken, own units; their median angle counts, (n, n_theta).
        errors: columns that do nothing to a noise-free spectrum.
    """
    coordinates = prior.coordinates(theta)
    columns = [i for i, name in enumerate(prior.names) if prior.inferred[i] and name not in errors]
    step = STEP * (prior.high - prior.low)
    derivatives = []
    for i in columns:
        ends = []
        for sign in (-1, 1):
            moved = coordinates.copy()
            moved[:, i] = (moved[:, i] + sign * step[i]).clip(prior.low[i], prior.high[i])
            rows = torch.from_numpy(prior.theta(moved, np.float32))
            ends.append(np.log(ssp.flux(rows, prior.names).double().numpy().clip(1e-300)))
        derivatives.append(ends[1] - ends[0])
    angles = []
    for slopes in np.stack(derivatives, 1):
        _, sizes, basis = np.linalg.svd(
            slopes / np.linalg.norm(slopes, axis=1).max(), full_matrices=False
        )
        basis = basis[sizes > 1e-4 * sizes[0]]
        inside = np.linalg.norm(templates @ basis.T, axis=1) / np.linalg.norm(templates, axis=1)
        angles.append(np.degrees(np.arccos(inside.clip(0, 1))))
    return np.median(angles, axis=0)
