"""The tail of importance weights is measured: known shapes, known targets."""

import numpy as np
import pytest
from scipy import stats

from hpcsbi import weights


@pytest.mark.parametrize("k", [0.1, 0.4, 0.7, 1.0])
def test_pareto_k_finds_the_shape_of_a_generalised_pareto(k):
    """The mean over 40 sets of Pareto weights is their shape, drawn a little towards 1/2."""
    rng = np.random.default_rng(1)
    sets = stats.genpareto.rvs(k, size=(40, 10_000), random_state=rng)

    found = np.mean([weights.pareto_k(np.log(row)) for row in sets])

    pulled = (300 * k + 5) / 310
    assert found == pytest.approx(pulled, abs=0.04)


def test_pareto_k_of_a_proposal_too_narrow_is_above_the_limit():
    """A narrow normal as proposal for a wide one has k = 1 - s^2; a wider one has none."""
    rng = np.random.default_rng(0)

    def k(width, n=20_000):
        x = width * rng.normal(size=n)
        return weights.pareto_k(-(x**2) / 2 + x**2 / (2 * width**2))

    assert k(0.4) > 0.7  # 1 - 0.16 = 0.84
    assert k(1.1) < 0.2


def test_pareto_k_is_blind_to_the_constant_and_to_rejected_draws():
    """Adding a constant changes nothing, and too few weights are no tail."""
    log_weights = np.random.default_rng(0).normal(size=1000)

    assert weights.pareto_k(log_weights) == pytest.approx(weights.pareto_k(log_weights + 700))
    assert weights.pareto_k(np.zeros(1000)) == -np.inf
    assert weights.pareto_k(np.zeros(10)) == np.inf
    assert weights.pareto_k(np.where(np.arange(1000) < 20, 0.0, -np.inf)) == np.inf


def test_effective_sample_size_of_known_weights():
    """Equal weights count fully, one weight counts once, weights of zero not at all."""
    log_weights = np.full((4, 100), -1e4)
    log_weights[1, 1:] = -np.inf
    log_weights[2, :50] = -np.inf
    log_weights[3] = -np.inf

    assert weights.effective_sample_size(log_weights) == pytest.approx([100, 1, 50, 0])


def test_effective_sample_size_of_gaussians():
    """A normal of width s as proposal for N(0, 1) has efficiency sqrt(2 s^2 - 1) / s^2."""
    x = 1.5 * np.random.default_rng(0).normal(size=200_000)

    share = weights.effective_sample_size(-(x**2) / 2 + x**2 / (2 * 1.5**2)) / len(x)

    assert share == pytest.approx(np.sqrt(2 * 1.5**2 - 1) / 1.5**2, rel=0.01)
