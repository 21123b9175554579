"""The direct path: Prospector over FSPS, in child processes, because FSPS can end its process."""

import os
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fork_server import DIED, OK, REFUSED, Nursery, NurseryError
from hpcsbi.simulator.direct.fsps_data import FspsError, check_tree
from hpcsbi.simulator.direct.populations import gas, gas_ages, ssps
from hpcsbi.simulator.direct.prospector_model import example_row, spectrum, warm
from hpcsbi.simulator.galaxy.kinematics import Dispersions
from hpcsbi.simulator.galaxy.physics import Physics, check_names

__all__ = [
    "DIED",
    "NOT_FINITE",
    "OK",
    "REFUSED",
    "STATUSES",
    "FspsError",
    "direct_gas",
    "direct_gas_ages",
    "direct_spectra",
    "direct_ssps",
    "preflight",
    "versions",
]

NOT_FINITE = 3
STATUSES = {
    OK: "ok",
    DIED: "fsps_ended_its_process",
    REFUSED: "fsps_refused",
    NOT_FINITE: "not_finite",
}

_nurseries: dict[str | None, Nursery] = {}
_lock = threading.Lock()


def preflight(grid: Grid, physics: Physics) -> None:
    """Make sure that FSPS works: its tree by inspection, then one spectrum in a child process.

    Raises:
        FspsError: it does not; says why and how to mend it.
    """
    check_tree(os.environ.get("SPS_HOME"))
    row = example_row(-0.3, physics)
    [(status, value)] = _ask(spectrum, [(physics, grid, row)], 1)
    if status != OK or not (np.isfinite(value).all() and (value > 0).all()):
        raise FspsError(f"its first spectrum failed ({STATUSES[status]}: {value}).")


def direct_spectra(
    theta: np.ndarray, names: Sequence[str], grid: Grid, physics: Physics, processes: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Spectra by Prospector and FSPS, row by row, in child processes.

    Arguments:
        theta: parameters in their own units, shape (n, n_theta).
        names: theta's columns.
        grid: pixels.
        physics: the rest of the model.
        processes: number of children.

    Returns:
        flux: L_sun / Angstrom of 10^logmass solar masses formed, float32, shape (n, pixels); NaN
            where there is none.
        status: a key of STATUSES, int8, shape (n,).

    Raises:
        ValueError: a column that FSPS needs is missing, or one would change nothing.
        FspsError: FSPS does not start at all.
    """
    check_names(names, physics)
    rows = [dict(zip(names, row, strict=True)) for row in np.asarray(theta, dtype=float).tolist()]
    answers = _ask(spectrum, [(physics, grid, row) for row in rows], processes)
    flux = np.full((len(rows), grid.pixels), np.nan, dtype=np.float32)
    status = np.zeros(len(rows), dtype=np.int8)
    for i, (answer, value) in enumerate(answers):
        status[i] = answer
        if answer == OK:
            flux[i] = value
    status[(status == OK) & ~np.isfinite(flux).all(1)] = NOT_FINITE
    return flux, status


def direct_ssps(
    logzsol: Sequence[float],
    grid: Grid,
    physics: Physics,
    processes: int = 1,
    free: Dispersions | None = None,
) -> dict[str, np.ndarray]:
    """Simple stellar populations of all of FSPS's ages, in child processes.

    Arguments:
        logzsol: metallicities.
        grid, physics, processes: see `direct_spectra`.
        free: dispersions that moments are polynomials in; None: all is smoothed as the physics say.

    Returns:
        By name, of one solar mass formed:

        continuum, lines: L_sun / Angstrom, shape (n, ages, 3, pixels); entry m is the pixel's mean
            of F (k_pixel - k)^m / m!, k `dust.dust_curve`. Where dispersions are free these are of
            the first polynomial, and two of each further one follow, see `terms.Term`.
        surviving_mass: solar masses in stars and remnants, shape (n, ages).
        line_luminosity: L_sun in each of `indices.LINES`, shape (n, ages, lines).
        bands: see `indices.band_means`, of stars and gas, shape (n, ages, 3, bands).
        stars, star_bands: as continuum and bands, of stars alone.
        ionising: a measure of the ionising photons, shape (n, ages).
        log_age: log10 of age in years, shape (ages,).

    Raises:
        FspsError: a metallicity could not be made.
    """
    tables = _all(ssps, [(physics, grid, float(z), free) for z in logzsol], processes)
    return tables | {"log_age": tables["log_age"][0]}


def direct_gas_ages(grid: Grid, physics: Physics) -> tuple[np.ndarray, np.ndarray]:
    """An age basis of what FSPS's gas emits over its whole grid, see `free_gas.age_basis`."""
    basis = _all(gas_ages, [(physics, grid)], 1)
    return basis["onto"][0], basis["of"][0]


def direct_gas(
    logzsol: Sequence[float],
    age_of: np.ndarray,
    grid: Grid,
    physics: Physics,
    processes: int = 1,
    free: Dispersions | None = None,
) -> dict[str, np.ndarray]:
    """What gas emits for each number of an age basis, in child processes.

    Arguments:
        logzsol: metallicities of the gas.
        age_of: the second of `direct_gas_ages`, shape (dimensions, ages).
        grid, physics, processes, free: see `direct_ssps`.

    Returns:
        By name, as `direct_ssps`, at the nodes of `free_gas.LOGU`:

        gas_continuum, gas_lines: shape (n, logu, dimensions, 3, pixels).
        gas_luminosity: shape (n, logu, dimensions, lines).
        gas_bands: shape (n, logu, dimensions, 3, bands).

    Raises:
        FspsError: a metallicity could not be made.
    """
    calls = [(physics, grid, float(z), age_of, free) for z in logzsol]
    return _all(gas, calls, processes)


def versions() -> dict[str, str]:
    """Versions of the packages that make the direct spectra."""
    return {name: version(name) for name in ("fsps", "astro-prospector")}


def _all(function: Callable[..., Any], calls: Sequence[tuple], processes: int) -> dict:
    """Arrays of all calls, one after the other along a first dimension; none may fail."""
    answers = _ask(function, calls, processes)
    for call, (answer, value) in zip(calls, answers, strict=True):
        if answer != OK:
            raise FspsError(f"{function.__name__} {call[2:3]}: {STATUSES[answer]} ({value}).")
    tables = [table for _, table in answers]
    return {name: np.stack([table[name] for table in tables]) for name in tables[0]}


def _ask(
    function: Callable[..., Any], calls: Sequence[tuple], processes: int
) -> list[tuple[int, Any]]:
    """Calls (physics, grid, ...) in children of the process that FSPS is warm in."""
    try:
        return _nursery(*calls[0][:2]).ask(function, calls, processes) if calls else []
    except NurseryError as error:
        raise FspsError(str(error)) from error


def _nursery(physics: Physics, grid: Grid) -> Nursery:
    """One for this process and tree, made when first needed, and again if it was killed."""
    home = os.environ.get("SPS_HOME")
    with _lock:
        if home not in _nurseries or not _nurseries[home].alive:
            check_tree(home)
            _nurseries[home] = Nursery(warm, (physics, grid))
        return _nurseries[home]
