"""The rescue on targets whose evidence is known."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from hpcsbi.inference.sampling.rescue import Effort, rescued
from hpcsbi.statistics.importance_weights import effective_sample_size, pareto_k, strong

LOG_EVIDENCE = -7.0
EFFORT = Effort()


def narrow(n_dim):
    """A normal far narrower than the flow, off by two of its sd, one pair of columns correlated."""
    covariance = np.diag(np.linspace(0.05, 0.5, n_dim) ** 2)
    covariance[0, 1] = covariance[1, 0] = 0.9 * np.sqrt(covariance[0, 0] * covariance[1, 1])
    return stats.multivariate_normal(np.linspace(2, -1, n_dim), covariance).logpdf


def curved(n_dim):
    """A ridge: the second column follows the square of the first."""

    def log_density(z):
        first = stats.norm.logpdf(z[:, 0])
        rest = [stats.norm.logpdf(z[:, j], 0, 0.5).reshape(-1) for j in range(2, n_dim)]
        return first + stats.norm.logpdf(z[:, 1], z[:, 0] ** 2 - 1, 0.3) + sum(rest)

    return log_density


def heavy(n_dim):
    """Tails heavier than those of any normal."""
    return stats.multivariate_t(np.full(n_dim, 0.5), 0.3 * np.eye(n_dim), df=10).logpdf


def run(log_density, n_dim, seed, effort=EFFORT, flow=1000):
    """Coordinates, log weights and calls of one rescue that begins with a standard normal flow."""
    rng = np.random.default_rng(seed)
    calls = []

    def target(z):
        calls.append(len(z))
        return np.exp(z), log_density(z) + LOG_EVIDENCE

    z = rng.normal(size=(flow, n_dim))
    log_weights = log_density(z) + LOG_EVIDENCE - stats.norm.logpdf(z).sum(1)
    return *rescued(target, z, log_weights, flow, effort, rng), calls


def log_evidence(log_weights):
    return logsumexp(log_weights) - np.log(len(log_weights))


@pytest.mark.parametrize("shape", [narrow, curved, heavy])
@pytest.mark.parametrize("n_dim", [3, 14])
def test_strong_weights_with_the_right_evidence(shape, n_dim):
    """Weights are strong, whatever the shape, and ln evidence is right to its tenth."""
    off = []
    for seed in range(20):
        coordinates, log_weights, _ = run(shape(n_dim), n_dim, seed)
        assert strong(effective_sample_size(log_weights), pareto_k(log_weights))
        assert coordinates.shape == (len(log_weights), n_dim) and (coordinates > 0).all()
        off.append(log_evidence(log_weights) - LOG_EVIDENCE)
    # Each has an error of 0.07: 200 effective draws. Stopping at strong weights takes some off,
    # and the ends of a ridge that is bent so far, at which a normal is thin, another 0.15.
    allowed = 0.25 if shape is curved else 0.1
    assert abs(np.mean(off)) < allowed + 4 * 0.07 / np.sqrt(20)


def test_moments_are_those_of_the_target():
    """Mean and spread of the weighted draws, and the flow's own far away."""
    n_dim, means, widths = 5, [], []
    for seed in range(10):
        coordinates, log_weights, _ = run(narrow(n_dim), n_dim, seed)
        weights = np.exp(log_weights - logsumexp(log_weights))
        z = np.log(coordinates)
        means.append(weights @ z)
        widths.append(np.sqrt(weights @ (z - means[-1]) ** 2))
    sd = np.linspace(0.05, 0.5, n_dim)
    pulls = (np.mean(means, 0) - np.linspace(2, -1, n_dim)) / sd
    assert np.abs(pulls).max() < 4 / np.sqrt(200 * 10) + 0.02
    assert np.allclose(np.mean(widths, 0), sd, rtol=0.1)
    assert np.abs(np.linspace(2, -1, n_dim) / sd).max() > 2  # a standard normal would not do


def test_a_good_flow_takes_one_step():
    """Where the target is what the flow says, the first proposal is strong after few draws."""
    _, log_weights, calls = run(stats.multivariate_normal(np.zeros(7)).logpdf, 7, 0)
    assert len(calls) == 1 and effective_sample_size(log_weights) > 500


def test_a_proposal_that_is_good_enough_is_kept():
    """Draws add up while their weights promise to be strong soon: fewer fits than steps."""
    _, log_weights, calls = run(curved(14), 14, 3, Effort(least=200, share=0))
    assert len(log_weights) > calls[-1]


def test_a_further_step_is_as_long_as_is_missing():
    """Of a proposal that is nearly good enough only the rest is drawn, not as many again."""
    runs = [run(heavy(14), 14, seed, Effort(least=1000, share=0)) for seed in range(6)]
    shorter = [n for _, _, calls in runs for n in calls[1:] if n < 1000]

    assert shorter and min(shorter) >= 200
    assert all(calls[0] == 1000 and max(calls) <= 1000 for _, _, calls in runs)
    assert all(strong(effective_sample_size(w), pareto_k(w)) for _, w, _ in runs)


def test_without_draws_of_the_flow():
    """A flow that gave none inside the prior is no hindrance."""
    _, log_weights, _ = run(narrow(4), 4, 0, flow=0)
    assert strong(effective_sample_size(log_weights), pareto_k(log_weights))
    assert log_evidence(log_weights) == pytest.approx(LOG_EVIDENCE, abs=0.3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("flow", [0, 1000])
def test_hopeless_targets_end(flow):
    """Nothing inside the prior: all draws are made. Nothing known of the object: few are."""
    effort = Effort(least=500, most=3000)
    nothing = lambda z: np.full(len(z), -np.inf)  # noqa: E731
    _, log_weights, calls = run(nothing, 3, 0, effort, flow=0)
    assert sum(calls) >= effort.most and not np.isfinite(log_weights).any()
    unknown = lambda z: np.full(len(z), np.nan)  # noqa: E731
    rng = np.random.default_rng(0)
    draws, target = np.empty((0, 3)), lambda z: (z, unknown(z))
    _, log_weights = rescued(target, draws, np.empty(0), flow, effort, rng)
    assert len(log_weights) == effort.least and effective_sample_size(log_weights) == 0


def test_the_same_seed_gives_the_same_draws():
    """And another one others."""
    one, two, other = (run(narrow(6), 6, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one[:100], other[:100])


def test_a_column_whose_draws_are_all_the_same_is_no_error():
    """Draws on a line, as a flow that has lost a direction makes them, still give a proposal."""
    rng = np.random.default_rng(0)
    z = np.zeros((1000, 3))
    z[:, 0] = rng.normal(size=1000)
    log_density = narrow(3)
    target = lambda z: (z, log_density(z))  # noqa: E731
    log_weights = log_density(z) - stats.norm.logpdf(z).sum(1)
    _, log_weights = rescued(target, z, log_weights, 1000, Effort(), rng)
    assert strong(effective_sample_size(log_weights), pareto_k(log_weights))
