"""A noisy spectrum, and the coordinates that it gives without a flow."""

from dataclasses import replace

import numpy as np
import tiny
import torch

from hpcsbi.mcmc.coordinates import Anchored
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.table.ssp_arrays import ARRAYS
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_complete

MEAN = np.array([10.5, -0.9, 2.0, 6.5, 0.0])


def informative_prior() -> Prior:
    """The paper's columns about MEAN, none of them flat, with ages that the Universe bounds."""
    bells = {
        "logmass": {"kind": "normal", "mean": 10.4, "sd": 0.2},
        "logzsol": {"kind": "student_t", "mean": -0.8, "scale": 0.2, "degrees": 3},
        "dust2": {"kind": "normal", "mean": 1.5, "sd": 0.8},
        "tage": {"kind": "normal", "mean": 6.0, "sd": 2.0},
        "tau": {"kind": "beta", "a": 2, "b": 2},
    }
    columns = {name: tiny.DIGS[name] | {"distribution": bells[name]} for name in tiny.DIGS}
    return Prior(columns, bound_age=True)


def table_engine(prior: Prior | None = None) -> Ssp:
    """The shipped table for a prior, by default the paper's columns."""
    table = open_complete(tiny.TABLE, "tabulate")
    return Ssp(**{name: table.read(name) for name in ARRAYS}, prior=prior or tiny.prior())


def noisy_spectrum(ssp: Ssp, prior: Prior | None = None, mean: np.ndarray = MEAN) -> Batch:
    """A noisy spectrum of these coordinates, with some pixels missing."""
    prior = prior or tiny.prior()
    theta = torch.tensor(prior.theta(mean))[None].float()
    flux = ssp.flux(theta, prior.names)[0].numpy()
    flux *= 1 + 0.05 * np.random.default_rng(0).normal(size=len(flux)).astype(np.float32)
    ivar = np.where(np.arange(len(flux)) % 9 == 0, 0, (0.05 * flux) ** -2).astype(np.float32)
    flux[::9] = np.nan
    return Batch(flux[None], ivar[None], np.zeros(1, int))


def anchored_space(prior: Prior | None = None, zred: float | None = None) -> Anchored:
    """Coordinates by that spectrum, under the paper's prior or another one, at a redshift."""
    ssp = table_engine()
    batch = noisy_spectrum(ssp)
    if zred is not None:
        batch = replace(batch, zred=np.array([zred]))
    return Anchored(prior or tiny.prior(), ssp, batch)
