"""Spectra in plain arrays, or in files of surveys, to the flow's pixels, by what `ingest` does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike

from hpcsbi.errors import BadInput
from hpcsbi.flags import MEANINGS, NOT_INFERRED, Flag
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.seeds import object_seed
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.readers.column_files import from_columns
from hpcsbi.survey.readers.formats import Survey
from hpcsbi.survey.record.line_spread import LineSpread
from hpcsbi.survey.record.spectra import per_angstrom

__all__ = ["number", "observed_batch", "observed_files"]

SURVEYS = Path(__file__).parents[2] / "conf" / "survey"


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
    batch, flags, why = _row(posterior, made, 0, seed)
    if why:
        raise BadInput(f"{name}: {why}.")
    return batch, flags


def observed_files(
    posterior: Posterior,
    files: str | Path | Sequence[str | Path],
    survey: str,
    options: Mapping[str, Any],
    seed: int,
) -> Iterator[tuple[str, Batch, int, str]]:
    """Each spectrum of files, as `ingest` reads it: name, batch, flags, and why it is not inferred.

    Arguments:
        posterior: the flow.
        files: their paths, in the layout of the survey.
        survey: a file of conf/survey, without its suffix.
        options: in place of what that file says, such as `{"air": True}`.
        seed: of the run.

    Raises:
        BadInput: no such survey, an option that it has not, files of another layout.
    """
    paths = [files] if isinstance(files, str | Path) else files
    for path in map(Path, paths):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there, or is no file.")
    reader = _survey(survey, options)
    for source in reader.sources([Path(path) for path in paths]):
        rows, _ = reader.look(source)
        for block in reader.read(source, slice(0, rows)):
            made = columns_of(block, reader.air, posterior.grid, reader.spread)
            for row, name in enumerate(made["id"]):
                yield str(name), *_row(posterior, made, row, seed)


def _survey(name: str, options: Mapping[str, Any]) -> Survey:
    known = sorted(path.stem for path in SURVEYS.glob("*.yaml"))
    if name not in known:
        raise BadInput(f"survey {name!r}: choose from {', '.join(known)}.")
    settings = yaml.safe_load((SURVEYS / f"{name}.yaml").read_text())
    del settings["_target_"]
    if unknown := sorted({*options} - {field.name for field in fields(Survey)[1:]}):
        raise BadInput(f"survey {name} has no option {', '.join(unknown)}.")
    return Survey(**{**settings, **options})


def _row(
    posterior: Posterior, made: Mapping[str, np.ndarray], row: int, seed: int
) -> tuple[Batch, int, str]:
    """A row of what `columns_of` made: the batch, its flags, why nothing can be inferred of it."""
    one = slice(row, row + 1)
    flags, seeds = int(made["flags"][row]), np.array([object_seed(seed, str(made["id"][row]))])
    added = made["instrument"][one] if posterior.model.noise.instrument else None
    batch = Batch(made["flux"][one], made["ivar"][one], seeds, made["zred"][one], added)
    return batch, flags, _why_not(posterior, batch, flags, str(made["reason"][row]))


def number(name: str, value: ArrayLike) -> float:
    """One number, be it in an array.

    Raises:
        BadInput: several, or none.
    """
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} is {value!r}: it takes a number.") from error
    if array.size != 1:
        raise BadInput(f"{name} has shape {array.shape}: it takes the number of one spectrum.")
    return float(array.reshape(-1)[0])


def _vector(name: str, values: ArrayLike) -> np.ndarray:
    if hasattr(values, "unit"):  # numpy would drop it without a word
        raise BadInput(
            f"{name} has a unit ({values.unit}): pass its numbers, {name}.to_value(...), in the "
            "units that TrainedFlow names."
        )
    try:
        array = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} holds no numbers: {error}.") from error
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
