"""The tail of importance weights is measured and smoothed: known shapes, known targets."""

import warnings

import numpy as np
import pytest
from scipy import stats

from hpcsbi.statistics import importance_weights as weights


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

    def k(width, n):
        x = width * rng.normal(size=n)
        return weights.pareto_k(-(x**2) / 2 + x**2 / (2 * width**2))

    assert k(0.3, 1_000_000) > 0.7  # 1 - 0.09 = 0.91, less the curvature of a finite tail
    assert k(1.1, 20_000) < 0.2


def test_pareto_k_is_blind_to_the_constant_and_to_rejected_draws():
    """Adding a constant changes nothing, and too few weights are no tail."""
    log_weights = np.random.default_rng(0).normal(size=1000)

    assert weights.pareto_k(log_weights) == pytest.approx(weights.pareto_k(log_weights + 700))
    few = np.where(np.arange(1000) < 20, log_weights, -np.inf)
    assert weights.pareto_k(few) == pytest.approx(weights.pareto_k(few - 7))
    assert weights.pareto_k(np.zeros(1000)) == np.inf
    assert weights.pareto_k(np.zeros(10)) == np.inf
    assert weights.pareto_k(np.where(np.arange(1000) < 4, log_weights, -np.inf)) == np.inf


def sets(n, rng):
    """Log weights of many kinds: names and values, shape (n,)."""
    normal = rng.normal(size=n)
    yield "wide", 20 * normal
    yield "narrow", 1e-6 * normal
    yield "exponential", rng.exponential(5, n)
    yield "shifted", normal - 1e5
    for gap in (20, 30, 40, 100, 600):  # nat by which one weight, or three, are above the others
        yield f"one by {gap}", np.r_[normal[:-1], gap]
        yield f"three by {gap}", np.r_[normal[:-3], gap + normal[-3:]]
    yield "nearly all zero", np.where(rng.random(n) < 0.5, normal, -np.inf)


@pytest.mark.parametrize("n", [25, 100, 400, 900, 10_000])
def test_shapes_and_smoothed_weights_are_those_of_arviz(n):
    """To 1e-6 on any weights, where both libraries take a tail of the same length."""
    base = pytest.importorskip("arviz_stats.base")
    for name, raw in sets(n, np.random.default_rng(n)):
        smoothed, k = weights.pareto_smoothed(raw)
        theirs, their_k = base.array_stats.psislw(-raw)

        assert k == pytest.approx(float(their_k), rel=1e-6, abs=1e-6), name
        assert weights.normalised(smoothed) == pytest.approx(np.exp(theirs), abs=1e-9), name


@pytest.mark.parametrize("gap", [30, 40, 100, 700, 1e4])
@pytest.mark.parametrize("n", [25, 200, 1000, 4000])
def test_one_weight_that_is_all_cannot_be_trusted(n, gap):
    """However far it is above the others; a fit with a floor said k < 0.4 from 28 nat on."""
    raw = np.random.default_rng(n).normal(size=n)
    raw[0] = gap

    assert weights.pareto_k(raw) > 0.7
    assert weights.effective_sample_size(raw) < 1.5


def test_ties_shorten_the_tail():
    """Weights equal to the cut are not above it: the fit is that of those which are."""
    rng = np.random.default_rng(0)
    body, tail = np.full(1000, -2.0), rng.exponential(size=60)
    raw = np.concatenate([body[60:], tail])

    k = weights.pareto_k(raw)

    clear = np.concatenate([np.full(940, -60.0), tail])
    assert np.isfinite(k) and k != weights.pareto_k(clear)  # another cut
    assert weights.pareto_k(np.concatenate([body[4:], tail[:4]])) == np.inf


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_rows_with_weights_that_are_not_known(odd):
    """NaN and +inf make a row worth nothing; its neighbours do not notice."""
    rows = np.random.default_rng(0).normal(size=(3, 500))
    rows[1, 17] = odd

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smoothed, k = weights.pareto_smoothed(rows)
        size = weights.effective_sample_size(rows)
        evidence, error = weights.log_evidence(rows)

    assert k[1] == np.inf and size[1] == 0 and evidence[1] == -np.inf and error[1] == np.inf
    assert np.array_equal(smoothed[[0, 2]], weights.pareto_smoothed(rows[[0, 2]])[0])
    assert (k[[0, 2]] < 0.7).all() and (size[[0, 2]] > 100).all()


@pytest.mark.parametrize("n", [0, 1, 2, 4, 5, 20])
def test_few_draws_are_no_tail(n):
    """Up to 20 draws have fewer than five in their tail; nothing warns or fails."""
    raw = np.arange(float(n))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert weights.pareto_k(raw) == np.inf
        assert weights.effective_sample_size(raw) <= n


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


def test_rows_are_smoothed_as_if_each_were_alone():
    """A batch of rows gives each row what it gets alone, whatever the others are."""
    rows = np.random.default_rng(0).normal(size=(300, 1000)) * np.linspace(0.1, 3, 300)[:, None]
    rows[7], rows[8, 20:] = -np.inf, -np.inf

    smoothed, k = weights.pareto_smoothed(rows)

    for i in (0, 7, 8, 150, 299):
        alone, one = weights.pareto_smoothed(rows[i])
        assert np.array_equal(alone, smoothed[i]) and one == k[i]


