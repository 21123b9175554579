"""Banks of noise on disk: in the spectra of a survey, and in the pairs that were made with them."""

from dataclasses import replace

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.flags import NOT_INFERRED
from hpcsbi.grid import Grid
from hpcsbi.run.readers import instruments
from hpcsbi.simulator.observation.noise import Noise
from hpcsbi.simulator.observation.noise_bank import BankNoise, Observations
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import open_complete
from hpcsbi.store.settings import refuse_other_settings
from hpcsbi.store.store import Store
from hpcsbi.survey.record.line_spread import KNOTS

__all__ = ["bank_arrays", "stored_bank", "with_bank"]

MOST = 20_000  # observations of a bank: more say no more, and every training reads them


def with_bank(noise: Noise, grid: Grid) -> Noise:
    """Noise that has its bank at hand; other noise as it is.

    Of more than MOST spectra as many are taken, evenly over the store.

    Arguments:
        noise: its `bank` is the path of a store that `ingest` made.
        grid: the pixels of the simulations.

    Raises:
        BadInput: no path, another grid, no instruments where the noise has them, too few spectra.
        FileNotFoundError: there is no such store.
    """
    if not isinstance(noise, BankNoise):
        return noise
    if noise.bank is None:
        raise BadInput(
            "noise.bank is null: name the spectra.zarr of a survey, which jobs/ingest.py makes."
        )
    store = open_complete(str(noise.bank), "ingest")
    refuse_other_settings(
        store.path,
        store.settings["grid"],
        grid.settings(),
        "Ingest the spectra of noise.bank on the grid of the simulations (asked).",
    )
    good = store.read("flags") & int(NOT_INFERRED) == 0
    rows = np.flatnonzero(good & np.isfinite(store.read("zred")))
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST)).astype(int)]
    flux, ivar, zred = (store.read(name, rows) for name in ("flux", "ivar", "zred"))
    added, _ = instruments(store, rows, noise)
    try:
        known = Observations.of_spectra(flux, ivar, zred, added, grid.wave)
    except BadInput as error:
        raise BadInput(f"noise.bank: {store.path}: {error}") from error
    return replace(noise, bank=known.summary(grid.wave), observations=known)


def bank_arrays(noise: Noise) -> dict[str, Array]:
    """Arrays in which a store of pairs takes the bank along that made them; none without one."""
    if not isinstance(noise, BankNoise):
        return {}
    known = noise.observations
    n, pixels = known.sigma.shape
    row, about = {"observation": n}, {"units": "1", "description": "over its mean, 0 where masked"}
    arrays = {
        "bank_sigma": Array(row | {"pixel": pixels}, "float32", about, known.sigma),
        "bank_snr": Array(row, "float64", {"description": "mean, in 42 Angstrom"}, known.snr),
        "bank_zred": Array(row, "float64", {"description": "ascending"}, known.zred),
    }
    if known.instrument is not None:
        shape, units = row | {"knot": KNOTS}, {"units": "km/s"}
        arrays["bank_instrument"] = Array(shape, "float32", units, known.instrument)
    return arrays


def stored_bank(noise: Noise, pairs: Store) -> Noise:
    """Noise with the bank that lies in a store of pairs; other noise as it is.

    Arguments:
        noise: that of the pairs.
        pairs: training.zarr.
    """
    if not isinstance(noise, BankNoise):
        return noise
    names = ("bank_sigma", "bank_snr", "bank_zred", "bank_instrument")
    read = [pairs.read(name) for name in names if name in pairs.arrays]
    return replace(noise, observations=Observations(*read))
