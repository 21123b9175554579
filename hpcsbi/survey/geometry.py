"""The geometry of every reader's spectra, checked in one place, each row for itself.

What comes out are rows that share wavelengths, as arrays that fit, or a reason for each other row.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hpcsbi.survey.record.spectra import Spectra, Vectors

__all__ = ["Group", "groups", "why_unreached"]

# What wavelengths look like that are not in Angstrom: name, and factor to Angstrom.
OTHER_UNITS = (
    ("micrometre", lambda wave: wave * 1e4),
    ("nanometre", lambda wave: wave * 10),
    ("log10 of Angstrom", lambda wave: 10 ** np.minimum(wave, 30)),
    ("natural logarithm of Angstrom", lambda wave: np.exp(np.minimum(wave, 30))),
    ("metre", lambda wave: wave * 1e10),
)


@dataclass(frozen=True)
class Group:
    """Rows of a block that share their native pixels.

    Arguments:
        rows: which rows of the block, shape (rows,), or a slice for all of them.
        wave: increasing, shape (pixel,).
        flux, ivar: shape (rows, pixel).
    """

    rows: np.ndarray | slice
    wave: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray


def groups(spectra: Spectra) -> tuple[list[Group], list[str]]:
    """Rows that can be used, in groups of equal wavelengths, and what is wrong with each row.

    A row is refused that the reader could not read, whose vectors are missing or of different
    lengths, or whose wavelengths are not two or more finite, positive, increasing numbers.

    Returns:
        The groups, and a reason for each row, "" for those in a group.
    """
    rows = len(spectra.id)
    without = [_row(spectra.flux, row, rows) is None for row in range(rows)]
    told = zip(spectra.reason, without, strict=True)
    reasons = [str(reason) if nothing else "" for reason, nothing in told]
    vectors = (spectra.wave, spectra.flux, spectra.ivar)
    if not any(reasons) and all(isinstance(v, np.ndarray) for v in vectors):
        shape, wave = np.shape(spectra.flux), spectra.wave
        fits = len(shape) == 2 and np.shape(spectra.ivar) == shape
        if fits and wave.shape == shape and (wave == wave[:1]).all():
            wave = wave[0]
        if fits and wave.shape == shape[1:] and not _wavelengths(wave):
            return [Group(slice(None), _float(wave), spectra.flux, spectra.ivar)], reasons
    made, runs = [], deque(_runs(spectra))
    while runs:
        run = runs.popleft()
        row_vectors = [_row(vector, run.start, rows) for vector in vectors]
        reason = reasons[run.start] or _unlike(*row_vectors)
        group = None if reason else _group(run, *vectors, rows)
        if group is not None:
            reason = _wavelengths(group.wave)
        if not reason:
            made.append(group)
        elif run.stop - run.start > 1:  # each for itself
            runs.extendleft(slice(row, row + 1) for row in reversed(range(run.start, run.stop)))
        else:
            reasons[run.start] = reason
    return made, reasons


def why_unreached(wave: np.ndarray, zred: float, first: float, last: float) -> str:
    """Why a spectrum has too few pixels on a grid, with the range found and what it looks like.

    Arguments:
        wave: native pixels with weight, Angstrom.
        zred: redshift.
        first, last: edges of the grid, rest frame.
    """
    coverage = (
        f"wavelengths {wave.min():.6g} to {wave.max():.6g} Angstrom at z = {zred:.4g} cover too "
        f"little of {first:.0f} to {last:.0f} (rest frame)"
    )
    if _overlap(wave, zred, first, last) > 0.05:
        return coverage
    like = [
        name for name, convert in OTHER_UNITS if _overlap(convert(wave), zred, first, last) > 0.05
    ]
    if zred > 0.05 and _overlap(wave, 0.0, first, last) > 0.5:
        like.append("the rest frame")
    return f"{coverage}: are they in {' or '.join(like)}?" if like else coverage


def _overlap(wave: np.ndarray, zred: float, first: float, last: float) -> float:
    """Share of the grid between the first and last wavelength."""
    low, high = wave.min() / (1 + zred), wave.max() / (1 + zred)
    return float(np.clip(min(high, last) - max(low, first), 0, None) / (last - first))


def _group(run: slice, wave: Vectors, flux: Vectors, ivar: Vectors, rows: int) -> Group:
    """Rows whose vectors fit each other; their wavelengths may still be wrong."""
    at = range(run.start, run.stop)
    shared = np.asarray(_row(wave, run.start, rows))
    f, i = (np.array([vectors[row] for row in at], dtype=float) for vectors in (flux, ivar))
    return Group(np.array(at), *_without_padding(shared, f, i))


def _without_padding(
    wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Without pixels that have neither a wavelength nor weight, as rows of a rectangle end."""
    if wave.dtype.kind not in "fiu":
        return wave, flux, ivar
    keep = np.isfinite(wave) & (wave > 0)
    if keep.all() or (ivar[..., ~keep] > 0).any():
        return wave, flux, ivar
    return wave[keep], flux[..., keep], ivar[..., keep]


