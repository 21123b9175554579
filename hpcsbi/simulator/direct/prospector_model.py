"""Prospector over FSPS in this process, which FSPS can end: `fsps_spectra` calls it in others."""

import math
from collections.abc import Mapping
from copy import copy
from functools import cache
from typing import Any

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.galaxy.attenuations import ATTENUATIONS, Attenuation, attenuation_of
from hpcsbi.simulator.galaxy.histories import HISTORIES, History, family_of
from hpcsbi.simulator.galaxy.kinematics import STARS, Kinematics
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.theta.parameters import LEAST_DISPERSION

__all__ = [
    "example_row",
    "families",
    "fsps_here",
    "model_of",
    "per_angstrom",
    "points_of",
    "predict",
    "spectrum",
    "warm",
]

FREE = ("logzsol",)  # of the model; numbers of histories and dust it is told beside it


def spectrum(physics: Physics, grid: Grid, row: Mapping[str, float]) -> np.ndarray:
    """One spectrum, see `fsps_spectra.direct_spectra`, float32, shape (pixels,)."""
    if not all(map(math.isfinite, row.values())):
        raise BadInput(f"parameters {dict(row)} are not all finite")  # FSPS would not mind
    full = predict(physics, grid, row, lines=True)
    strength = row.get("line_strength", 1.0)
    of_lines = Kinematics.of_lines(row)
    if strength != 1 or of_lines is not row:
        continuum = without = predict(physics, grid, row, lines=False)
        if of_lines is not row:
            full, without = (predict(physics, grid, of_lines, lines) for lines in (True, False))
        full = continuum + strength * (full - without)
    return (full.mean(1) * 10 ** row["logmass"]).astype(np.float32)


def warm(physics: Physics, grid: Grid) -> None:
    """Make FSPS read its tree and the SSPs of all metallicities, so that children inherit them."""
    for logzsol in np.arange(-2.45, 0.5, 0.25):
        predict(physics, grid, example_row(logzsol, physics), lines=True)


def example_row(logzsol: float, physics: Physics) -> dict[str, float]:
    """A row of theta that makes a spectrum."""
    history = next(iter(HISTORIES.values()))
    dust = next(each for each in ATTENUATIONS.values() if physics.dust_type in each.dust_types)
    return {"logmass": 0.0, "logzsol": logzsol, **history.example, **dust.example}


def predict(physics: Physics, grid: Grid, row: Mapping[str, float], lines: bool) -> np.ndarray:
    """L_sun / Angstrom / M_sun formed on fine points, shape (pixels, n_fine)."""
    history, dust = families(physics, row)
    model = model_of(physics, history, dust)
    model.params["nebemlineinspec"] = np.array([lines])
    told = history.prospector(row) | dust.prospector(row) | _gas_of(physics, row)
    told |= Kinematics.prospector(row, physics.sigma_smooth)
    for name, value in told.items():
        model.params[name] = np.atleast_1d(value)
    theta = [row[name] for name in model.free_params]
    source = _source(history.source)
    free = STARS in row
    maggies = model.predict(theta, obs=_observation(grid, free), sps=source)[0]
    return per_angstrom(maggies / model.flux_norm(), points_of(grid, free))


@cache
def points_of(grid: Grid, free: bool) -> np.ndarray:
    """Wavelengths inside of the pixels, where a dispersion is free for the least of all."""
    return grid.fine_for(LEAST_DISPERSION) if free else grid.fine


def per_angstrom(per_hertz: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """L_sun / Hz at the fine wavelengths -> L_sun / Angstrom, shape (..., pixels, n_fine)."""
    from prospect.sources.constants import lightspeed

    return per_hertz.reshape(*per_hertz.shape[:-1], *fine.shape) * lightspeed / fine**2


@cache
def fsps_here() -> Any:
    """The only FSPS of this process: two would share their memory and mix up their spectra."""
    from prospect.sources import CSPSpecBasis

    return CSPSpecBasis(zcontinuous=1)


def families(physics: Physics, row: Mapping[str, float]) -> tuple[type[History], type[Attenuation]]:
    """Those of histories and of dust that a row of theta is of."""
    return family_of(tuple(row)), attenuation_of(physics.dust_type, tuple(row))


@cache
def _source(kind: str) -> Any:
    """That FSPS as it is used by a class of `prospect.sources`."""
    from prospect import sources

    source = copy(fsps_here())
    source.__class__, source.params = getattr(sources, kind), {}
    return source


def _gas_of(physics: Physics, row: Mapping[str, float]) -> dict[str, float]:
    """What Prospector calls the numbers of the gas."""
    logu = row.get("gas_logu", physics.gas_logu)
    return {"gas_logu": logu, "gas_logz": row.get("gas_logz", row["logzsol"])}


@cache
def model_of(physics: Physics, family: type[History], dust: type[Attenuation]) -> Any:
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
def _observation(grid: Grid, free: bool) -> dict:
    from prospect.utils.obsutils import fix_obs

    wave = points_of(grid, free).ravel()
    ones = np.ones(len(wave))
    mask = ones.astype(bool)
    return fix_obs(
        {"wavelength": wave, "spectrum": ones, "unc": ones, "mask": mask}
        | {"maggies": None, "filters": None}
    )
