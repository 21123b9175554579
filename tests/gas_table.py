"""A table of made-up populations whose gas has any ionisation, and its spectra without one."""

from collections.abc import Mapping

import numpy as np
from dusty_table import DUST, GRID, LOG_AGE, LOGZSOL, OTHERS, optical_depth, populations
from scipy.special import exp10

from hpcsbi.simulator.direct.populations import moments_of
from hpcsbi.simulator.galaxy.delayed_tau import delayed_tau_weights
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.free_gas import LOGU, OLDEST, age_basis
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior

YOUNG = LOG_AGE < OLDEST
IONISING = 300 * exp10(-1.2 * (LOG_AGE - 5)) * (1 - 0.5 * LOGZSOL[:, None])
COLUMNS = {
    "gas_logu": {"low": -4.0, "high": -1.0},
    "gas_logz": {"low": -0.6, "high": 0.0},
    "line_strength": {"low": 0.03, "high": 3.0, "log": True},
}
LINES = {
    4862: (1.0, 0.0, 0.1),
    5008: (2.0, 0.8, -0.6),
    6565: (3.0, 0.0, 0.1),
    6720: (0.5, -0.4, 0.4),
}


def prior(*dust: str, gas_logz: bool = False) -> Prior:
    """The paper's columns, these of dust, and of gas."""
    columns = {name: column for name, column in OTHERS.items() if name != "dust2"}
    columns |= {name: DUST[name] for name in dust} | COLUMNS
    return Prior({n: c for n, c in columns.items() if gas_logz or n != "gas_logz"})


def emission(logz: float, logu: float, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Continuum and lines a photon of all young ages, with a kink in logu, (ages, *wave.shape)."""
    age, x = LOG_AGE[YOUNG][:, None] - 5, np.ravel(wave)
    lines = sum(
        strength
        * exp10(of_u * min(logu + 2.5, 0.7 * (logu + 2.5)) + of_z * logz - 0.1 * of_u * age)
        * np.exp(-0.5 * ((x - centre) / 7) ** 2)
        for centre, (strength, of_u, of_z) in LINES.items()
    )
    continuum = 0.05 * (x / 5500) ** -1.5 * exp10(0.05 * (logu + 2) - 0.02 * age * logz)
    shape = (YOUNG.sum(), *np.shape(wave))
    return continuum.reshape(shape), lines.reshape(shape)


def arrays(dust_type: int) -> dict[str, np.ndarray]:
    """Of the table."""
    physics = Physics(dust_type=dust_type)

    def moments(spectra: np.ndarray) -> np.ndarray:
        return moments_of(spectra, GRID, physics)

    stars = populations(GRID.fine)[0]
    made = [[emission(z, u, GRID.fine) for u in LOGU.nodes] for z in LOGZSOL]
    flat = np.array([np.concatenate(of, -2).mean(-1) for row in made for of in row])
    onto, of = age_basis(flat, IONISING[-1, YOUNG], np.tile(stars[-1, YOUNG].mean(-1), 2))
    tied = np.array([moments(table) for table in stars])
    return {
        "continuum": tied, "lines": 0 * tied, "stars": tied,
        "logzsol": LOGZSOL, "log_age": LOG_AGE, "wave": GRID.wave,
        "dust_curve": dust_curve(GRID.wave, dust_type),
        "ionising": IONISING, "age_onto": onto,
    } | {
        name: np.array(
            [[moments(np.tensordot(of, pair[i], 1)) for pair in row] for row in made]
        )
        for i, name in enumerate(("gas_continuum", "gas_lines"))
    }  # fmt: skip


def engine(dust_type: int, of: Prior) -> Ssp:
    """The engine of the made-up table."""
    return Ssp(**arrays(dust_type), prior=of, physics=Physics(dust_type=dust_type))


def truth(rows: list[Mapping[str, float]], dust_type: int) -> np.ndarray:
    """Means over the pixels of stars and gas of every age behind its dust, (n, pixels).

    Stars are linear between metallicities, and so is what gas emits between those of the table.
    """
    stars, spectra = populations(GRID.fine)[0], []
    for row in rows:
        weights = delayed_tau_weights(LOG_AGE, [row["tage"]], [row["tau"]])[0]
        of_stars = _shares(row["logzsol"])
        light = np.tensordot(of_stars, stars, 1)
        photons = (of_stars @ IONISING)[YOUNG]
        for z, share in zip(LOGZSOL, _shares(row.get("gas_logz", row["logzsol"])), strict=True):
            continuum, lines = emission(z, row["gas_logu"], GRID.fine)
            gas = continuum + row["line_strength"] * lines
            light[YOUNG] += share * photons[:, None, None] * gas
        old, young = np.exp(-optical_depth(GRID.fine, dust_type, row))
        behind = light * np.where((LOG_AGE <= 7.0)[:, None, None], young, old)
        spectra.append(10 ** row["logmass"] * np.tensordot(weights, behind, 1).mean(-1))
    return np.array(spectra)


def _shares(logz: float) -> np.ndarray:
    at = np.interp(logz, LOGZSOL, np.arange(len(LOGZSOL)))
    return np.maximum(1 - np.abs(np.arange(len(LOGZSOL)) - at), 0)
