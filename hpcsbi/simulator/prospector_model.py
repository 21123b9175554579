"""Prospector over FSPS in this process, which FSPS can end: `fsps_spectra` calls it in others."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.attenuations import ATTENUATIONS, Attenuation, attenuation_of
from hpcsbi.simulator.dust import dust_curve
from hpcsbi.simulator.free_gas import LOGU, LOGZ, OLDEST, age_basis
from hpcsbi.simulator.histories import HISTORIES, History, family_of
from hpcsbi.simulator.indices import band_means, line_sums
from hpcsbi.simulator.physics import Physics

__all__ = ["example_row", "gas", "gas_ages", "spectrum", "ssps", "warm"]

MOMENTS = 3
FREE = ("logzsol",)  # of the model; numbers of histories and dust it is told beside it


def spectrum(physics: Physics, grid: Grid, row: Mapping[str, float]) -> np.ndarray:
    """One spectrum, see `fsps_spectra.direct_spectra`, float32, shape (pixels,)."""
    if not all(map(math.isfinite, row.values())):
        raise BadInput(f"parameters {dict(row)} are not all finite")  # FSPS would not mind
    full = _predict(physics, grid, row, lines=True)
    strength = row.get("line_strength", 1.0)
    if strength != 1:
        continuum = _predict(physics, grid, row, lines=False)
        full = continuum + strength * (full - continuum)
    return (full.mean(1) * 10 ** row["logmass"]).astype(np.float32)


def warm(physics: Physics, grid: Grid) -> None:
    """Make FSPS read its tree and the SSPs of all metallicities, so that children inherit them."""
    for logzsol in np.arange(-2.45, 0.5, 0.25):
        _predict(physics, grid, example_row(logzsol, physics), lines=True)


def example_row(logzsol: float, physics: Physics) -> dict[str, float]:
    """A row of theta that makes a spectrum."""
    history = next(iter(HISTORIES.values()))
    dust = next(each for each in ATTENUATIONS.values() if physics.dust_type in each.dust_types)
    return {"logmass": 0.0, "logzsol": logzsol, **history.example, **dust.example}


def ssps(physics: Physics, grid: Grid, logzsol: float) -> dict[str, np.ndarray]:
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
    smooth = _smoothing(physics, grid, wave)
    continua, dust = smooth(continuum), physics.dust_type
    return {
        "continuum": _moments(continua, grid, physics),
        "lines": _moments(smooth(full) - continua, grid, physics),
        "stars": _moments(smooth(stars), grid, physics),
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


def gas(physics: Physics, grid: Grid, logzsol: float, of: np.ndarray) -> dict[str, np.ndarray]:
    """What gas of one metallicity emits, see `fsps_spectra.direct_gas`."""
    made = {"gas_continuum": [], "gas_lines": [], "gas_luminosity": [], "gas_bands": []}
    ages, dust = of.shape[1], physics.dust_type
    with _populations(physics, grid, 0.0) as fsps:
        wave, stars, photons = _stars(fsps)
        by_age = of / photons[:ages]
        smooth = _smoothing(physics, grid, wave)
        for logu in LOGU.nodes:
            lines, continuum = (by_age @ x[:ages] for x in _emission(fsps, stars, logzsol, logu))
            luminosity = line_sums(fsps.emline_wavelengths, fsps.emline_luminosity)[:ages]
            made["gas_continuum"].append(_moments(smooth(continuum), grid, physics))
            made["gas_lines"].append(_moments(smooth(lines), grid, physics))
            made["gas_luminosity"].append(by_age @ luminosity)
            made["gas_bands"].append(band_means(wave, continuum, dust, MOMENTS))
    return {name: np.stack(values) for name, values in made.items()}


@contextmanager
def _populations(physics: Physics, grid: Grid, logzsol: float) -> Iterator[Any]:
    """FSPS without dust or history, of which a spectrum is that of each of its ages."""
    # A prediction hands every setting of the model to FSPS.
    _predict(physics, grid, example_row(logzsol, physics), lines=True)
    fsps = _fsps().ssp
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


def _smoothing(physics: Physics, grid: Grid, wave: np.ndarray) -> Callable:
    """What turns spectra, L_sun / Hz, into those on the fine grid, L_sun / Angstrom."""
    model = _model(physics, *_families(physics, example_row(0.0, physics)))

    def smooth(spectra: np.ndarray) -> np.ndarray:
        rows = np.stack([model.smoothspec(wave, flux) for flux in spectra])
        return _per_angstrom(rows, grid)

    return smooth


def _moments(fine: np.ndarray, grid: Grid, physics: Physics) -> np.ndarray:
    """Means over the pixels of F (k_pixel - k)^m / m!, shape (ages, 3, pixels)."""
    k = dust_curve(grid.fine, physics.dust_type)
    shift = dust_curve(grid.wave, physics.dust_type)[:, None] - k
    means = [(fine * shift**m / math.factorial(m)).mean(-1) for m in range(MOMENTS)]
    return np.stack(means, axis=1)


def _predict(physics: Physics, grid: Grid, row: Mapping[str, float], lines: bool) -> np.ndarray:
    """L_sun / Angstrom / M_sun formed on the fine grid, shape (pixels, n_fine)."""
    history, dust = _families(physics, row)
    model = _model(physics, history, dust)
    model.params["nebemlineinspec"] = np.array([lines])
    told = history.prospector(row) | dust.prospector(row) | _gas_of(physics, row)
    for name, value in told.items():
        model.params[name] = np.atleast_1d(value)
    theta = [row[name] for name in model.free_params]
    source = _source(history.source)
    maggies = model.predict(theta, obs=_observation(grid), sps=source)[0]
    return _per_angstrom(maggies / model.flux_norm(), grid)


def _per_angstrom(per_hertz: np.ndarray, grid: Grid) -> np.ndarray:
    """L_sun / Hz at the fine wavelengths -> L_sun / Angstrom, shape (..., pixels, n_fine)."""
    from prospect.sources.constants import lightspeed

    fine = grid.fine
    return per_hertz.reshape(*per_hertz.shape[:-1], *fine.shape) * lightspeed / fine**2


@cache
def _fsps() -> Any:
    """The only FSPS of this process: two would share their memory and mix up their spectra."""
    from prospect.sources import CSPSpecBasis

    return CSPSpecBasis(zcontinuous=1)


def _families(
    physics: Physics, row: Mapping[str, float]
) -> tuple[type[History], type[Attenuation]]:
    return family_of(tuple(row)), attenuation_of(physics.dust_type, tuple(row))


@cache
def _source(kind: str) -> Any:
    """That FSPS as it is used by a class of `prospect.sources`."""
    from prospect import sources

    source = copy(_fsps())
    source.__class__, source.params = getattr(sources, kind), {}
    return source


def _gas_of(physics: Physics, row: Mapping[str, float]) -> dict[str, float]:
    """What Prospector calls the numbers of the gas."""
    logu = row.get("gas_logu", physics.gas_logu)
    return {"gas_logu": logu, "gas_logz": row.get("gas_logz", row["logzsol"])}


@cache
def _model(physics: Physics, family: type[History], dust: type[Attenuation]) -> Any:
    """Prospector's model of a family of histories, and one of dust, at rest, for one solar mass."""
    from prospect.models import SpecModel
    from prospect.models.templates import TemplateLibrary

    config = {}
    for name in (*family.templates, "nebular", "spectral_smoothing"):
        config.update(TemplateLibrary[name])
    # FSPS keeps what it was told last, if only by another family: 0 is none of it.
    alike = [each for each in HISTORIES.values() if each.source == family.source]
    known = {name for each in alike for name in each.prospector(each.example)}
    fixed = dict.fromkeys(sorted(known), 0.0) | family.prospector(family.example)
    fixed |= dust.prospector(dust.example)
    fixed |= {"zred": 0.0, "add_dust_emission": False, **physics.settings()}
    config["gas_logz"].pop("depends_on")  # it is told beside theta, as all of the gas
    if "depends_on" not in config["mass"]:
        fixed["mass"] = 1.0
    for name, value in fixed.items():
        config.setdefault(name, {"N": 1})["init"] = value
    for name, settings in config.items():
        settings["isfree"] = name in FREE
    model = SpecModel(config)
    # FSPS draws the lines: Prospector renormalises its own over whatever pixels it is given.
    model.params["elines_to_ignore"] = model.emline_info["name"]
    return model


@cache
def _observation(grid: Grid) -> dict:
    from prospect.utils.obsutils import fix_obs

    wave = grid.fine.ravel()
    ones = np.ones(len(wave))
    mask = ones.astype(bool)
    return fix_obs(
        {"wavelength": wave, "spectrum": ones, "unc": ones, "mask": mask}
        | {"maggies": None, "filters": None}
    )
