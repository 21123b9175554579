"""From observed spectra to the model's pixels: rest frame, vacuum, L_sun/A, without Galactic dust.

A pixel's value is the mean of F_lambda over its valid part, also on grids whose `sampling` is
"point": a real spectrum has no value at a point, and over 42 Angstrom the two differ at lines only.

Pixels of the grid are taken as independent. Neighbours share the native pixel on their edge: in
pixels of three native ones 6 % of the noise, which `regrid` tells as noise of each. What a survey's
own resampling correlates over two or three native pixels is not told: of pixels as narrow sigma is
6 to 9 % too small, of pixels of 42 Angstrom it is right.
"""

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.survey.pixels import WIDEST, native_pixels, too_wide

__all__ = [
    "CM_PER_MPC",
    "LINES",
    "LINE_GAP",
    "LSUN",
    "MIN_COVER",
    "air_to_vacuum",
    "extinction_curve",
    "luminosity_distance_cm",
    "regrid",
    "to_rest_frame",
]

LSUN = 3.839e33  # erg/s, the constant of FSPS
CM_PER_MPC = 3.0856775814913674e24
MIN_COVER = 0.9  # a gap of 10 % on H-alpha can lose 40 % of a pixel's flux
LINE_GAP = 6.0  # Angstrom, rest frame
EXTINCTION = (1000.0, 33_333.4)  # Angstrom, where the curve is known
AIR_FROM = 2000.0  # Angstrom: wavelengths below are given in vacuum, by convention

# Strong emission lines, vacuum Angstrom: a pixel that holds one is bad when a native pixel near
# the line is bad, since its mean would lose the line but not its share of the continuum.
LINES = np.array([
    3728.5, 3869.9, 3890.2, 4102.9, 4341.7, 4862.7, 4960.3, 5008.2,
    5877.2, 6302.0, 6549.9, 6564.6, 6585.3, 6718.3, 6732.7, 9071.1,
])  # fmt: skip


def regrid(
    edges: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    zred: np.ndarray,
    out_edges: np.ndarray,
    min_cover: float = MIN_COVER,
) -> tuple[np.ndarray, np.ndarray]:
    """Means over rest-frame pixels, with a variance that counts each native pixel once.

    Native pixels are taken as flat; a pixel on an edge is shared by overlap. Each of its shares
    counts as a measurement of its own, with so much of the information: the sum of the output's
    ivar is that of the input's for even noise, whatever the widths (the variance of the mean alone
    would count a native pixel again in every output pixel that it touches, for their noise is
    taken as independent; with 50 native pixels in an output pixel the two differ by 0.7 %). Native
    pixels wider than the output's are bad (`too_wide`). Sums run inside each
    output pixel (not as differences of one long cumulative sum, which a single pixel of 1e20 ruins
    for all pixels behind it).

    Arguments:
        edges: edges of the native pixels, observed frame, shape (native + 1,).
        flux, ivar: shape (rows, native); ivar 0, negative or not finite, or a flux that is not
            finite, means bad.
        zred: redshift of each row, above -1, shape (rows,).
        out_edges: edges of the output pixels, rest frame, shape (pixel + 1,).
        min_cover: share of an output pixel that must be valid.

    Returns:
        flux, ivar of shape (rows, pixel), float64, in the input's units; both 0 where less than
        min_cover is valid, or a bad native pixel lies within LINE_GAP of a strong line in it.

    Raises:
        ValueError: shapes that do not fit, or a redshift that is not above -1.
    """
    zred = np.asarray(zred, dtype=float)
    if flux.shape != ivar.shape or flux.shape != (len(zred), len(edges) - 1):
        raise BadInput(
            f"flux {flux.shape}, ivar {ivar.shape}, zred {zred.shape} and edges {edges.shape} "
            "do not fit: expected (rows, native) twice, (rows,) and (native + 1,)."
        )
    if not (zred > -1).all():
        raise BadInput(f"row {np.argmin(zred > -1)}: redshift {zred.min()} is not above -1.")
    good = _good(flux, ivar)
    width = np.diff(edges)
    if width.max() > WIDEST * np.diff(out_edges).min() * (1 + zred.min()):
        good &= ~too_wide(edges, zred, out_edges)
    observed = out_edges * (1 + zred)[:, None]
    where, share = _locate(edges, observed)
    valid = _overlap(good * width, where, share)
    total = _overlap(np.where(good, flux, 0.0) * width, where, share)
    noise = np.divide(width**2, ivar, out=np.zeros(ivar.shape), where=good)
    variance = _overlap(noise, where, share)
    keep = (valid >= min_cover * np.diff(observed, axis=1)) & (variance > 0)
    keep &= ~_lines_cut(edges, good, zred, out_edges)
    zero = np.zeros(keep.shape)
    return (
        np.divide(total, valid, out=zero.copy(), where=keep),
        np.divide(valid**2, variance, out=zero, where=keep),
    )


