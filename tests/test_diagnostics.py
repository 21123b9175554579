"""Diagnostics tell right posteriors from wrong ones: a Gaussian model whose answer is known."""

import numpy as np
import pytest
from scipy import stats

from hpcsbi import bands, diagnostics

NAMES = ("logmass", "logzsol")
LOW, HIGH = np.full(2, -4.0), np.full(2, 4.0)


def gaussian(width=1.0, shift=0.0, n=1000, draws=200, seed=0):
    """Truths and draws: prior N(0, 1), likelihood N(theta, 1), so posterior N(x / 2, 1 / 2)."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(n, 2))
    x = theta + rng.normal(size=theta.shape)
    spread = width * np.sqrt(0.5) * rng.normal(size=(n, draws, 2))
    return theta, x[:, None] / 2 + shift + spread


def judge(theta, samples, n_samples=None):
    """The verdict on a set of truths and draws."""
    tarp = diagnostics.tarp_fractions(
        theta, samples, LOW, HIGH, np.random.default_rng(5), n_samples
    )
    ranks = diagnostics.sbc_ranks(theta, samples, n_samples)
    n = samples.shape[1] if n_samples is None else n_samples
    return diagnostics.verdict(ranks, n, tarp, NAMES)


@pytest.mark.parametrize(
    ("width", "shift", "passed"),
    [(1.0, 0.0, True), (0.75, 0.0, False), (1.35, 0.0, False), (1.0, 0.2, False)],
    ids=["right", "too narrow", "too wide", "biased"],
)
def test_verdict_passes_only_the_right_posterior(width, shift, passed):
    """The exact posterior passes; one too narrow, too wide or shifted fails with its figures."""
    found = judge(*gaussian(width, shift))

    assert found["passed"] is passed, found
    assert bool(found["reasons"]) is not passed
    assert all("KS p = " in reason for reason in found["reasons"])


def test_verdict_fails_a_right_posterior_as_rarely_as_alpha():
    """Over 200 seeds the exact posterior fails at most at the rate alpha promises."""
    failed = sum(not judge(*gaussian(n=200, draws=49, seed=seed))["passed"] for seed in range(200))

    assert failed <= stats.binom.ppf(0.999, 200, 0.01)


def test_unequal_numbers_of_draws_are_comparable():
    """Objects that kept between 1 and 200 draws still give uniform ranks, and wrong ones do not."""
    rng = np.random.default_rng(3)
    kept = rng.integers(1, 201, 1000)
    theta, right = gaussian()
    narrow = gaussian(0.75)[1]
    for samples in (right, narrow):
        samples[np.arange(200) >= kept[:, None]] = np.nan

    assert judge(theta, right, kept)["passed"]
    assert not judge(theta, narrow, kept)["passed"]


def test_few_draws_do_not_fail_by_their_ties():
    """Ranks of 3 draws have 4 values; the test of uniformity does not mistake them for a fault."""
    theta, samples = gaussian(draws=3, n=4000)

    p = diagnostics.ks_p_values(diagnostics.sbc_ranks(theta, samples), 3)
    naive = stats.kstest(diagnostics.sbc_ranks(theta, samples)[:, 0] / 3, "uniform").pvalue

    assert p.min() > 0.01
    assert naive < 1e-6


@pytest.mark.parametrize(("width", "sign"), [(1.0, 0), (0.7, -1), (1.4, 1)])
def test_coverage_says_in_which_direction(width, sign):
    """Coverage is nominal for the right width, below it for too narrow, above it for too wide."""
    theta, samples = gaussian(width, n=2000)
    levels = np.array([0.5, 0.68, 0.9])

    coverage = diagnostics.central_coverage(diagnostics.sbc_ranks(theta, samples), 200, levels)

    off = coverage - levels[:, None]
    reach = width * stats.norm.ppf((1 + levels) / 2)
    expected = 2 * stats.norm.cdf(reach) - 1
    assert np.abs(coverage - expected[:, None]).max() < 0.04
    assert (np.sign(off) == sign).all() if sign else np.abs(off).max() < 0.04


def test_tarp_sees_a_correlation_that_ranks_cannot():
    """Right marginals with the wrong correlation pass the rank tests and fail TARP."""
    rng = np.random.default_rng(2)
    n, draws = 4000, 200
    covariance = np.array([[1.0, 0.9], [0.9, 1.0]])
    theta = rng.multivariate_normal([0, 0], covariance, n)
    right = rng.multivariate_normal([0, 0], covariance, (n, draws))
    wrong = rng.normal(size=(n, draws, 2))

    assert judge(theta, right)["passed"]
    found = judge(theta, wrong)
    assert min(column["ks_p"] for column in found["parameters"].values()) > 0.01
    assert [reason.split()[0] for reason in found["reasons"]] == ["TARP"]


def test_tarp_coverage_of_right_and_narrow():
    """The expected coverage is the level for the right posterior, and off it for a narrow one."""
    levels = np.linspace(0, 1, 21)
    curves = [
        diagnostics.tarp_coverage(
            diagnostics.tarp_fractions(
                *gaussian(width, n=2000), LOW, HIGH, np.random.default_rng(1)
            ),
            levels,
        )
        for width in (1.0, 0.5)
    ]

    assert np.abs(curves[0] - levels).max() < bands.simultaneous_band(2000, 0.999)
    assert np.abs(curves[1] - levels).max() > 0.1


def test_objects_without_draws_are_counted_and_fail_when_many():
    """Spectra without a draw leave the ranks; above one in a hundred they fail the calibration."""
    theta, samples = gaussian()
    few, many = np.full(1000, 200), np.full(1000, 200)
    few[:5], many[:50] = 0, 0

    assert judge(theta, samples, few)["without_draws"] == 5
    assert judge(theta, samples, few)["passed"]
    assert "50 of 1000" in judge(theta, samples, many)["reasons"][0]


def test_bands_hold_as_often_as_they_say():
    """Uniform numbers leave the band, and single bars theirs, in about 5 % of trials."""
    u = np.sort(np.random.default_rng(0).random((2000, 100)), axis=1)
    steps = np.arange(101) / 100
    distance = np.maximum(steps[1:] - u, u - steps[:-1]).max(axis=1)
    bars = np.array([np.histogram(row, 10, (0, 1))[0] for row in u])
    low, high = bands.histogram_band(100, 10)

    assert 0.035 < (distance > bands.simultaneous_band(100)).mean() < 0.065
    assert 0.02 < ((bars < low) | (bars > high)).mean() < 0.06


def test_chi_is_a_standard_normal_for_the_right_posterior():
    """Chi scores have unit scatter when widths are right, and scale with the inverse width."""
    scatter = []
    for width in (1.0, 0.5):
        theta, samples = gaussian(width)
        quantiles = np.moveaxis(np.quantile(samples, [0.16, 0.5, 0.84], axis=1), 0, -1)
        scatter.append(diagnostics.chi(theta, quantiles).std())

    assert scatter[0] == pytest.approx(1, abs=0.06)
    assert scatter[1] == pytest.approx(2, abs=0.12)
    assert np.isnan(diagnostics.chi(np.zeros((1, 1)), np.ones((1, 1, 3)))).all()


def test_shapes_and_unfinite_draws_are_refused():
    """A draw that counts must be finite, and shapes must fit: the error names the row."""
    samples = np.zeros((3, 5, 2))
    samples[1, 3] = np.nan
    with pytest.raises(ValueError, match="first: row 1"):
        diagnostics.sbc_ranks(np.zeros((3, 2)), samples)
    with pytest.raises(ValueError, match="do not fit"):
        diagnostics.sbc_ranks(np.zeros((3, 3)), samples)
    with pytest.raises(ValueError, match="row 2"):
        diagnostics.rank_fractions(np.array([[1], [2], [9]]), 5)


def correlated(truth, drawn, n=2000, draws=100, seed=0, bend=0.0):
    """Truths and draws in five dimensions, two of them correlated, of widths that vary."""
    rng = np.random.default_rng(seed)
    one, other = np.eye(5), np.eye(5)
    one[0, 1] = one[1, 0] = truth
    other[0, 1] = other[1, 0] = drawn
    theta = rng.multivariate_normal(np.zeros(5), one, (n, 1))
    samples = rng.multivariate_normal(np.zeros(5), other, (n, draws))
    theta[..., 3] = (theta[..., 3] + bend * (theta[..., 2] ** 2 - 1)) / np.sqrt(1 + 2 * bend**2)
    place, width = 3 * rng.normal(size=(n, 1, 5)), np.exp(rng.normal(size=(n, 1, 5)))
    return (place + width * theta)[:, 0], place + width * samples


def jointly(theta, samples, n_samples=None):
    """The verdict with joint ranks; no TARP worth the name, to leave the others to it."""
    ranks = diagnostics.sbc_ranks(theta, samples, n_samples)
    n = samples.shape[1] if n_samples is None else n_samples
    tarp = np.random.default_rng(9).random(len(theta))
    joint = diagnostics.joint_ranks(theta, samples, n_samples)
    names = ("a", "b", "c", "d", "e")
    return diagnostics.verdict(ranks, n, tarp, names, joint=joint)


@pytest.mark.parametrize(
    ("truth", "drawn", "bend"),
    [(0.8, 0.6, 0.0), (0.6, 0.8, 0.0), (0.2, 0.0, 0.0), (0.0, 0.0, 0.25)],
    ids=["loose", "tight", "none", "straight"],
)
def test_verdict_sees_joint_errors(truth, drawn, bend):
    """Right in each parameter, wrong together: 10 of 10 sets of 2000 spectra fail by joint ranks.

    With a power of 0.99, 10 of 10 fail in 9 of 10 runs, and 8 or more but for 1 in 10 000.
    """
    found = [jointly(*correlated(truth, drawn, seed=seed, bend=bend)) for seed in range(10)]

    assert sum(not one["passed"] for one in found) >= 8
    assert all(" x " in one["reasons"][-1] for one in found if not one["passed"])


def test_joint_ranks_fail_a_right_posterior_as_rarely_as_alpha():
    """150 right sets, and ranks are uniform also with few and unequal numbers of draws."""
    sets = (correlated(0.8, 0.8, n=150, draws=30, seed=seed) for seed in range(150))
    failed = sum(not jointly(*one)["passed"] for one in sets)
    assert failed <= stats.binom.ppf(0.9999, 150, 0.01)

    theta, samples = correlated(0.8, 0.8, n=4000, draws=20)
    kept = np.random.default_rng(0).integers(1, 21, 4000)
    samples[np.arange(20) >= kept[:, None]] = np.nan
    p = diagnostics.ks_p_values(diagnostics.joint_ranks(theta, samples, kept), kept)
    assert p.min() > 1e-4 / len(p)


def test_too_many_improbable_spectra_fail():
    """Twice the share that p-values of right posteriors may have at most passes, more does not."""
    theta, samples = gaussian()
    ranks, tarp = diagnostics.sbc_ranks(theta, samples), np.random.default_rng(0).random(1000)
    for share, passed in ((0.0, True), (0.02, True), (0.1, False), (0.5, False)):
        p = np.where(np.arange(1000) < 1000 * share, 1e-3, 0.5)
        found = diagnostics.verdict(ranks, 200, tarp, NAMES, predictive_p=p)
        assert found["passed"] is passed and found["predictive"]["improbable"] == share
        assert bool(diagnostics.blunt(found)) is (share > 0.05)
    nothing = diagnostics.verdict(ranks, 200, tarp, NAMES, predictive_p=np.full(1000, np.nan))
    assert nothing["predictive"] == {"p": None, "improbable": None}
    assert diagnostics.blunt(nothing) == ""


def test_the_score_leaves_out_what_has_none():
    """Mean and standard error over spectra that have a density; -inf is one."""
    assert diagnostics.score(np.array([1.0, 2.0, np.nan, 3.0])) == (2.0, pytest.approx(1 / 3**0.5))
    assert diagnostics.score(np.array([1.0, -np.inf]))[0] == -np.inf
    assert np.isnan(diagnostics.score(np.array([np.nan]))).all()