def _runs(spectra: Spectra) -> Iterator[slice]:
    """Neighbouring rows with the same wavelengths."""
    rows = len(spectra.id)
    waves, regular = (
        spectra.wave,
        all(
            isinstance(v, np.ndarray) and np.ndim(v) == 2 and len(v) == rows
            for v in (spectra.wave, spectra.flux, spectra.ivar)
        ),
    )
    if not regular or waves.shape != spectra.flux.shape or waves.shape != spectra.ivar.shape:
        yield from (slice(row, row + 1) for row in range(rows))
        return
    starts = [0, *(1 + np.flatnonzero((waves[1:] != waves[:-1]).any(1))), rows]
    yield from (slice(int(a), int(b)) for a, b in pairwise(starts))


def _row(vectors: Vectors, row: int, rows: int) -> np.ndarray | None:
    """The vector of one row; wavelengths of one axis are those of every row."""
    if isinstance(vectors, np.ndarray) and vectors.ndim == 1 and vectors.dtype != object:
        return vectors
    return vectors[row] if row < len(vectors) else None


def _unlike(wave: np.ndarray | None, flux: np.ndarray | None, ivar: np.ndarray | None) -> str:
    """In what the vectors of one row do not fit each other, "" if they do."""
    named = {"wave": wave, "flux": flux, "ivar": ivar}
    if missing := [name for name, values in named.items() if values is None]:
        return f"{' and '.join(missing)} missing"
    shapes = {name: np.shape(values) for name, values in named.items()}
    if any(len(shape) != 1 for shape in shapes.values()):
        return f"not one vector each: {', '.join(f'{k} {v}' for k, v in shapes.items())}"
    if len(set(shapes.values())) > 1:
        lengths = ", ".join(f"{name} {shape[0]}" for name, shape in shapes.items())
        return f"lengths differ: {lengths}"
    return ""


def _wavelengths(wave: Sequence[float]) -> str:
    """What is wrong with wavelengths, with the place and the range; "" if nothing is."""
    try:
        wave = _float(wave)
    except (TypeError, ValueError):
        return "wavelengths are no numbers"
    if len(wave) < 2:
        return f"{len(wave)} pixel{'s' * (len(wave) != 1)}: it takes two or more"
    mend = "pad a row by going on with the wavelengths and setting ivar to 0"
    for what, bad in (("not finite", ~np.isfinite(wave)), ("not positive", ~(wave > 0))):
        if bad.any():
            at = np.argmax(bad)
            return f"{bad.sum()} wavelengths are {what} (pixel {at}: {wave[at]:.6g}): {mend}"
    step = np.diff(wave)
    if (step > 0).all():
        return ""
    if (step < 0).all():
        return f"wavelengths decrease, {wave[0]:.6g} to {wave[-1]:.6g}: make them increasing"
    at = int(np.argmax(step <= 0))
    what = "repeat" if (step >= 0).all() else "are not increasing"
    return (
        f"wavelengths {what} (pixels {at} and {at + 1}: {wave[at]:.8g}, {wave[at + 1]:.8g}; "
        f"{(step <= 0).sum()} such steps)"
    )


def _float(values: Sequence[float]) -> np.ndarray:
    return np.asarray(values, dtype=float)
