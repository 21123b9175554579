"""Populations of FSPS in this process, as a table holds them: by age, smoothed, without dust."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.prospector_model import (
    example_row,
    families,
    fsps_here,
    model_of,
    per_angstrom,
    points_of,
    predict,
)
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.free_gas import LOGU, LOGZ, OLDEST, age_basis
from hpcsbi.simulator.galaxy.indices import band_means, line_sums
from hpcsbi.simulator.galaxy.kinematics import STARS, Dispersions
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.galaxy.terms import MOMENTS

__all__ = ["gas", "gas_ages", "moments_of", "ssps"]


def ssps(
    physics: Physics, grid: Grid, logzsol: float, free: Dispersions | None = None
) -> dict[str, np.ndarray]:
    """Populations of all ages of one metallicity, see `fsps_spectra.direct_ssps`."""
    with _populations(physics, grid, logzsol) as fsps:
        wave, full = _by_age(fsps)
        luminosity = line_sums(fsps.emline_wavelengths, fsps.emline_luminosity)
        surviving = fsps.stellar_mass.copy()
        fsps.params["nebemlineinspec"] = False
        continuum = _by_age(fsps)[1]
        fsps.params["add_neb_emission"] = False
        stars = _by_age(fsps)[1]
        ionising = _photons(fsps)
        log_age = fsps.ssp_ages.copy()
    moments, dust = _tabulation(physics, grid, wave, free), physics.dust_type
    return {
        "continuum": moments(continuum),
        "lines": moments(full, continuum),
        "stars": moments(stars),
        "surviving_mass": surviving,
        "line_luminosity": luminosity,
        "bands": band_means(wave, continuum, dust, MOMENTS),
        "star_bands": band_means(wave, stars, dust, MOMENTS),
        "ionising": ionising,
        "log_age": log_age,
    }


def gas_ages(physics: Physics, grid: Grid) -> dict[str, np.ndarray]:
    """An age basis of what gas emits, see `fsps_spectra.direct_gas_ages`."""
    lines, nebular = [], []
    with _populations(physics, grid, 0.0) as fsps:
        wave, stars, photons = _stars(fsps)
        inside = (wave > grid.edges[0]) & (wave < grid.edges[-1])
        young = fsps.ssp_ages < OLDEST
        for logz, logu in product(LOGZ, LOGU.breaks):
            line, continuum = _emission(fsps, stars, logz, logu)
            lines.append(line[young][:, inside])
            nebular.append(continuum[young][:, inside])
    emission = np.concatenate([nebular, lines], -1) / photons[young, None]
    stars = np.concatenate([stars[young][:, inside]] * 2, -1)
    onto, of = age_basis(emission, photons[young], stars)
    return {"onto": onto, "of": of}


def gas(
    physics: Physics,
    grid: Grid,
    logzsol: float,
    of: np.ndarray,
    free: Dispersions | None = None,
) -> dict[str, np.ndarray]:
    """What gas of one metallicity emits, see `fsps_spectra.direct_gas`."""
    made = {"gas_continuum": [], "gas_lines": [], "gas_luminosity": [], "gas_bands": []}
    ages, dust = of.shape[1], physics.dust_type
    with _populations(physics, grid, 0.0) as fsps:
        wave, stars, photons = _stars(fsps)
        by_age = of / photons[:ages]
        moments = _tabulation(physics, grid, wave, free)
        for logu in LOGU.nodes:
            lines, continuum = (by_age @ x[:ages] for x in _emission(fsps, stars, logzsol, logu))
            luminosity = line_sums(fsps.emline_wavelengths, fsps.emline_luminosity)[:ages]
            made["gas_continuum"].append(moments(continuum))
            made["gas_lines"].append(moments(lines))
            made["gas_luminosity"].append(by_age @ luminosity)
            made["gas_bands"].append(band_means(wave, continuum, dust, MOMENTS))
    return {name: np.stack(values) for name, values in made.items()}


@contextmanager
def _populations(physics: Physics, grid: Grid, logzsol: float) -> Iterator[Any]:
    """FSPS without dust or history, of which a spectrum is that of each of its ages."""
    # A prediction hands every setting of the model to FSPS.
    predict(physics, grid, example_row(logzsol, physics), lines=True)
    fsps = fsps_here().ssp
    sfh, fsps.params["sfh"] = fsps.params["sfh"], 0
    fsps.params["dust1"] = fsps.params["dust2"] = 0.0
    try:
        yield fsps
    finally:
        fsps.params["add_neb_emission"] = True
        fsps.params["sfh"] = sfh


def _by_age(fsps: Any) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths and spectra of all ages, L_sun / Hz."""
    return fsps.get_spectrum(tage=0.0)


