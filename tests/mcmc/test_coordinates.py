"""Coordinates of chains: there and back, Jacobians, and what moves with a spectrum."""

from dataclasses import replace

import dusty_table
import numpy as np
import pytest
import tiny
from anchored import MEAN, anchored_space, informative_prior, noisy_spectrum, table_engine

from hpcsbi.mcmc.coordinates import Anchored, Box, FlowBase
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.simulator.theta.prior import Prior

ONE = np.ones((1, 138), np.float32)


@pytest.fixture(scope="module")
def anchored():
    return anchored_space()


def history_space(name, *more):
    """Of a prior that ships, without its nuisances: MEAN, and what more columns its history has."""
    columns = tiny.columns(name)
    prior = Prior({name: columns[name] for name in [*columns][: 5 + len(more)]})
    ssp = table_engine(prior)
    return Anchored(prior, ssp, noisy_spectrum(ssp, prior, np.append(MEAN, more)))


def dusty_space():
    """Of dust with a free slope and birth clouds, by which shapes do not follow one curve."""
    prior = dusty_table.prior("dust2", "dust_index", "dust1_fraction")
    ssp = dusty_table.engine(4, prior)
    mean = np.array([10.5, -0.3, 6.5, 0.0, 1.0, -0.3, 1.0, 0.0])
    return Anchored(prior, ssp, noisy_spectrum(ssp, prior, mean))


def given_space(name, *more):
    """Of a history that began with the Universe, observed at a redshift of 0.3."""
    columns = tiny.columns(name) | {"tage": tiny.GIVEN_AGE}
    prior = Prior({name: columns[name] for name in [*columns][: 5 + len(more)]})
    ssp = table_engine(prior)
    mean = np.append(MEAN, more)
    mean[3] = age_of_universe(0.3)
    batch = replace(noisy_spectrum(ssp, prior, mean), zred=np.array([0.3]))
    return Anchored(prior, ssp, batch)


def fixed_space(*names):
    """Of columns that are fixed where the spectrum has them."""
    values = dict(zip(tiny.DIGS, tiny.prior().theta(MEAN).tolist(), strict=True))
    prior = Prior(tiny.DIGS | {name: {"given": values[name]} for name in names})
    ssp = table_engine(prior)
    return Anchored(prior, ssp, noisy_spectrum(ssp, prior))


CASES = {
    "flat": lambda: anchored_space(),
    "informative": lambda: anchored_space(informative_prior()),
    "bounded": lambda: anchored_space(informative_prior(), 0.6),
    "burst": lambda: history_space("burst", -1.0, -1.5),
    "truncated": lambda: history_space("truncated", -1.0),
    "dust": dusty_space,
    "given": lambda: given_space("survey"),
    "fixed dust": lambda: fixed_space("dust2"),
    "fixed age": lambda: fixed_space("tage"),
    "given burst": lambda: given_space("burst", -1.0, -1.5),
}


@pytest.mark.parametrize("case", CASES)
def test_coordinates_without_a_flow(case):
    """There and back, and a Jacobian that differences confirm, with the density of the prior."""
    anchored = CASES[case]()
    inferred = anchored.prior.inferred
    size = inferred.sum()
    z = np.random.default_rng(1).normal(size=(50, size)) * [2, 1, 2, *[1] * (size - 3)]
    coordinates, log_density = anchored(z)
    inside = np.isfinite(log_density)
    assert inside.sum() > 10 and anchored.prior.inside(coordinates[inside]).all()
    assert np.allclose(anchored.points(coordinates[inside]), z[inside], atol=1e-6)

    def slopes(z, h):
        ends = (anchored(z + sign * h)[0][:, inferred] for sign in (1, -1))
        return (next(ends) - next(ends)) / (2 * np.abs(h).max())

    def has_neighbours(point):
        """Outside of the prior, a step away, coordinates mean nothing."""
        steps = 0.01 * np.concatenate([np.eye(size), -np.eye(size)])
        return np.isfinite(anchored(point + steps)[1]).all()

    within = [point for point in z[inside] if has_neighbours(point)]
    assert len(within) >= 5
    for point in within[:5]:
        jacobian = np.concatenate([slopes(point[None], 0.01 * one) for one in np.eye(size)])
        coordinates, log_density = anchored(point[None])
        expected = log_density - anchored.prior.log_density(coordinates, anchored.zred)
        assert np.linalg.slogdet(jacobian)[1] == pytest.approx(expected[0], abs=0.01)