def test_smoothing_keeps_the_order_and_the_body():
    """Only the largest weights change; none passes the largest raw one; the order stays."""
    raw = 2 * np.random.default_rng(1).normal(size=1000)
    smoothed, k = weights.pareto_smoothed(raw)
    order = np.argsort(raw)

    assert 0.1 < k < 1.2
    assert np.array_equal(smoothed[order[:-95]], raw[order[:-95]])
    assert (np.diff(smoothed[order]) >= 0).all() and smoothed.max() <= raw.max()
    assert (smoothed != raw).sum() in (94, 95)  # the largest may be cut to what it was


def test_smoothed_weights_average_better():
    """Means under a proposal too narrow scatter less about the truth with smoothed weights."""
    rng = np.random.default_rng(2)
    x = 0.62 * rng.normal(size=(400, 1000))
    raw = -(x**2) / 2 + x**2 / (2 * 0.62**2)
    smoothed, _ = weights.pareto_smoothed(raw)

    error = [np.abs((weights.normalised(w) * x**2).sum(1) - 1).mean() for w in (raw, smoothed)]
    assert error[1] < error[0]


def test_evidence_of_gaussians_and_its_error():
    """ln Z of a normal is found to its quoted error: pulls have zero mean and unit width."""
    x = 1.3 * np.random.default_rng(3).normal(size=(2000, 500))
    log_weights = -(x**2) / 2 + x**2 / (2 * 1.3**2) + np.log(1.3) + 4.0

    value, error = weights.log_evidence(log_weights)
    pulls = (value - 4.0) / error

    assert abs(pulls.mean()) < 0.1 and pulls.std() == pytest.approx(1, abs=0.06)


def test_quantiles_of_weighted_draws():
    """Weights that are whole numbers are copies; a normal reached from a wider one."""
    rng = np.random.default_rng(4)
    values, copies = rng.normal(size=(300, 2)), rng.integers(0, 4, 300)
    levels = [0.1, 0.5, 0.9]
    found = weights.weighted_quantiles(values, copies / copies.sum(), levels)
    expected = np.quantile(np.repeat(values, copies, 0), levels, axis=0, method="hazen")
    assert found == pytest.approx(expected, abs=0.05)

    x = 1.5 * rng.normal(size=(200_000, 1))
    w = weights.normalised(-(x[:, 0] ** 2) / 2 + x[:, 0] ** 2 / (2 * 1.5**2))
    found = weights.weighted_quantiles(x, w, levels)[:, 0]
    assert found == pytest.approx(stats.norm.ppf(levels), abs=0.01)


def test_systematic_copies_are_within_one_of_the_weight():
    """Each draw appears floor or ceil of n times its weight; no draw without weight does."""
    w = np.random.default_rng(5).dirichlet(np.full(50, 0.3))
    w[::7] = 0
    w /= w.sum()

    for u in (0.0, 0.4, np.nextafter(1, 0)):
        counts = np.bincount(weights.systematic(w, 64, u), minlength=50)
        assert counts.sum() == 64 and (np.abs(counts - 64 * w) < 1 + 1e-9).all()
        assert not counts[w == 0].any()


def test_weights_that_are_all_zero_give_no_warning():
    """Nothing divides by zero; the answer says that nothing is known."""
    rows = np.full((2, 200), -np.inf)
    values = np.full((200, 3), np.nan)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not weights.normalised(rows).any()
        assert weights.effective_sample_size(rows).tolist() == [0, 0]
        assert weights.pareto_k(rows).tolist() == [np.inf, np.inf]
        evidence, error = weights.log_evidence(rows)
        assert (evidence == -np.inf).all() and (error == np.inf).all()
        found = weights.weighted_quantiles(values, weights.normalised(rows[0]), [0.5])
        assert np.isnan(found).all()


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 50.0, 1000.0])
@pytest.mark.parametrize("empty", [0, 400])
def test_flattened_weights_are_the_first_of_all_powers_that_will_do(scale, empty):
    """The search among the powers finds what trying one after the other does."""
    rng = np.random.default_rng(int(scale))
    steep = np.r_[scale * rng.standard_t(3, 600), np.full(empty, -np.inf)]
    powers = 0.7 ** np.arange(31)
    enough = [power for power in powers if weights.effective_sample_size(power * steep) >= 100]

    assert np.array_equal(weights.flattened(steep, 100), (enough or powers[-1:])[0] * steep)


def test_flattened_weights_have_as_many_effective_draws_as_asked():
    """Good weights stay as they are; steep ones are flattened, but no more than needed."""
    rng = np.random.default_rng(3)
    gentle, steep = 0.1 * rng.normal(size=500), 20 * rng.normal(size=500)
    flat = weights.flattened(steep, 200)

    assert np.array_equal(weights.flattened(gentle, 200), gentle)
    assert weights.effective_sample_size(flat) >= 200 > weights.effective_sample_size(flat / 0.7)
    assert weights.effective_sample_size(weights.flattened(np.r_[0.0, [-np.inf] * 9], 5)) == 1
