"""Coordinates of chains: there and back, Jacobians, and what moves with a spectrum."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from anchored import anchored_space, noisy_spectrum

from hpcsbi.mcmc.coordinates import Anchored, Box, FlowBase
from hpcsbi.simulator.batch import Batch
from hpcsbi.simulator.prior import age_of_universe

ONE = np.ones((1, 138), np.float32)


@pytest.fixture(scope="module")
def anchored():
    return anchored_space()


def test_coordinates_without_a_flow(anchored):
    """There and back, and a Jacobian that differences confirm."""
    z = np.random.default_rng(1).normal(size=(50, 5)) * [2, 1, 2, 1, 1]
    coordinates, log_density = anchored(z)
    inside = np.isfinite(log_density)
    assert inside.sum() > 10 and anchored.prior.inside(coordinates[inside]).all()
    assert np.allclose(anchored.points(coordinates[inside]), z[inside], atol=1e-6)

    def slopes(z, h):
        ends = (anchored(z + sign * h)[0] for sign in (1, -1))
        return (next(ends) - next(ends)) / (2 * np.abs(h).max())

    for point in z[inside][:5]:
        jacobian = np.concatenate([slopes(point[None], 0.01 * one) for one in np.eye(5)])
        expected = anchored(point[None])[1] + anchored.log_volume
        assert np.linalg.slogdet(jacobian)[1] == pytest.approx(expected[0], abs=0.01)


@pytest.mark.parametrize(("name", "amount"), [("logmass", 1.5), ("dust2", 0.6)])
def test_coordinates_move_with_the_spectrum(anchored, name, amount):
    """A brighter or redder spectrum has its mass or dust elsewhere, and all else where it was."""
    ssp, prior = anchored.ssp, anchored.prior
    batch = noisy_spectrum(ssp)
    factor = 10**amount if name == "logmass" else np.exp(-amount * ssp.k.numpy())
    flux, ivar = (
        values.astype(np.float32) for values in (batch.flux * factor, batch.ivar / factor**2)
    )
    other = Anchored(prior, ssp, replace(batch, flux=flux, ivar=ivar))
    z = 0.3 * np.random.default_rng(2).normal(size=(100, 5))
    (before, density), (after, other_density) = anchored(z), other(z)
    inside = np.isfinite(density) & np.isfinite(other_density)
    expected = np.zeros(5)
    expected[prior.names.index(name)] = amount

    assert inside.sum() > 20
    assert (after - before)[inside] == pytest.approx(np.tile(expected, (inside.sum(), 1)), abs=5e-3)


@pytest.mark.parametrize("zred", [None, 2.0])
def test_the_box_is_the_prior(zred):
    """Uniform where the prior is, zero elsewhere; ages end with that of the Universe."""
    prior = tiny.prior(survey=True)
    box = Box(prior, zred)
    low, high = prior.low, prior.upper(zred)
    wide = (high - low) * 0.1
    z = np.random.default_rng(0).uniform(low - wide, high + wide, (2000, len(low)))
    coordinates, log_density = box(z)
    inside = ((z >= low) & (z <= high)).all(1)

    assert np.array_equal(coordinates, z) and 0 < inside.mean() < 1
    assert np.array_equal(np.isfinite(log_density), inside)
    assert np.exp(log_density[inside]) * np.prod(high - low) == pytest.approx(1)
    old = z[inside][0].copy()
    old[prior.names.index("tage")] = age_of_universe(2.0) + 0.1
    assert np.isfinite(box(old[None])[1][0]) == (zred is None)


def test_the_base_of_a_flow_has_the_prior_of_its_map():
    """A flow that is an affine map: the density is its slope over the prior's volume."""
    prior = tiny.prior()
    middle, width = (prior.low + prior.high) / 2, 0.3 * (prior.high - prior.low)

    def mapping(batch):
        return lambda z: (middle + width * z, np.full(z.shape[:2], np.log(width).sum()))

    space = FlowBase(SimpleNamespace(prior=prior, mapping=mapping), Batch(ONE, ONE, np.zeros(1)))
    z = np.random.default_rng(0).normal(size=(20_000, 5))
    coordinates, log_density = space(z)
    inside = prior.inside(coordinates)

    assert coordinates == pytest.approx(middle + width * z)
    assert (log_density[~inside] == -np.inf).all() and 0 < inside.mean() < 1
    # The prior's density integrates to one, here over a normal's draws.
    weights = np.exp(log_density + 0.5 * (z**2).sum(1) + 2.5 * np.log(2 * np.pi))
    assert weights.mean() == pytest.approx(1, abs=4 * weights.std() / np.sqrt(len(z)))
