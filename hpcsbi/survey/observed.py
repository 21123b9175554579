"""Spectra as observed to rows of spectra.zarr: luminosities on the grid, flags, reasons."""

import numpy as np

from hpcsbi.flags import Flag, bits
from hpcsbi.grid import Grid, fewest_pixels
from hpcsbi.survey.geometry import Group, groups, why_unreached
from hpcsbi.survey.pixels import native_pixels, too_wide
from hpcsbi.survey.quality import quality
from hpcsbi.survey.record.classes import active_nucleus
from hpcsbi.survey.record.line_spread import KNOTS, LineSpread, at_knots
from hpcsbi.survey.record.spectra import Spectra
from hpcsbi.survey.rest_frame import (
    CM_PER_MPC,
    EXTINCTION,
    air_to_vacuum,
    luminosity_distance_cm,
    to_rest_frame,
)

__all__ = ["columns_of"]

# Galaxies that approach us (M 31, Virgo) reach -0.001; a distance must be given for them.
FIRST_ZRED, LAST_ZRED, LOCAL_ZRED = -0.01, 20.0, 0.01
# L_sun/A: a star cluster of a hundred suns, and beyond the brightest quasars.
FAINTEST, BRIGHTEST = 1e-4, 1e13


def columns_of(
    spectra: Spectra, air: bool, grid: Grid, spread: LineSpread | None = None
) -> dict[str, np.ndarray]:
    """All columns of a block of spectra but those of `Identity`.

    Arguments:
        spectra: as a reader found them.
        air: wavelengths are in air where the file does not say.
        grid: the model's pixels.
        spread: line-spread function of rows that do not tell their own; None: not known.
    """
    rows, air = len(spectra.id), air if spectra.air is None else spectra.air
    flux, ivar = np.zeros((2, rows, grid.pixels), dtype=np.float32)
    flags, distance = np.zeros(rows, dtype=np.int32), _distance(spectra)
    reason = np.full(rows, "", dtype=object)
    known, ebv = _known_ebv(spectra)
    made, wrong = groups(spectra)
    for group in made:
        on_grid = _on_grid(group, spectra, ebv, distance, air, grid)
        flux[group.rows], ivar[group.rows], flags[group.rows], reason[group.rows] = on_grid
    n_pixels, snr, marks = quality(flux, ivar, grid.edges)
    near = (spectra.zred < LOCAL_ZRED) & ~_given(spectra)
    flags |= marks | bits(
        ZWARN=spectra.zwarn,
        Z_RANGE=~_usable(spectra) | near,
        CLASS=spectra.other_class,
        AGN=active_nucleus(spectra.survey_class),
        NO_EBV=~known,
        BAD_FIBER=spectra.bad_fiber,
        NO_STATUS=spectra.no_status,
    )
    unreadable = np.array([bool(text) for text in wrong])
    flags[unreadable] = int(Flag.UNREADABLE | Flag.NO_DATA)
    reason[unreadable] = np.array(wrong, dtype=object)[unreadable]
    told = np.array([str(text) for text in spectra.reason], dtype=object)
    lost = ~_given(spectra) & ~np.isnan(spectra.distance) & (reason == "")
    reason[lost] = [f"distance {value:.4g} Mpc is not used" for value in spectra.distance[lost]]
    reason = np.where((reason == "") | (told != "") & ~unreadable, told, reason)
    return {
        "flux": flux,
        "ivar": ivar,
        "id": np.array(spectra.id),
        "zred": np.asarray(spectra.zred, dtype=float),
        "survey_class": np.array([*spectra.survey_class], dtype=str),
        "flags": flags,
        "ebv": np.where(unreadable, np.nan, ebv).astype(np.float32),
        "distance": np.where(unreadable, np.nan, distance),
        "n_pixels": n_pixels,
        "snr": snr,
        "reason": reason.astype(str),
        "instrument": _instruments(spectra, grid.wave, spread),
    }