def test_a_given_age_is_that_of_the_object():
    """In every space, wherever a chain is; a redshift without such an age has no density.

    Control: at another redshift the same points have another age, and other masses.
    """
    space = given_space("survey")
    prior, tage = space.prior, space.prior.names.index("tage")
    z = 0.3 * np.random.default_rng(0).normal(size=(200, 4))
    box = Box(prior, 0.3)
    within = prior.sample_coordinates(200, np.random.default_rng(1))[:, prior.inferred]

    for each, points in ((space, z), (box, within)):
        coordinates, log_density = each(points)
        assert (coordinates[:, tage] == age_of_universe(0.3)).all()
        assert np.isfinite(log_density).mean() > 0.3
    assert np.array_equal(box(within)[0][:, prior.inferred], within)
    assert (Box(prior, 3.0)(within)[1] == -np.inf).all()
    spectrum = replace(noisy_spectrum(space.ssp, prior), zred=np.array([0.8]))
    other = Anchored(prior, space.ssp, spectrum)(z)[0]
    assert (other[:, tage] == age_of_universe(0.8)).all()
    with pytest.raises(ValueError, match="tage is given by the redshift"):
        Box(prior)


def test_the_mass_of_a_spectrum_whose_dust_is_fixed_is_where_it_was():
    """Its standard normal lies on the truth, whatever the dust; control: not on ten times it."""
    space = fixed_space("dust2")
    truth = space.points(MEAN[None])[0, 0]
    more = MEAN + np.eye(5)[0]

    assert abs(truth) < 2 < abs(space.points(more[None])[0, 0])


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


def test_scores_have_no_density_of_their_own():
    """What is neither history nor spectrum is standard normal, whatever its prior; and a point of a
    column with a distribution is where scipy's normal has it, 12 widths out as well.
    """
    prior = tiny.prior().settings()["columns"]
    prior["logzsol"]["distribution"] = {"kind": "normal", "mean": -0.5, "sd": 0.05}
    space = anchored_space(Prior(prior))
    z = np.zeros((5, 5))
    z[:, 1] = [-12, -2, 0, 2, 12]
    coordinates, log_density = space(z)

    assert coordinates[:, 1] == pytest.approx(-0.5 + 0.05 * z[:, 1], abs=1e-9)
    inside = np.isfinite(log_density)
    assert inside[1:4].all()
    assert np.diff(log_density[1:4] + 0.5 * z[1:4, 1] ** 2) == pytest.approx(0, abs=1e-9)


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


def test_the_box_of_an_informative_prior_integrates_to_one():
    """Over points uniform in it, at a redshift that cuts its ages; inside it is the prior."""
    prior = informative_prior()
    box, upper = Box(prior, 0.6), prior.upper(0.6)
    z = np.random.default_rng(0).uniform(prior.low, upper, (200_000, 5))
    weights = np.exp(box(z)[1]) * np.prod(upper - prior.low)

    assert weights.mean() == pytest.approx(1, abs=5 * weights.std() / np.sqrt(len(z)))
    assert np.isfinite(box(prior.sample_coordinates(100, np.random.default_rng(1), 0.6))[1]).all()
    assert (box(z + 1.1 * (upper - prior.low))[1] == -np.inf).all()


@pytest.mark.parametrize("prior", [tiny.prior(), informative_prior()], ids=["flat", "informative"])
def test_the_base_of_a_flow_has_the_prior_of_its_map(prior):
    """A flow that is an affine map: the density is its slope times the prior's."""
    middle, width = (prior.low + prior.high) / 2, 0.3 * (prior.high - prior.low)

    def mapping(z):
        return middle + width * z, np.full(z.shape[:2], np.log(width).sum())

    space = FlowBase(prior, mapping, None)
    z = np.random.default_rng(0).normal(size=(50_000, 5))
    coordinates, log_density = space(z)
    inside = prior.inside(coordinates)

    assert coordinates == pytest.approx(middle + width * z)
    assert (log_density[~inside] == -np.inf).all() and 0 < inside.mean() < 1
    # The prior's density integrates to one, here over a normal's draws.
    weights = np.exp(log_density + 0.5 * (z**2).sum(1) + 2.5 * np.log(2 * np.pi))
    assert weights.mean() == pytest.approx(1, abs=5 * weights.std() / np.sqrt(len(z)))
