"""A table of made-up populations with narrow lines, smoothed to any dispersion, and its truth."""

from collections.abc import Mapping
from functools import cache

import gas_table
import numpy as np
from dusty_table import DUST, LOG_AGE, LOGZSOL, OTHERS, optical_depth, populations
from scipy.constants import speed_of_light

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.populations import moments_of
from hpcsbi.simulator.direct.prospector_model import points_of
from hpcsbi.simulator.galaxy.delayed_tau import delayed_tau_weights
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.free_gas import LOGU
from hpcsbi.simulator.galaxy.kinematics import Dispersions, Kinematics
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior

GRID = Grid(4750.0, 5150.0, 81)
STEP = 4e-5  # in ln wavelength: 12 km/s
WAVE = np.exp(np.arange(np.log(4600.0), np.log(5300.0), STEP))
POINTS = points_of(GRID, True)
ABSORBED = (4781, 4920, 5050)
EMITTED = {4862: 1.0, 4960: 1.0, 5008: 3.0}
COLUMNS = {
    "sigma_smooth": {"low": 60.0, "high": 400.0, "log": True},
    "eline_sigma": {"low": 60.0, "high": 400.0, "log": True},
}
BOTH = tuple(COLUMNS)
CASES = {  # of dust: type, and its columns
    "screen": (2, ("dust2",)),
    "two parts": (4, ("dust2", "dust_index", "dust1_fraction")),
}
STRENGTH = {"line_strength": {"low": 0.03, "high": 3.0, "log": True}}


def prior(*names: str) -> Prior:
    """The paper's columns, and these of dust, kinematics and gas."""
    columns = {name: column for name, column in OTHERS.items() if name != "dust2"}
    more = DUST | COLUMNS | gas_table.COLUMNS
    return Prior(columns | {name: more[name] for name in names} | STRENGTH)


def narrow() -> tuple[np.ndarray, np.ndarray]:
    """Continuum and lines on WAVE, shapes (logzsol, ages, wavelengths)."""
    continuum = populations(WAVE)[0]
    for centre in ABSORBED:
        continuum = continuum * (1 - 0.3 * np.exp(-0.5 * ((WAVE - centre) / 1.5) ** 2))
    lines = sum(
        10 * strength * np.exp(-0.5 * ((WAVE - centre) / 1.2) ** 2)
        for centre, strength in EMITTED.items()
    )
    young = np.exp(-3 * np.maximum(LOG_AGE - 6, 0)) * (LOG_AGE < 7.3)
    return continuum, (young * 10 ** (0.7 * (8 - LOG_AGE)))[:, None] * lines * 10 ** (
        0.3 * LOGZSOL[:, None, None]
    )


def smoothed(spectra: np.ndarray, dispersion: float) -> np.ndarray:
    """A Gaussian in ln wavelength, by Fourier transforms, shape (..., wavelengths)."""
    width = 1e3 * dispersion / speed_of_light / STEP
    frequencies = np.fft.rfftfreq(spectra.shape[-1])
    taper = np.exp(-2 * (np.pi * frequencies * width) ** 2)
    return np.fft.irfft(np.fft.rfft(spectra) * taper, spectra.shape[-1])


def at_points(spectra: np.ndarray) -> np.ndarray:
    """From WAVE onto the points inside of the pixels, shape (..., pixels, n_fine)."""
    flat = spectra.reshape(-1, len(WAVE))
    values = np.array([np.interp(POINTS, WAVE, flux) for flux in flat])
    return values.reshape(*spectra.shape[:-1], *POINTS.shape)


def moments(spectra: np.ndarray, physics: Physics, free: Dispersions | None) -> np.ndarray:
    """Of a table, shape (..., moments, pixels)."""

    def at(dispersion: float) -> np.ndarray:
        flat = smoothed(spectra, dispersion).reshape(-1, len(WAVE))
        rows = [moments_of(at_points(flux), GRID, physics, True) for flux in flat]
        return np.array(rows).reshape(*spectra.shape[:-1], *rows[0].shape)

    if free is None:
        return at(physics.sigma_smooth)
    return free.moments(np.array([at(node) for node in free.nodes]))


def engine(dust_type: int, of: Prior) -> Ssp:
    """The engine of the made-up table."""
    physics, free = Physics(dust_type=dust_type), Kinematics.table(of.columns, GRID)
    continuum, lines = (moments(part, physics, free) for part in narrow())
    arrays = {"continuum": continuum, "lines": lines}
    if free:
        arrays["sigma_nodes"] = free.nodes
    if "gas_logu" in of.names:
        tied = gas_table.arrays(dust_type)
        arrays |= {"stars": continuum} | {name: tied[name] for name in ("ionising", "age_onto")}
        onto = np.linalg.pinv(tied["age_onto"])
        for i, name in enumerate(("gas_continuum", "gas_lines")):
            made = [[onto @ gas_table.emission(z, u, WAVE)[i] for u in LOGU.nodes] for z in LOGZSOL]
            arrays[name] = moments(np.array(made), physics, free)
    curve = dust_curve(GRID.wave, dust_type)
    return Ssp(
        logzsol=LOGZSOL, log_age=LOG_AGE, wave=GRID.wave, dust_curve=curve, prior=of,
        physics=physics, **arrays,
    )  # fmt: skip


def truth(rows: list[Mapping[str, float]], dust_type: int) -> np.ndarray:
    """Means over the pixels of all ages behind their dust, smoothed as a whole, (n, pixels)."""
    stars, of_lines, spectra = *narrow(), []
    for row in rows:
        weights = delayed_tau_weights(LOG_AGE, [row["tage"]], [row["tau"]])[0]
        at = np.interp(row["logzsol"], LOGZSOL, np.arange(len(LOGZSOL)))
        share = np.maximum(1 - np.abs(np.arange(len(LOGZSOL)) - at), 0)
        old, young = np.exp(-optical_depth(WAVE, dust_type, row))
        through = np.where((LOG_AGE <= 7.0)[:, None], young, old)
        total = 0.0
        own = row.get("eline_sigma", row["sigma_smooth"])
        parts = [(stars, 1.0, row["sigma_smooth"]), (of_lines, row["line_strength"], own)]
        for part, strength, dispersion in parts:
            flux = weights @ (np.tensordot(share, part, 1) * through)
            total = total + strength * smoothed(flux, dispersion)
        spectra.append(10 ** row["logmass"] * at_points(total).mean(-1))
    return np.array(spectra)


@cache
def engine_of(dust_type: int, *names: str) -> tuple[Prior, Ssp]:
    """Prior with these columns, and the engine of its table."""
    return prior(*names), engine(dust_type, prior(*names))
