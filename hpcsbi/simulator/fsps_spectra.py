"""The direct path: Prospector over FSPS, in child processes, because FSPS can end its process."""

import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.dust import CURVES, dust_curve
from hpcsbi.simulator.fork_server import DIED, OK, REFUSED, Nursery, NurseryError
from hpcsbi.simulator.fsps_data import FspsError, check_tree
from hpcsbi.simulator.histories import HISTORIES, History, family_of

__all__ = [
    "DIED",
    "NEEDED",
    "NOT_FINITE",
    "OK",
    "REFUSED",
    "STATUSES",
    "FspsError",
    "Physics",
    "check_names",
    "direct_spectra",
    "direct_ssps",
    "preflight",
    "spectrum",
    "versions",
]

NOT_FINITE = 3
STATUSES = {
    OK: "ok",
    DIED: "fsps_ended_its_process",
    REFUSED: "fsps_refused",
    NOT_FINITE: "not_finite",
}
NEEDED = ("logmass", "logzsol", "dust2")  # and the columns of a history
BESIDE = ("line_strength", "noise_floor")  # what else theta may hold; the second is the noise's
MOMENTS = 3

_nurseries: dict[str | None, Nursery] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Physics:
    """What is not inferred: the rest of the model.

    Arguments:
        imf_type: initial mass function of FSPS (0 Salpeter, 1 Chabrier, 2 Kroupa).
        dust_type: attenuation of FSPS (0 power law of index -0.7, 2 Calzetti).
        gas_logu: log10 of the ionisation parameter.
        sigma_smooth: velocity dispersion of stars, gas and instrument together, km/s.

    Raises:
        ValueError: a type that this project has no closed form for.
    """

    imf_type: int = 2
    dust_type: int = 2
    gas_logu: float = -2.0
    sigma_smooth: float = 350.0

    def __post_init__(self) -> None:
        if self.imf_type not in (0, 1, 2):
            raise BadInput(f"physics.imf_type is {self.imf_type}: choose 0, 1 or 2.")
        if self.dust_type not in CURVES:
            numbers = " or ".join(map(str, CURVES))
            raise BadInput(f"physics.dust_type is {self.dust_type}: choose {numbers}.")
        if not 10 <= self.sigma_smooth <= 2000 or not -4 <= self.gas_logu <= -1:
            raise BadInput(
                f"physics.sigma_smooth is {self.sigma_smooth} km/s and gas_logu {self.gas_logu}: "
                "they lie in 10 to 2000 and in -4 to -1."
            )

    def settings(self) -> dict:
        """Plain numbers from which `Physics(**settings)` makes an equal model."""
        return asdict(self)


