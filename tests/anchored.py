"""A noisy spectrum, and the coordinates that it gives without a flow."""

import numpy as np
import tiny
import torch

from hpcsbi.mcmc.coordinates import Anchored
from hpcsbi.simulator.batch import Batch
from hpcsbi.simulator.ssp_table import ARRAYS, Ssp
from hpcsbi.store.opening import open_complete

MEAN = np.array([10.5, -0.9, 2.0, 6.5, 0.0])


def table_engine() -> Ssp:
    """The shipped table for the paper's columns."""
    table = open_complete(tiny.TABLE, "tabulate")
    return Ssp(**{name: table.read(name) for name in ARRAYS}, prior=tiny.prior())


def noisy_spectrum(ssp: Ssp) -> Batch:
    """A noisy spectrum of MEAN, with some pixels missing."""
    prior = tiny.prior()
    theta = torch.tensor(prior.theta(MEAN))[None].float()
    flux = ssp.flux(theta, prior.names)[0].numpy()
    flux *= 1 + 0.05 * np.random.default_rng(0).normal(size=len(flux)).astype(np.float32)
    ivar = np.where(np.arange(len(flux)) % 9 == 0, 0, (0.05 * flux) ** -2).astype(np.float32)
    flux[::9] = np.nan
    return Batch(flux[None], ivar[None], np.zeros(1, int))


def anchored_space() -> Anchored:
    """Coordinates by that spectrum."""
    ssp = table_engine()
    return Anchored(tiny.prior(), ssp, noisy_spectrum(ssp))
