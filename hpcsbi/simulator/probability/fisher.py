"""How the likelihood changes with coordinates of its model: the score, and Fisher's information."""

import torch
from torch import Tensor

from hpcsbi.simulator.probability.likelihood import Likelihood

__all__ = ["score_and_information"]


def score_and_information(
    likelihood: Likelihood, flux: Tensor, ivar: Tensor, model: Tensor, slopes: Tensor, theta: Tensor
) -> tuple[Tensor, Tensor]:
    """J^T C^-1 r and J^T C^-1 J, with the residual r and the covariance C of a spectrum.

    Sigma counts as known, and the smooth errors are integrated out.

    Arguments:
        likelihood: gives C.
        flux, ivar, model, theta: see `Likelihood.of_model`, of one draw of each object.
        slopes: J, of the model flux by each coordinate, shape (objects, coordinates, pixels).

    Returns:
        float64, shapes (objects, coordinates) and (objects, coordinates, coordinates).
    """
    pull, scaled, _, own = likelihood.over_sigma(flux, ivar, model, theta)
    rows = torch.cat([pull, slopes * torch.where(model > 0, scaled / model, 0.0)], 1)
    nothing = rows.new_zeros(1, dtype=torch.float64)
    error = likelihood.model_error(theta)
    left = likelihood.amplitudes.residuals(rows[:, None], nothing, scaled, error, own)[:, 0]
    products = rows.double() @ left.double().mT
    return products[:, 1:, 0], products[:, 1:, 1:]