def _instruments(spectra: Spectra, wave: np.ndarray, spread: LineSpread | None) -> np.ndarray:
    """What the instrument adds, km/s, float32, NaN where that is not known, shape (rows, KNOTS)."""
    numbers = np.full((len(spectra.id), KNOTS), np.nan, dtype=np.float32)
    use = np.flatnonzero((spectra.zred > FIRST_ZRED) & (spectra.zred <= LAST_ZRED))
    if spread is not None:
        numbers[use] = spread.at_knots(wave, spectra.zred[use])
    if spectra.dispersion is not None:
        for row in use:
            native = spectra.wave if np.ndim(spectra.wave) == 1 else spectra.wave[row]
            own = at_knots(wave, native / (1 + spectra.zred[row]), spectra.dispersion[row])
            numbers[row] = np.where(np.isfinite(own), own, numbers[row])
    return numbers


def _on_grid(
    group: Group,
    spectra: Spectra,
    ebv: np.ndarray,
    distance: np.ndarray,
    air: bool,
    grid: Grid,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """flux, ivar as float32, flags and reasons; rows without a redshift stay masked."""
    wave = air_to_vacuum(group.wave) if air else group.wave
    zred, ebv, distance = (values[group.rows] for values in (spectra.zred, ebv, distance))
    flux, ivar = np.zeros((2, len(zred), grid.pixels), dtype=np.float32)
    flags = bits(
        ALL_MASKED=~(group.ivar > 0).any(1),
        NOT_FINITE=~np.isfinite(group.flux).any(1),
    )
    use = np.isfinite(distance)
    if use.all():
        use = slice(None)  # a view: copies of 64 spectra cost as much as regridding them
    z = zred[use]
    if len(z):
        cm = distance[use] * CM_PER_MPC
        f, i = to_rest_frame(
            wave, group.flux[use], group.ivar[use], z, ebv[use], cm, spectra.unit, grid.edges
        )
        flags[use] |= _absurd(f, i) | _cut(wave, z, ebv[use], grid)
        with np.errstate(over="ignore", under="ignore"):
            flux[use], ivar[use] = f, i
        ivar[~(np.isfinite(flux) & np.isfinite(ivar))] = 0.0  # beyond what float32 holds
        flux[ivar == 0] = 0.0
    reason = np.full(len(zred), "", dtype=object)
    few = (ivar > 0).sum(1) < fewest_pixels(grid.pixels)
    for row in np.flatnonzero(few | (flags & int(Flag.LUMINOSITY) > 0)):
        spectrum = (wave, group.flux[row], group.ivar[row], zred[row])
        reason[row] = _why(*spectrum, flags[row], distance[row], spectra.unit, grid)
    odd = ~np.isfinite(group.ivar.sum(1, dtype=float)) | (group.ivar.min(1) < 0)
    for row in np.flatnonzero(odd & (reason == "")):
        reason[row] = _no_pixel(group.flux[row], group.ivar[row])
    return flux, ivar, flags, reason


def _absurd(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Flags of rows that no galaxy can be, by the larger of flux and noise, L_sun/A."""
    valid = ivar > 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        size = np.where(valid, np.maximum(np.abs(flux), 1 / np.sqrt(ivar)), np.inf)
    middle = valid.sum(1) // 2  # masked pixels come last
    typical = np.take_along_axis(np.sort(size, axis=1), middle[:, None], axis=1)[:, 0]
    typical[~valid.any(1)] = 1.0
    return bits(LUMINOSITY=~((typical > FAINTEST) & (typical < BRIGHTEST)))


def _cut(wave: np.ndarray, zred: np.ndarray, ebv: np.ndarray, grid: Grid) -> np.ndarray:
    """Flags of rows that have pixels within the grid's range which cannot be used."""
    first, last = grid.edges[0] * (1 + zred), grid.edges[-1] * (1 + zred)
    low, high = np.maximum(first, wave[0]), np.minimum(last, wave[-1])
    dust = (ebv > 0) & (low < high) & ((low < EXTINCTION[0]) | (high > EXTINCTION[1]))
    if np.diff(wave).max() <= grid.widths.min() * (1 + zred.min()):
        return bits(DUST_RANGE=dust)
    inside = (wave > first[:, None]) & (wave < last[:, None])
    edges, places = native_pixels(wave)
    wide = too_wide(edges, zred, grid.edges)
    wide = (wide if places is None else wide[:, places]) & inside
    return bits(DUST_RANGE=dust, WIDE_PIXELS=wide.any(1))


def _why(
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    zred: float,
    flags: int,
    distance: float,
    unit: float,
    grid: Grid,
) -> str:
    """Why a row has no data, in words."""
    good = (ivar > 0) & (ivar < np.inf) & np.isfinite(flux)
    if not good.any():
        return _no_pixel(flux, ivar)
    if not np.isfinite(distance):
        mend = ": a redshift of 0 or less takes a DISTANCE" if FIRST_ZRED < zred <= 0 else ""
        return f"redshift {zred:.6g} is not between 0 and {LAST_ZRED:g}{mend}"
    if flags & Flag.LUMINOSITY:
        scale = 4 * np.pi * (distance * CM_PER_MPC) ** 2 * (1 + zred) * unit / 3.839e33
        typical = np.median(np.abs(flux[good])) * scale
        return (
            f"median {typical:.1e} L_sun/A at {distance:.4g} Mpc: is a factor (such as 1e-17) "
            f"missing in the unit of the flux, {unit:.3g} erg/s/cm2/A?"
        )
    if flags & Flag.WIDE_PIXELS:
        inside = wave[(wave > grid.edges[0] * (1 + zred)) & (wave < grid.edges[-1] * (1 + zred))]
        steps = np.diff(inside if len(inside) > 1 else wave)
        width, narrowest = np.median(steps) / (1 + zred), grid.widths.min()
        atleast = "" if grid.spacing == "linear" else "from "
        return (
            f"pixels of {width:.4g} Angstrom (rest frame), the grid's are {atleast}{narrowest:.4g}"
        )
    near = good & (wave > grid.edges[0] * (1 + zred)) & (wave < grid.edges[-1] * (1 + zred))
    if near.sum() > 1 and np.ptp(wave[near]) > 0.2 * (grid.last - grid.first):
        return f"{(~good).sum()} of {len(wave)} pixels have no weight: {_no_pixel(flux, ivar)}"
    return why_unreached(wave[good], zred, grid.edges[0], grid.edges[-1])


def _no_pixel(flux: np.ndarray, ivar: np.ndarray) -> str:
    """What is wrong with flux and ivar, by number of pixels."""
    faults = {
        "ivar is 0": ivar == 0,
        "ivar is infinite": ivar == np.inf,
        "ivar is negative": ivar < 0,
        "ivar is NaN": np.isnan(ivar),
        "flux is not finite": ~np.isfinite(flux),
    }
    told = [f"{what} in {bad.sum()}" for what, bad in faults.items() if bad.any()]
    return f"{', '.join(told) or 'pixels left out'} of {len(ivar)} pixels"


def _distance(spectra: Spectra) -> np.ndarray:
    """Luminosity distance used, Mpc; NaN for rows whose redshift cannot be used."""
    use, given = _usable(spectra), _given(spectra)
    distance = np.where(use & given, spectra.distance, np.nan)
    hubble = use & ~given
    distance[hubble] = luminosity_distance_cm(spectra.zred[hubble]) / CM_PER_MPC
    return distance


def _usable(spectra: Spectra) -> np.ndarray:
    """True for redshifts that shift, and give or come with a distance."""
    first = np.where(_given(spectra), FIRST_ZRED, 0.0)
    return (spectra.zred > first) & (spectra.zred <= LAST_ZRED)


def _given(spectra: Spectra) -> np.ndarray:
    return (spectra.distance > 0) & (spectra.distance < np.inf)


def _known_ebv(spectra: Spectra) -> tuple[np.ndarray, np.ndarray]:
    """True where E(B-V) is known, and its value, 0 where it is not."""
    known = (spectra.ebv >= 0) & (spectra.ebv < np.inf)
    return known, np.where(known, spectra.ebv, 0.0)
