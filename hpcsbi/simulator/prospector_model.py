"""Prospector over FSPS in this process, which FSPS can end: `fsps_spectra` calls it in others."""

import math
from collections.abc import Mapping
from copy import copy
from functools import cache
from typing import Any

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.attenuations import ATTENUATIONS, Attenuation, attenuation_of
from hpcsbi.simulator.dust import dust_curve
from hpcsbi.simulator.histories import HISTORIES, History, family_of
from hpcsbi.simulator.indices import band_means, line_sums
from hpcsbi.simulator.physics import Physics

__all__ = ["example_row", "spectrum", "ssps", "warm"]

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
    # A prediction hands every setting of the model to FSPS.
    row = example_row(logzsol, physics)
    _predict(physics, grid, row, lines=True)
    fsps = _fsps().ssp
    sfh, fsps.params["sfh"] = fsps.params["sfh"], 0
    fsps.params["dust1"] = fsps.params["dust2"] = 0.0
    both, model = [], _model(physics, *_families(physics, row))
    for lines in (True, False):
        fsps.params["nebemlineinspec"] = lines
        wave, spectra = fsps.get_spectrum(tage=0.0)
        smooth = np.stack([model.smoothspec(wave, flux) for flux in spectra])
        both.append(_per_angstrom(smooth, grid))
    luminosity = line_sums(fsps.emline_wavelengths, fsps.emline_luminosity)
    surviving = fsps.stellar_mass.copy()
    fsps.params["sfh"] = sfh
    full, continuum = both
    return {
        "continuum": _moments(continuum, grid, physics),
        "lines": _moments(full - continuum, grid, physics),
        "surviving_mass": surviving,
        "line_luminosity": luminosity,
        "bands": band_means(wave, spectra, physics.dust_type, MOMENTS),
        "log_age": fsps.ssp_ages.copy(),
    }


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
    for name, value in (history.prospector(row) | dust.prospector(row)).items():
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
