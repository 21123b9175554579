"""Densities of a posterior: those of its draws, and they end where the prior does."""

import numpy as np
import pytest
import small_run as shared
import tiny
import torch

import hpcsbi
from hpcsbi.library.densities import most_probable
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.store.opening import open_complete

NOISE = 100.0  # times the noise of a nucleus


@pytest.fixture(scope="module")
def flow(small_run):
    return hpcsbi.load_flow(small_run / "flows" / "demo")


def test_the_exact_density_over_the_flows_weights_its_draws(flow):
    """Weighted by it they have the mean of the certificate's own, and its evidence roughly.

    Of a noisy spectrum, which so small a flow knows; the draws are others than the certificate's.
    """
    spectrum = shared.nucleus(0)
    noisy = spectrum | {"ivar": spectrum["ivar"] / NOISE**2, "draws": 4000}
    exact, own = flow(**noisy), flow(**noisy, certificate=False, seed=1)
    assert exact.certificate["origin"] == "reweighted"
    theta = own.draws.to_numpy(np.float32)
    log_ratio = (exact.log_prob(torch.tensor(theta)) - own.log_prob(torch.tensor(theta))).numpy()

    weights = np.exp(log_ratio - log_ratio.max())
    weights /= weights.sum()

    size = 1 / (weights**2).sum()
    coordinates, theirs = (flow.prior.coordinates(x) for x in (theta, exact.draws.to_numpy()))
    mean, sd = exact.weights @ theirs, np.sqrt(np.cov(theirs.T, aweights=exact.weights).diagonal())
    assert size > 5 and (np.abs(weights @ coordinates - mean) < 5 * sd / np.sqrt(size)).all()
    assert abs(np.log(np.mean(np.exp(log_ratio)))) < 1.5


def test_the_density_of_the_flow_is_that_of_its_map(flow, small_run):
    """Of draws that the map from the base space made, with the slope that it told, over the share
    of them inside of the prior.
    """
    own = flow(**(shared.nucleus(0) | {"draws": 4000}), certificate=False)
    store = open_complete(small_run / "spectra.zarr", "infer")
    flux, ivar, zred = (store.read(name, slice(0, 1)) for name in ("flux", "ivar", "zred"))
    batch = Batch(flux, ivar, np.array([7]), zred)
    drawn = load_posterior(small_run / "flows" / "demo").sample(batch, 4000, 50)
    theta = flow.prior.theta(drawn.coordinates[0])
    jacobian = np.log(np.where(flow.prior.log, theta * np.log(10), 1.0)).sum(1)

    theirs = own.log_prob(torch.tensor(theta).float()).numpy() + jacobian
    difference = theirs - drawn.log_prob[0]
    share = float(drawn.acceptance[0])
    error = np.sqrt(2 * share * (1 - share) / 4000)
    assert np.quantile(np.abs(difference - np.median(difference)), 0.9) < 0.02
    assert np.exp(-np.median(difference)) == pytest.approx(share, abs=5 * error + 0.002)


@pytest.mark.parametrize("certificate", [True, False])
def test_outside_of_the_prior_is_nothing(flow, certificate):
    """Beyond a bound, and older than the Universe."""
    posterior = flow(**(shared.nucleus(0) | {"certificate": certificate, "draws": 100}))
    theta = posterior.sample((3,))
    theta[0, flow.parameters.index("dust2")] = -0.1
    theta[1, flow.parameters.index("tage")] = 13.79

    assert torch.isinf(posterior.log_prob(theta)).tolist() == [True, True, False]


def normal(prior, inside, seed):
    """A normal of strong correlations in coordinates, cut to the box: its density, draws, mode.

    The mean lies in the box, or beyond its lower end in the first column that is inferred.
    """
    rng, free = np.random.default_rng(seed), prior.inferred
    low, width = prior.low[free], (prior.high - prior.low)[free]
    mean = low + width * (0.5 if inside else np.where(np.arange(len(low)) == 0, -0.02, 0.5))
    mixing = 0.05 * (np.eye(len(low)) + 0.9 * np.tri(len(low), k=-1))
    inverse = np.linalg.inv(width[:, None] * mixing)

    def log_density(theta):
        coordinates = prior.coordinates(theta.numpy().astype(float))
        values = -0.5 * (((coordinates[:, free] - mean) @ inverse.T) ** 2).sum(1)
        coordinates[:, ~free] = draws[0, ~free]  # which float32 rounds
        return torch.from_numpy(np.where(prior.inside(coordinates), values, -np.inf))

    draws = np.repeat(prior.sample_coordinates(1, rng, 0.1), 4000, 0)
    draws[:, free] = mean + rng.standard_normal((4000, len(low))) @ (width[:, None] * mixing).T
    return log_density, draws[prior.inside(draws)], mean, inverse


@pytest.mark.parametrize("seed", range(3))
def test_the_most_probable_of_a_known_density(seed):
    """That of a normal is its mean; the best of the draws is not, and given columns stay."""
    prior = hpcsbi.Prior(tiny.columns("survey") | {"dust_index": {"given": -0.7}})
    log_density, draws, mean, inverse = normal(prior, True, seed)

    theta = most_probable(log_density, prior, draws)

    coordinates = prior.coordinates(theta.astype(float))
    assert np.abs(inverse @ (coordinates[prior.inferred] - mean)).max() < 0.02
    best = draws[np.argmax(log_density(torch.tensor(prior.theta(draws, np.float32))))]
    assert np.abs(inverse @ (best[prior.inferred] - mean)).max() > 0.1
    assert np.allclose(coordinates[~prior.inferred], draws[0, ~prior.inferred], rtol=1e-6)


def test_the_most_probable_lies_inside_of_the_prior():
    """Where the density would go on rising beyond a bound, it is at the bound."""
    prior = hpcsbi.Prior(tiny.columns("survey"))
    log_density, draws, mean, _ = normal(prior, False, 0)

    theta = most_probable(log_density, prior, draws)

    coordinates = prior.coordinates(theta.astype(float))[prior.inferred]
    assert prior.inside(prior.coordinates(theta.astype(float)))
    assert coordinates[0] - prior.low[prior.inferred][0] < 0.01 * (prior.high - prior.low)[0]
    assert mean[0] < prior.low[prior.inferred][0]
