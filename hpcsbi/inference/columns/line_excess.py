"""Lines that galaxies have more or less of than the model: what a posterior knows of the excess.

The likelihood integrates over the amplitudes of `templates.line_curves`; given a draw of theta they
are normal, with mean and covariance in closed form, and a posterior is the mixture over its draws.
"""

import numpy as np
import torch

from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.probability.predictive import N_DRAWS
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.schema import Schema
from hpcsbi.tensors import tensors_on

__all__ = ["EXCESS", "MOMENTS", "line_excess_columns", "line_group_names"]

MOMENTS = ("mean", "sd")
EXCESS: Schema = {
    "line_excess": (
        ("row", "moment", "line_group"),
        "float32",
        "Angstrom of equivalent width that lines have over the model, rest frame; with an sd near "
        "noise.line_error the spectrum says nothing",
    ),
}


def line_group_names(likelihood: Likelihood | None) -> dict[str, tuple[str, ...]]:
    """Names along the dimensions of EXCESS; none where the flow's noise has no error of lines."""
    if likelihood is None or not likelihood.amplitudes.groups:
        return {}
    return {"moment": MOMENTS, "line_group": likelihood.amplitudes.groups}


@torch.no_grad()
def line_excess_columns(
    prior: Prior, likelihood: Likelihood | None, drawn: Draws, batch: Batch
) -> dict[str, np.ndarray]:
    """Mean and standard deviation, NaN without draws, shape (objects, MOMENTS, line groups).

    Arguments:
        prior: that of the draws.
        likelihood: integrates over the lines; no column of one that does not.
        drawn: equally weighted draws, of which the first N_DRAWS count.
        batch: the spectra.
    """
    if likelihood is None or not likelihood.amplitudes.groups:
        return {}
    columns = np.full((len(batch), len(MOMENTS), len(likelihood.amplitudes.groups)), np.nan)
    counts = np.minimum(drawn.kept, N_DRAWS)
    for kept in np.unique(counts[counts > 0]):
        rows = counts == kept
        theta = prior.theta(drawn.coordinates[rows, :kept], np.float32)
        flux, ivar, *instrument = batch[rows].spectra
        arrays = flux, ivar, theta, *instrument
        tensors = tensors_on(likelihood.device, arrays)
        moments = likelihood.amplitudes.of_line_groups(*likelihood.draws_over_sigma(*tensors))
        mean, variance = (values.cpu().numpy() for values in moments)
        columns[rows, 0] = mean.mean(1)
        columns[rows, 1] = np.sqrt(variance.mean(1) + mean.var(1))
    return {"line_excess": columns}
