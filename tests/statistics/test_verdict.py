"""The verdict tells right posteriors from wrong ones.

Where a right posterior must pass, alpha is 1e-4: the test itself fails no more often than that with
other random numbers. The wrong ones fail at the same alpha.
"""

import numpy as np
import pytest
from known_posteriors import correlated, gaussian
from scipy import stats

from hpcsbi.statistics import calibration as diagnostics
from hpcsbi.statistics.verdict import verdict, why_blunt

NAMES = ("logmass", "logzsol")
LOW, HIGH = np.full(2, -4.0), np.full(2, 4.0)
RARE = 1e-4


def judge(theta, samples, n_samples=None, alpha=RARE):
    """The verdict on a set of truths and draws."""
    tarp = diagnostics.tarp_fractions(
        theta, samples, LOW, HIGH, np.random.default_rng(5), n_samples
    )
    ranks = diagnostics.sbc_ranks(theta, samples, n_samples)
    n = samples.shape[1] if n_samples is None else n_samples
    return verdict(ranks, n, tarp, NAMES, alpha)


@pytest.mark.parametrize(
    ("width", "shift", "passed"),
    [(1.0, 0.0, True), (0.75, 0.0, False), (1.35, 0.0, False), (1.0, 0.2, False)],
    ids=["right", "too narrow", "too wide", "biased"],
)
def test_verdict_passes_only_the_right_posterior(width, shift, passed):
    """The exact posterior passes; one too narrow, too wide or shifted fails with its figures."""
    found = judge(*gaussian(width, shift, n=4000))

    assert found["passed"] is passed, found
    assert bool(found["reasons"]) is not passed
    assert all("KS p = " in reason for reason in found["reasons"])


def test_verdict_fails_a_right_posterior_as_rarely_as_alpha():
    """Over 200 seeds the exact posterior fails at most at the rate alpha promises."""
    failed = sum(
        not judge(*gaussian(n=200, draws=49, seed=seed), alpha=0.01)["passed"]
        for seed in range(200)
    )

    assert failed <= stats.binom.ppf(1 - RARE, 200, 0.01)


def test_unequal_numbers_of_draws_are_comparable():
    """Objects that kept between 1 and 200 draws still give uniform ranks, and wrong ones do not."""
    rng = np.random.default_rng(3)
    kept = rng.integers(1, 201, 4000)
    theta, right = gaussian(n=4000)
    narrow = gaussian(0.75, n=4000)[1]
    for samples in (right, narrow):
        samples[np.arange(200) >= kept[:, None]] = np.nan

    assert judge(theta, right, kept)["passed"]
    assert not judge(theta, narrow, kept)["passed"]


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
    assert min(column["ks_p"] for column in found["parameters"].values()) > RARE / 4
    assert [reason.split()[0] for reason in found["reasons"]] == ["TARP"]


def test_objects_without_draws_are_counted_and_fail_when_many():
    """Spectra without a draw leave the ranks; above one in a hundred they fail the calibration."""
    theta, samples = gaussian()
    few, many = np.full(1000, 200), np.full(1000, 200)
    few[:5], many[:50] = 0, 0

    assert judge(theta, samples, few)["without_draws"] == 5
    assert judge(theta, samples, few)["passed"]
    assert "50 of 1000" in judge(theta, samples, many)["reasons"][0]


@pytest.mark.parametrize("width", [1.0, 1.4])
def test_verdict_sees_what_follows_from_theta(width):
    """A quantity with wrong ranks fails by its name, one with right ranks does not."""
    theta, samples = gaussian(n=2000)
    ranks = diagnostics.sbc_ranks(theta, samples)
    tarp = np.random.default_rng(9).random(len(theta))
    truths, draws = theta.sum(1), samples.sum(2)
    centre = draws.mean(1, keepdims=True)
    wide = centre + width * (draws - centre)
    derived = {"sum": diagnostics.sbc_ranks(truths[:, None], wide[..., None])[:, 0]}
    judged = verdict(ranks, samples.shape[1], tarp, NAMES, RARE, derived=derived)

    assert judged["passed"] == (width == 1)
    assert list(judged["derived"]) == ["sum"] and list(judged["parameters"]) == list(NAMES)
    if width > 1:
        assert "ranks of sum" in judged["reasons"][0]
        assert judged["derived"]["sum"]["coverage"]["0.68"] > 0.75


def jointly(theta, samples, n_samples=None):
    """The verdict with joint ranks; no TARP worth the name, to leave the others to it."""
    ranks = diagnostics.sbc_ranks(theta, samples, n_samples)
    n = samples.shape[1] if n_samples is None else n_samples
    tarp = np.random.default_rng(9).random(len(theta))
    joint = diagnostics.joint_ranks(theta, samples, n_samples)
    names = ("a", "b", "c", "d", "e")
    return verdict(ranks, n, tarp, names, joint=joint)


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


@pytest.mark.slow
def test_joint_ranks_fail_a_right_posterior_as_rarely_as_alpha():
    """Of 150 right sets no more fail than alpha says."""
    sets = (correlated(0.8, 0.8, n=150, draws=30, seed=seed) for seed in range(150))
    failed = sum(not jointly(*one)["passed"] for one in sets)
    assert failed <= stats.binom.ppf(1 - RARE, 150, 0.01)


def test_too_many_improbable_spectra_fail():
    """Twice the share that p-values of right posteriors may have at most passes, more does not."""
    theta, samples = gaussian()
    ranks, tarp = diagnostics.sbc_ranks(theta, samples), np.random.default_rng(0).random(1000)
    for share, passed in ((0.0, True), (0.02, True), (0.1, False), (0.5, False)):
        p = np.where(np.arange(1000) < 1000 * share, 1e-3, 0.5)
        found = verdict(ranks, 200, tarp, NAMES, RARE, p_values={"predictive_p": p})
        assert (
            found["passed"] is passed and found["predictive"]["predictive_p"]["improbable"] == share
        )
        assert bool(why_blunt(found)) is (share > 0.05)
        other = verdict(ranks, 200, tarp, NAMES, RARE, p_values={"window_p": p})
        assert other["passed"] is passed and why_blunt(other) == ""
    assert "by window_p" in other["reasons"][0]
    nothing = verdict(ranks, 200, tarp, NAMES, p_values={"predictive_p": np.full(1000, np.nan)})
    assert nothing["predictive"] == {} and why_blunt(nothing) == ""
