"""One spectrum in plain arrays to the flow's pixels, by what `ingest` does with a table."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hpcsbi.errors import BadInput
from hpcsbi.flags import MEANINGS, NOT_INFERRED, Flag
from hpcsbi.inference.posterior import Posterior
from hpcsbi.seeds import object_seed
from hpcsbi.simulator.batch import Batch
from hpcsbi.survey.column_files import from_columns
from hpcsbi.survey.line_spread import LineSpread
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.spectra import per_angstrom

__all__ = ["observed_batch"]


def observed_batch(
    posterior: Posterior,
    vectors: dict[str, ArrayLike],
    numbers: dict[str, float],
    name: str,
    flux_unit: str,
    line_spread: Sequence[Sequence[float]],
    seed: int,
) -> tuple[Batch, int]:
    """A batch of one spectrum that can be inferred, and its flags of `ingest`.

    Arguments:
        posterior: the flow.
        vectors: wave, flux and ivar, see `TrainedFlow`.
        numbers: zred, ebv and distance, NaN where not known.
        name, flux_unit, line_spread, seed: see `TrainedFlow`.

    Raises:
        BadInput: arrays that are no spectrum, or one that cannot be inferred; in one line.
    """
    arrays = {key: _vector(key, value) for key, value in vectors.items()}
    if len({len(array) for array in arrays.values()}) > 1:
        told = ", ".join(f"{key} has {len(array)}" for key, array in arrays.items())
        raise BadInput(f"{told} pixels: a spectrum takes as many of each.")
    if not np.isfinite(numbers["zred"]):
        raise BadInput(f"zred={numbers['zred']}: a posterior takes the redshift of the spectrum.")
    columns = {key: array[None] for key, array in arrays.items()} | {"wave": arrays["wave"]}
    columns |= {key: np.array([value], dtype=float) for key, value in numbers.items()}
    spectra = from_columns(columns | {"id": [name]}, per_angstrom(flux_unit, "flux_unit"), [name])
    spread = LineSpread(*zip(*line_spread, strict=True)) if line_spread else None
    made = columns_of(spectra, False, posterior.grid, spread)
    flags = int(made["flags"][0])
    added = made["instrument"] if posterior.model.noise.instrument else None
    batch = Batch(
        made["flux"], made["ivar"], np.array([object_seed(seed, name)]), made["zred"], added
    )
    if why := _why_not(posterior, batch, flags, str(made["reason"][0])):
        raise BadInput(f"{name}: {why}.")
    return batch, flags


def _vector(name: str, values: ArrayLike) -> np.ndarray:
    if hasattr(values, "unit"):  # numpy would drop it without a word
        raise BadInput(
            f"{name} has a unit ({values.unit}): pass its numbers, {name}.to_value(...), in the "
            "units that TrainedFlow names."
        )
    array = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)
    if array.ndim != 1:
        raise BadInput(f"{name} has shape {array.shape}: it takes one spectrum, shape (pixels,).")
    return array


def _why_not(posterior: Posterior, batch: Batch, flags: int, reason: str) -> str:
    """Why nothing can be inferred, "" where it can."""
    if flags & NOT_INFERRED:
        first = next(flag for flag in MEANINGS if flags & flag & NOT_INFERRED)
        return reason or MEANINGS[first]
    if not posterior.prior.given.covers(batch.zred).all():
        return MEANINGS[Flag.GIVEN_RANGE]
    if batch.instrument is not None and not np.isfinite(batch.instrument).all():
        return (
            "the flow takes what the instrument adds to dispersions: give line_spread, pairs of "
            "observed wavelength [Angstrom] and resolution, such as [(3600, 2000), (9800, 5000)]"
        )
    if not posterior.usable(batch.flux, batch.ivar).all():
        return f"this flow cannot measure {(batch.ivar > 0).sum()} pixels of such numbers"
    return ""
