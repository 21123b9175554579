"""Lines, their blends, and bands: where they lie, vacuum, rest frame, and what they are called."""

import math

import numpy as np
from scipy.constants import speed_of_light

from hpcsbi.simulator.galaxy.dust import dust_curve

__all__ = [
    "BANDS",
    "BLENDS",
    "LABELS",
    "LIGHT",
    "LINES",
    "LINE_GROUPS",
    "band_centres",
    "band_means",
    "line_centres",
    "line_sums",
]

LIGHT = 1e10 * speed_of_light  # Angstrom / s
# Angstrom. Doublets that surveys do not resolve are one line.
LINES = {
    "oii_3726_3729": (3727.10, 3729.86),
    "hbeta": (4862.71,),
    "oiii_5007": (5008.24,),
    "halpha": (6564.60,),
    "nii_6584": (6585.27,),
    "sii_6717_6731": (6718.29, 6732.67),
}
# What lines become on pixels that are wider than they are apart.
BLENDS = {
    "oii_3726_3729": LINES["oii_3726_3729"],
    "hbeta": LINES["hbeta"],
    "oiii_4959_5007": (4960.30, *LINES["oiii_5007"]),
    "halpha_nii": (6549.86, *LINES["halpha"], *LINES["nii_6584"]),
    "sii_6717_6731": LINES["sii_6717_6731"],
}
# Lines that galaxies have more or less of than FSPS, each with its share of the light of those that
# are tied: by atomic physics; those of [O II] and [S II] at low density.
LINE_GROUPS = {
    "oii": tuple(zip(LINES["oii_3726_3729"], (0.42, 0.58), strict=True)),
    "neiii": ((3869.86, 1.0),),
    "hdelta": ((4102.89, 1.0),),
    "hgamma": ((4341.69, 1.0),),
    "hbeta": ((*LINES["hbeta"], 1.0),),
    "oiii": tuple(zip(BLENDS["oiii_4959_5007"], (0.25, 0.75), strict=True)),
    "hei": ((5877.25, 1.0),),
    "oi": ((6302.05, 0.75), (6365.54, 0.25)),
    "nii": ((BLENDS["halpha_nii"][0], 0.25), (*LINES["nii_6584"], 0.75)),
    "halpha": ((*LINES["halpha"], 1.0),),
    "sii": tuple(zip(LINES["sii_6717_6731"], (0.58, 0.42), strict=True)),
}
ALPHA = "H\N{GREEK SMALL LETTER ALPHA}"
LABELS = {
    "oii_3726_3729": "[O II] 3726,3729",
    "hbeta": "Hβ",
    "oiii_5007": "[O III] 5007",
    "oiii_4959_5007": "[O III] 4959,5007",
    "halpha": ALPHA,
    "halpha_nii": f"{ALPHA}+[N II]",
    "nii_6584": "[N II] 6584",
    "sii_6717_6731": "[S II] 6717,6731",
}
SIDE = (20.0, 50.0)  # Angstrom from a line: absorption and wings within, other features beyond
# The narrow bands of the 4000 Angstrom break (Balogh et al. 1999, ApJ 527, 54), in vacuum.
BREAK = {"break_blue": (3851.1, 3951.1), "break_red": (4001.1, 4101.2)}
# Intervals in Angstrom over which flux is averaged: per Hertz in the break, per Angstrom elsewhere.
BANDS = {name: (interval,) for name, interval in BREAK.items()} | {
    f"beside_{name}": (
        (line[0] - SIDE[1], line[0] - SIDE[0]),
        (line[-1] + SIDE[0], line[-1] + SIDE[1]),
    )
    for name, line in LINES.items()
}
STEP = 0.5  # Angstrom between the points of a mean
NEAR = 1.0  # Angstrom: FSPS has the same line a little aside


def line_centres() -> np.ndarray:
    """Mean wavelength of each line, Angstrom, shape (lines,)."""
    return np.array([np.mean(line) for line in LINES.values()])


def band_centres() -> np.ndarray:
    """Mean wavelength of each band, Angstrom, shape (bands,)."""
    return np.array([_points(name).mean() for name in BANDS])


def line_sums(wave: np.ndarray, luminosity: np.ndarray) -> np.ndarray:
    """Luminosity of each line from those of all of FSPS's lines, shape (..., lines).

    Arguments:
        wave: of FSPS's lines, Angstrom, vacuum, shape (n,).
        luminosity: of each, shape (..., n).
    """
    belongs = [(np.abs(wave[:, None] - np.array(line)) < NEAR).any(1) for line in LINES.values()]
    return np.stack([luminosity[..., some].sum(-1) for some in belongs], axis=-1)


def band_means(wave: np.ndarray, flux: np.ndarray, dust_type: int, moments: int) -> np.ndarray:
    """Means over each band of F (k_centre - k)^m / m!, k the dust curve, (..., moments, bands).

    Behind a screen of optical depth t k the mean is exp(-t k_centre) sum_m t^m of them, to the
    order of the moments.

    Arguments:
        wave: Angstrom, ascending, shape (n,).
        flux: per Hertz, shape (..., n).
        dust_type: of the curve.
        moments: how many.
    """
    means = []
    for name, centre in zip(BANDS, band_centres(), strict=True):
        points = _points(name)
        # Linear in wavelength between the points of the flux.
        right = np.searchsorted(wave, points).clip(1, len(wave) - 1)
        part = (points - wave[right - 1]) / (wave[right] - wave[right - 1])
        values = flux[..., right - 1] * (1 - part) + flux[..., right] * part
        if name not in BREAK:
            values = values * LIGHT / points**2
        shift = dust_curve(centre, dust_type) - dust_curve(points, dust_type)
        means.append([(values * shift**m / math.factorial(m)).mean(-1) for m in range(moments)])
    return np.moveaxis(np.array(means), (0, 1), (-1, -2))


def _points(band: str) -> np.ndarray:
    """Wavelengths of a band, equally spaced."""
    return np.concatenate([np.arange(low + STEP / 2, high, STEP) for low, high in BANDS[band]])
