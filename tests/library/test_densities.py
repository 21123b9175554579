"""Densities of a posterior: they integrate to one and end where the prior does."""

import numpy as np
import pytest
import small_run as shared
import torch
from scipy.stats import multivariate_normal

import hpcsbi

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
    assert size > 20 and (np.abs(weights @ coordinates - mean) < 5 * sd / np.sqrt(size)).all()
    assert abs(np.log(np.mean(np.exp(log_ratio)))) < 1.5


def test_the_density_of_the_flow_is_normalised(flow):
    """The mean over its draws of a narrow Gaussian's density over its own is one.

    References:
        Gelfand & Dey 1994, J. R. Stat. Soc. B 56, 501.
    """
    posterior = flow(**(shared.nucleus(0) | {"draws": 4000}), certificate=False)
    theta = posterior.draws.to_numpy(np.float32)
    coordinates = flow.prior.coordinates(theta)
    narrow = multivariate_normal(np.median(coordinates, 0), 0.3 * np.cov(coordinates.T))
    jacobian = np.log(np.where(flow.prior.log, theta * np.log(10), 1.0)).sum(1)

    ratio = np.exp(
        narrow.logpdf(coordinates) - posterior.log_prob(torch.tensor(theta)).numpy() - jacobian
    )

    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.2 and abs(ratio.mean() - 1) < 5 * error + 0.05


@pytest.mark.parametrize("certificate", [True, False])
def test_outside_of_the_prior_is_nothing(flow, certificate):
    """Beyond a bound, and older than the Universe."""
    posterior = flow(**(shared.nucleus(0) | {"certificate": certificate, "draws": 100}))
    theta = posterior.sample((3,))
    theta[0, flow.parameters.index("dust2")] = -0.1
    theta[1, flow.parameters.index("tage")] = 13.79

    assert torch.isinf(posterior.log_prob(theta)).tolist() == [True, True, False]