def to_rest_frame(
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    zred: np.ndarray,
    ebv: np.ndarray,
    distance_cm: np.ndarray,
    unit: float,
    out_edges: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Observed flux densities to luminosity densities on the rest-frame grid.

    L_lambda(rest) = 4 pi D^2 (1 + z) F_lambda(observed) 10^(0.4 A_lambda).

    Arguments:
        wave: centres of the native pixels, observed frame, vacuum Angstrom, shape (native,).
        flux, ivar: shape (rows, native), in `unit` and `unit`^-2; ivar 0 is the mask.
        zred, ebv, distance_cm: redshift, Galactic E(B-V) and luminosity distance, shape (rows,).
        unit: erg/s/cm2/A of one unit of flux.
        out_edges: edges of the output pixels, rest frame, shape (pixel + 1,).

    Returns:
        flux [L_sun/A], ivar [(L_sun/A)^-2], float64, shape (rows, pixel); masked where dust is to
        be corrected beyond the range of the curve, 1000 Angstrom to 3.3 micrometres.
    """
    edges, places = native_pixels(wave)
    if places is not None:
        wave = 0.5 * (edges[1:] + edges[:-1])
        flux, ivar = (_spread(values, places, len(wave)) for values in (flux, ivar))
    bluest = (out_edges[0] - LINE_GAP) * (1 + zred.min())
    reddest = (out_edges[-1] + LINE_GAP) * (1 + zred.max())
    first, last = np.searchsorted(edges, (bluest, reddest))
    used = slice(max(first - 2, 0), max(last + 1, 2))
    edges = edges[used.start : used.stop + 1]
    gain = _gain(ebv, wave[used])
    scale = (4 * np.pi * unit / LSUN * distance_cm**2 * (1 + zred))[:, None]
    f, i = regrid(edges, flux[:, used] * gain, ivar[:, used] / gain**2, zred, out_edges)
    return f * scale, i / scale**2


def extinction_curve(wave: np.ndarray) -> np.ndarray:
    """A(lambda) / A(V) of the Milky Way for R_V = 3.1; NaN beyond 1000 Angstrom to 3.3 micrometres.

    Arguments:
        wave: Angstrom.

    References:
        Cardelli, Clayton & Mathis 1989, ApJ 345, 245 (infrared and below 3030 Angstrom);
        O'Donnell 1994, ApJ 422, 158 (between); both by dust_extinction.
    """
    from astropy import units
    from dust_extinction.parameter_averages import O94  # a second to import

    wave = np.asarray(wave, dtype=float)
    known = (wave >= EXTINCTION[0]) & (wave <= EXTINCTION[1])
    curve = np.full(wave.shape, np.nan)
    curve[known] = O94(Rv=3.1)((1e4 / wave[known]).clip(*O94.x_range) / units.micron)
    return curve


def luminosity_distance_cm(zred: np.ndarray) -> np.ndarray:
    """Luminosity distance in WMAP9, cm, shape of zred; to 1e-9 of astropy's up to z = 20.

    Arguments:
        zred: redshifts, 0 or above.
    """
    from astropy.constants import c
    from astropy.cosmology import WMAP9

    zred = np.asarray(zred, dtype=float)
    node, weight = np.polynomial.legendre.leggauss(48)
    # In ln(1 + z) the integrand is smooth enough for 48 nodes.
    steps = np.log1p(zred)[..., None] * 0.5 * (node + 1)
    slope = np.exp(steps) * WMAP9.inv_efunc(np.expm1(steps))
    integral = 0.5 * np.log1p(zred) * (slope * weight).sum(-1)
    return (1 + zred) * integral * (c / WMAP9.H0).to_value("cm")


def air_to_vacuum(wave: np.ndarray) -> np.ndarray:
    """Vacuum wavelength of a wavelength in standard air, Angstrom; below 2000 as it is.

    Wavelengths below 2000 Angstrom are given in vacuum by convention, and the formula has poles.

    References:
        Morton 1991, ApJS 77, 119, equation 3, solved by iteration.
    """
    wave = np.asarray(wave, dtype=float)
    vacuum = air = np.maximum(wave, AIR_FROM)
    for _ in range(3):
        s = (1e4 / vacuum) ** 2
        vacuum = air * (1 + 6.4328e-5 + 2.94981e-2 / (146 - s) + 2.5540e-4 / (41 - s))
    return np.where(wave < AIR_FROM, wave, vacuum)


def _spread(values: np.ndarray, places: np.ndarray, cells: int) -> np.ndarray:
    """Values at their places among the cells, 0 in the gaps."""
    spread = np.zeros((len(values), cells))
    spread[:, places] = values
    return spread


def _gain(ebv: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Factor that undoes Galactic dust, NaN where it is not known, shape (rows, pixel)."""
    magnitudes = 3.1 * np.multiply.outer(ebv, extinction_curve(wave))
    magnitudes[ebv == 0] = 0.0
    return np.exp(0.4 * np.log(10) * magnitudes)


def _good(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Pixels that count; below float32's range 1 / ivar is no variance."""
    return (ivar > np.finfo(np.float32).tiny) & (ivar < np.inf) & np.isfinite(flux)


def _locate(edges: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Native pixel that holds each wavelength, and the share of it that lies below."""
    where = np.searchsorted(edges, at.ravel(), side="right").reshape(at.shape) - 1
    where = where.clip(0, len(edges) - 2)
    low = edges[where]
    return where, ((at - low) / (edges[where + 1] - low)).clip(0.0, 1.0)


def _overlap(values: np.ndarray, where: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Sum of values over each output pixel, times the share of pixels on its edges."""
    at = np.take_along_axis(values, where, axis=1)
    left, right = where[:, :-1], where[:, 1:]
    ends = (1 - share[:, :-1]) * at[:, :-1] + share[:, 1:] * at[:, 1:]
    inside = (share[:, 1:] - share[:, :-1]) * at[:, :-1]
    whole = _pieces(np.add, values, left + 1, right)
    return np.where(left == right, inside, ends + whole)


def _pieces(ufunc: np.ufunc, values: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """ufunc over values[row, start:stop] for each row and piece; 0 where the piece is empty."""
    rows, native = values.shape
    first = np.arange(rows)[:, None] * native
    # reduceat takes start, stop, start, ... of one long array; the pieces between are not used.
    last = rows * native - 1
    cuts = np.stack([first + start, first + stop], axis=-1)
    made = ufunc.reduceat(values.ravel(), cuts.clip(0, last).ravel())[::2].reshape(start.shape)
    return np.where(start < stop, made, 0)


def _lines_cut(
    edges: np.ndarray, good: np.ndarray, zred: np.ndarray, out_edges: np.ndarray
) -> np.ndarray:
    """True for output pixels that hold a strong line with a bad native pixel near it."""
    lines = LINES[slice(*np.searchsorted(LINES, out_edges[[0, -1]]))]
    low, high = ((lines + side) * (1 + zred)[:, None] for side in (-LINE_GAP, LINE_GAP))
    start = (np.searchsorted(edges, low, side="right") - 1).clip(0)
    stop = np.searchsorted(edges, high).clip(max=len(edges) - 1)
    bad = _pieces(np.logical_or, ~good, start, stop).astype(bool)
    bad |= (low < edges[0]) | (high > edges[-1])
    cut = np.zeros((len(zred), len(out_edges) - 1), dtype=bool)
    pixel = np.searchsorted(out_edges, lines, side="right") - 1
    np.logical_or.at(cut, (slice(None), pixel), bad)
    return cut
