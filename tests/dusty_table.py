"""A table of made-up populations for any type of dust, and its spectra without table or moments.

Populations have a slope, a break, absorption and emission lines that change with age and
metallicity, on wavelengths two Angstrom apart; of them the table has moments, the truth has sums.
"""

import numpy as np
import tiny

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.populations import moments_of
from hpcsbi.simulator.galaxy.delayed_tau import delayed_tau_weights
from hpcsbi.simulator.galaxy.dust import birth_cloud, dust_curve, kriek_conroy
from hpcsbi.simulator.galaxy.indices import band_means, line_centres
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.galaxy.terms import MOMENTS
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior

GRID = Grid()
LOG_AGE = np.linspace(5.0, 10.3, 54)
LOGZSOL = np.array([-0.6, -0.3, 0.0])
EMISSION = {3728: 1.0, 4862: 1.0, 5008: 3.0, 6300: 0.1, 6565: 3.0, 6720: 0.7}
DUST = {
    "dust2": {"low": 0.0, "high": 4.0},
    "dust_index": {"low": -1.0, "high": 0.4},
    "dust1_fraction": {"low": 0.0, "high": 2.0},
}
OTHERS = tiny.DIGS | {"logzsol": {"low": -0.6, "high": 0.0}, "tage": {"low": 0.01, "high": 13.0}}


def prior(*dust: str) -> Prior:
    """The paper's columns and these of dust."""
    columns = {name: column for name, column in OTHERS.items() if name != "dust2"}
    strength = {"line_strength": {"low": 0.03, "high": 3.0, "log": True}}
    return Prior(columns | {name: DUST[name] for name in dust} | strength)


def populations(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Continuum and lines at these wavelengths, shapes (logzsol, ages, *wave.shape)."""
    age, z = (LOG_AGE - 8)[None, :, None], LOGZSOL[:, None, None]
    x = np.ravel(wave) / 5500
    blue = x ** (0.9 * age + 0.4 * z - 1.0) * (1 + 0.3 * np.tanh((x - 0.73) / 0.01) * (age > 0))
    absorbed = 1 - 0.4 * np.exp(-0.5 * ((x * 5500 - 4103) / 8) ** 2 - (age - 1) ** 2)
    lines = sum(
        strength
        * 10 ** (0.3 * z * np.sin(centre))
        * np.exp(-0.5 * ((x - centre / 5500) * 786) ** 2)
        for centre, strength in EMISSION.items()
    )
    level = 10 ** (-0.7 * age)
    young = np.exp(-((np.maximum(age + 2, 0) / 1.0) ** 2)) * (LOG_AGE < 7.3)[None, :, None]
    shape = (len(LOGZSOL), len(LOG_AGE), *np.shape(wave))
    return (level * blue * absorbed).reshape(shape), (level * young * lines).reshape(shape)


def engine(dust_type: int, of: Prior) -> Ssp:
    """The engine of the made-up table."""
    physics = Physics(dust_type=dust_type)
    moments = [
        [moments_of(each, GRID, physics) for each in part] for part in populations(GRID.fine)
    ]
    continuum, lines = np.array(moments)
    curve = dust_curve(GRID.wave, dust_type)
    return Ssp(continuum, lines, LOGZSOL, LOG_AGE, GRID.wave, curve, of, physics)


def derived_arrays(dust_type: int) -> dict[str, np.ndarray]:
    """What derived quantities read of the table."""
    wave = np.arange(3400.0, 7200.0, 1.0)
    continuum, lines = populations(wave)
    return {
        "surviving_mass": np.full((len(LOGZSOL), len(LOG_AGE)), 0.7),
        "line_luminosity": populations(line_centres())[1],
        "bands": band_means(wave, (continuum + lines) * wave**2, dust_type, MOMENTS),
    }


def optical_depth(wave: np.ndarray, dust_type: int, row: dict[str, float]) -> np.ndarray:
    """Of old and of young stars, by the closed forms of FSPS, shape (2, *wave.shape)."""
    index = row.get("dust_index")
    curve = dust_curve(wave, dust_type) if index is None else kriek_conroy(wave, index)
    cloud = row.get("dust1_fraction", 0.0) * birth_cloud(wave)
    return row["dust2"] * np.stack([curve, curve + cloud])


def truth(theta: np.ndarray, names: tuple[str, ...], dust_type: int) -> np.ndarray:
    """Means over the pixels of what every population sends through its dust, (n, pixels)."""
    continuum, lines = populations(GRID.fine)
    spectra = []
    for row in (dict(zip(names, each, strict=True)) for each in theta):
        weights = delayed_tau_weights(LOG_AGE, [row["tage"]], [row["tau"]])[0]
        at = np.interp(row["logzsol"], LOGZSOL, np.arange(len(LOGZSOL)))
        share = np.maximum(1 - np.abs(np.arange(len(LOGZSOL)) - at), 0)
        light = np.tensordot(share, continuum + row["line_strength"] * lines, 1)
        old, young = np.exp(-optical_depth(GRID.fine, dust_type, row))
        behind = light * np.where((LOG_AGE <= 7.0)[:, None, None], young, old)
        spectra.append(10 ** row["logmass"] * np.tensordot(weights, behind, 1).mean(-1))
    return np.array(spectra)