def _photons(fsps: Any) -> np.ndarray:
    """A measure of each age's ionising photons: what all lines of one and the same gas emit."""
    settings = {"add_neb_emission": True, "gas_logz": 0.0, "gas_logu": -2.0}
    for name, value in settings.items():
        fsps.params[name] = value
    _by_age(fsps)
    return fsps.emline_luminosity.sum(1)


def _stars(fsps: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelengths, spectra of stars alone, and photons, of all ages."""
    fsps.params["add_neb_emission"] = False
    wave, stars = _by_age(fsps)
    return wave, stars, _photons(fsps)


def _emission(
    fsps: Any, stars: np.ndarray, logz: float, logu: float
) -> tuple[np.ndarray, np.ndarray]:
    """Spectra of the lines and the continuum of gas around all ages; FSPS keeps its lines."""
    fsps.params["gas_logz"], fsps.params["gas_logu"] = logz, logu
    fsps.params["nebemlineinspec"] = False
    continuum = _by_age(fsps)[1]
    fsps.params["nebemlineinspec"] = True
    return _by_age(fsps)[1] - continuum, continuum - stars


def _tabulation(
    physics: Physics, grid: Grid, wave: np.ndarray, free: Dispersions | None
) -> Callable:
    """What turns spectra, L_sun / Hz, into moments of those on the pixels, L_sun / Angstrom.

    Of dust, and, where dispersions are free, of polynomials in them, degree by degree, see
    `terms.Term`.
    """
    model = model_of(physics, *families(physics, example_row(0.0, physics)))
    points = points_of(grid, free is not None)

    def smooth(flux: np.ndarray, dispersion: float) -> np.ndarray:
        model.params[STARS], model._outwave = np.array([dispersion]), points.ravel()
        return per_angstrom(model.smoothspec(wave, flux), points)

    def at(dispersion: float, spectra: np.ndarray, without: np.ndarray | None) -> np.ndarray:
        rows = []
        for i, flux in enumerate(spectra):  # all at once their points fall out of the cache
            fine = smooth(flux, dispersion)
            if without is not None:
                fine = fine - smooth(without[i], dispersion)
            rows.append(moments_of(fine, grid, physics, free is not None))
        return np.array(rows)

    def moments(spectra: np.ndarray, without: np.ndarray | None = None) -> np.ndarray:
        if free is None:
            return at(physics.sigma_smooth, spectra, without)
        return free.moments(np.array([at(node, spectra, without) for node in free.nodes]))

    return moments


def moments_of(fine: np.ndarray, grid: Grid, physics: Physics, free: bool = False) -> np.ndarray:
    """Means over the pixels of F (k_pixel - k)^m / m!, shape (..., 3, pixels)."""
    powers = _powers(grid, physics.dust_type, free)
    means = [(fine * power / math.factorial(m)).mean(-1) for m, power in enumerate(powers)]
    return np.stack(means, axis=-2)


@cache
def _powers(grid: Grid, dust_type: int, free: bool) -> list[np.ndarray]:
    """Of what the dust curve of a pixel differs by inside of it, each of shape (pixels, n_fine)."""
    k = dust_curve(points_of(grid, free), dust_type)
    shift = dust_curve(grid.wave, dust_type)[:, None] - k
    return [shift**m for m in range(MOMENTS)]
