"""What every family of histories is checked for: slopes, coordinates, the engine, Prospector."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fork_server import OK
from hpcsbi.simulator.direct.fsps_spectra import direct_spectra, direct_ssps
from hpcsbi.simulator.galaxy.histories import family_of
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.table.exact_spectra import exact_spectra
from hpcsbi.simulator.table.ssp_table import Ssp

LOG_AGE = np.linspace(5, 10.3, 107)
GRID, PHYSICS = Grid(), Physics()

# Of the mass, in the sum up to any age, between nodes of a delayed tau: .0141 is the largest of
# 200 000 draws of the survey prior, at tage 11.36 and tau .1; 99 % of them lie below .004.
LARGEST = 0.02


def check_slopes(mixed: Callable, log_age: np.ndarray, theta: torch.Tensor, names: Sequence[str]):
    """Automatic slopes of a spectrum by each number are those of differences, but at some kinks.

    Arguments:
        mixed: gives weights of the SSPs from columns of theta.
        log_age: of the SSPs.
        theta: float64, shape (n, n_theta).
        names: its columns.
    """
    light = torch.from_numpy(np.exp(-0.5 * (log_age - 8)))

    def brightness(theta):
        return mixed(dict(zip(names, theta.unbind(1), strict=True))) @ light

    theta = theta.clone().requires_grad_()
    (slope,) = torch.autograd.grad(brightness(theta).sum(), theta)
    assert slope.isfinite().all()
    for i, name in enumerate(names):
        step = 1e-6 * theta.detach() * torch.eye(len(names))[i]
        with torch.no_grad():
            numerical = (brightness(theta + step) - brightness(theta - step)) / (2 * step[:, i])
        close = torch.isclose(slope[:, i], numerical, rtol=1e-4, atol=1e-6)
        assert close.sum() >= 0.95 * len(theta), name


def check_coordinates(history, row: Sequence[float]):
    """Coordinates of a chain are undone, and their slope is that of finite differences."""
    theta, step = np.array([row]), 1e-5
    straight = history.straight(theta)
    back, log_slope = history.theta(straight)
    slopes = [
        (history.theta(straight + step * e)[0] - history.theta(straight - step * e)[0])[0]
        for e in np.eye(len(row))
    ]

    assert back == pytest.approx(theta, rel=1e-6)
    slope = np.linalg.slogdet(np.array(slopes) / (2 * step))[1]
    assert log_slope[0] == pytest.approx(slope, abs=1e-3)


def check_engine(arrays, prior):
    """The engine against sums of SSPs, on the prior and on its corners."""
    engine = Ssp(**arrays, prior=prior)
    rng, ends = np.random.default_rng(2), np.array(prior.bounds).T
    corners = ends[np.arange(len(ends)), rng.integers(0, 2, (200, len(ends)))]
    for rows, (median, p99) in ((prior.sample(500, rng), (1e-4, 2e-3)), (corners, (5e-4, 2e-2))):
        flux = engine.flux(torch.tensor(rows), prior.names).numpy()
        error = np.abs(np.log(flux / exact_spectra(engine, rows, prior.names)))
        assert np.median(error) < median and np.percentile(error, 99) < p99


def check_history_slopes(prior):
    """Slopes of a spectrum by each of the history's columns are those of differences."""
    history = family_of(prior.names)(prior.columns)
    columns = [i for i, name in enumerate(prior.names) if name in history.names + history.further]
    theta = torch.tensor(prior.sample(60, np.random.default_rng(1)))[:, columns]
    components = torch.from_numpy(history.components(LOG_AGE))

    def mixed(column):
        index, share = history.mixture(LOG_AGE, column)
        return (share[:, :, None] * components[index.long()]).sum(1)

    check_slopes(mixed, LOG_AGE, theta, [prior.names[i] for i in columns])


def check_prospector(prior, name):
    """Prospector's spectra are sums of FSPS's SSPs; a column that is moved a little is noticed."""
    theta = prior.sample(24, np.random.default_rng(3))[:, :-2]
    column = dict(zip(prior.names[:-2], theta.T, strict=True))
    column["logzsol"][:], column["dust2"][:] = -0.3, 0.0
    flux, status = direct_spectra(theta, tuple(column), GRID, PHYSICS)
    tables = direct_ssps([-0.3], GRID, PHYSICS)
    ssps, log_age = (tables["continuum"] + tables["lines"])[0, :, 0], tables["log_age"]
    history, good = family_of(tuple(column)), status == OK
    sums = history.weights(log_age, column) @ ssps * 10 ** column["logmass"][:, None]

    # Prospector lets a rate change within 1e-4 of an edge, and refuses bins below a million years.
    assert good.sum() >= 18
    error = np.abs(np.log(sums / flux))[good]
    assert np.median(error) < 1e-4 and error.max() < 2e-3
    column[name] = column[name] + 0.02
    other = history.weights(log_age, column) @ ssps * 10 ** column["logmass"][:, None]
    assert np.abs(np.log(other / flux))[good].max() > 3e-3  # negative control