def preflight(grid: Grid, physics: Physics) -> None:
    """Make sure that FSPS works: its tree by inspection, then one spectrum in a child process.

    Raises:
        FspsError: it does not; says why and how to mend it.
    """
    check_tree(os.environ.get("SPS_HOME"))
    row = _example(-0.3)
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
    check_names(names)
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
    logzsol: Sequence[float], grid: Grid, physics: Physics, processes: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simple stellar populations of all of FSPS's ages, in child processes.

    Arguments:
        logzsol: metallicities.
        grid, physics, processes: see `direct_spectra`.

    Returns:
        continuum, lines: L_sun / Angstrom / M_sun formed, shape (n, ages, 3, pixels); entry m is
            the pixel's mean of F (k_pixel - k)^m / m!, k the dust curve.
        log_age: log10 of age in years, shape (ages,).

    Raises:
        FspsError: a metallicity could not be made.
    """
    answers = _ask(_ssp, [(physics, grid, float(z)) for z in logzsol], processes)
    for z, (answer, value) in zip(logzsol, answers, strict=True):
        if answer != OK:
            raise FspsError(f"logzsol {z}: {STATUSES[answer]} ({value}).")
    continuum, lines, log_age = zip(*(value for _, value in answers), strict=True)
    return np.stack(continuum), np.stack(lines), log_age[0]


def spectrum(physics: Physics, grid: Grid, row: Mapping[str, float]) -> np.ndarray:
    """One spectrum in this process (call `direct_spectra`, which survives FSPS), float32."""
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
        _predict(physics, grid, _example(logzsol), lines=True)


def versions() -> dict[str, str]:
    """Versions of the packages that make the direct spectra."""
    return {name: version(name) for name in ("fsps", "astro-prospector")}


def check_names(names: Sequence[str]) -> None:
    """Refuse a theta without a column that spectra need, or with one that changes nothing."""
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise BadInput(
            f"theta has the columns {', '.join(names)}; a spectrum also needs "
            f"{', '.join(missing)}: add them in conf/prior."
        )
    known = (*NEEDED, *family_of(names).names, *BESIDE)
    idle = [name for name in names if name not in known]
    if idle:
        raise BadInput(
            f"theta has the columns {', '.join(idle)}, on which no spectrum here depends: take "
            "them out of conf/prior."
        )


def _example(logzsol: float) -> dict[str, float]:
    """A row of theta that makes a spectrum."""
    family = next(iter(HISTORIES.values()))
    return {"logmass": 0.0, "dust2": 0.5, "logzsol": logzsol, **family.example}


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


def _ssp(physics: Physics, grid: Grid, logzsol: float) -> tuple[np.ndarray, ...]:
    """All ages of one metallicity in this process, see `direct_ssps`."""
    # A prediction hands every setting of the model to FSPS.
    row = _example(logzsol)
    _predict(physics, grid, row, lines=True)
    fsps = _source().ssp
    sfh, fsps.params["sfh"], fsps.params["dust2"] = fsps.params["sfh"], 0, 0.0
    both, model = [], _model(physics, family_of(tuple(row)))
    for lines in (True, False):
        fsps.params["nebemlineinspec"] = lines
        wave, spectra = fsps.get_spectrum(tage=0.0)
        smooth = np.stack([model.smoothspec(wave, flux) for flux in spectra])
        both.append(_per_angstrom(smooth, grid))
    fsps.params["sfh"] = sfh
    full, continuum = both
    lines = _moments(full - continuum, grid, physics)
    return _moments(continuum, grid, physics), lines, fsps.ssp_ages.copy()


def _moments(fine: np.ndarray, grid: Grid, physics: Physics) -> np.ndarray:
    """Means over the pixels of F (k_pixel - k)^m / m!, shape (ages, 3, pixels)."""
    k = dust_curve(grid.fine, physics.dust_type)
    shift = dust_curve(grid.wave, physics.dust_type)[:, None] - k
    means = [(fine * shift**m / math.factorial(m)).mean(-1) for m in range(MOMENTS)]
    return np.stack(means, axis=1)


def _predict(physics: Physics, grid: Grid, row: Mapping[str, float], lines: bool) -> np.ndarray:
    """L_sun / Angstrom / M_sun formed on the fine grid, shape (pixels, n_fine)."""
    family = family_of(tuple(row))
    model = _model(physics, family)
    model.params["nebemlineinspec"] = np.array([lines])
    values = {**row, **family.prospector(row), "mass": 1.0}
    theta = [values[name] for name in model.free_params]
    maggies = model.predict(theta, obs=_observation(grid), sps=_source())[0]
    return _per_angstrom(maggies / model.flux_norm(), grid)


def _per_angstrom(per_hertz: np.ndarray, grid: Grid) -> np.ndarray:
    """L_sun / Hz at the fine wavelengths -> L_sun / Angstrom, shape (..., pixels, n_fine)."""
    from prospect.sources.constants import lightspeed

    fine = grid.fine
    return per_hertz.reshape(*per_hertz.shape[:-1], *fine.shape) * lightspeed / fine**2


@cache
def _source() -> Any:
    """The only FSPS of this process: two would share their memory and mix up their spectra."""
    from prospect.sources import CSPSpecBasis

    return CSPSpecBasis(zcontinuous=1)


@cache
def _model(physics: Physics, family: type[History]) -> Any:
    """Prospector's model of a family of histories at rest, for one solar mass."""
    from prospect.models import SpecModel
    from prospect.models.templates import TemplateLibrary

    config = {}
    for name in (family.template, "nebular", "spectral_smoothing"):
        config.update(TemplateLibrary[name])
    fixed = {"zred": 0.0, "add_dust_emission": False, **physics.settings()}
    for name, value in fixed.items():
        config.setdefault(name, {"N": 1}).update(isfree=False, init=value)
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
