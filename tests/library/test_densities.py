"""Densities of a posterior: those of its draws, and they end where the prior does."""

import numpy as np
import pytest
import small_run as shared
import torch

import hpcsbi
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.batch import Batch
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
