"""Ranks, coverage, TARP and chi of a Gaussian model whose answer is known."""

import numpy as np
import pytest
from known_posteriors import correlated, gaussian
from scipy import stats

from hpcsbi.statistics import bands
from hpcsbi.statistics import calibration as diagnostics

LOW, HIGH = np.full(2, -4.0), np.full(2, 4.0)


def test_few_draws_do_not_fail_by_their_ties():
    """Ranks of 3 draws have 4 values; the test of uniformity does not mistake them for a fault."""
    theta, samples = gaussian(draws=3, n=4000)

    p = diagnostics.ks_p_values(diagnostics.sbc_ranks(theta, samples), 3)
    naive = stats.kstest(diagnostics.sbc_ranks(theta, samples)[:, 0] / 3, "uniform").pvalue

    assert p.min() > 1e-4 / len(p)
    assert naive < 1e-6


def test_draws_that_equal_the_truth_are_no_fault():
    """A line that is absent in half of truths and draws: ranks stay uniform, to the ends."""
    theta, samples = (np.maximum(values, 0) for values in gaussian(draws=200, n=4000))

    p = diagnostics.ks_p_values(diagnostics.sbc_ranks(theta, samples), 200)
    strictly_below = (samples < theta[:, None]).sum(1)

    assert p.min() > 1e-4 / len(p)
    assert diagnostics.ks_p_values(strictly_below, 200).max() < 1e-6


@pytest.mark.parametrize(("width", "sign"), [(1.0, 0), (0.7, -1), (1.4, 1)])
def test_coverage_says_in_which_direction(width, sign):
    """Coverage is nominal for the right width, below it for too narrow, above it for too wide."""
    theta, samples = gaussian(width, n=8000)
    levels = np.array([0.5, 0.68, 0.9])

    coverage = diagnostics.central_coverage(diagnostics.sbc_ranks(theta, samples), 200, levels)

    off = coverage - levels[:, None]
    reach = width * stats.norm.ppf((1 + levels) / 2)
    expected = 2 * stats.norm.cdf(reach) - 1
    assert np.abs(coverage - expected[:, None]).max() < 0.03  # 5.4 standard errors
    assert (np.sign(off) == sign).all() if sign else np.abs(off).max() < 0.03


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

    assert np.abs(curves[0] - levels).max() < bands.simultaneous_band(2000, 0.9999)
    assert np.abs(curves[1] - levels).max() > 0.1


def test_chi_is_a_standard_normal_for_the_right_posterior():
    """Chi scores have unit scatter when widths are right, and scale with the inverse width."""
    scatter = []
    for width in (1.0, 0.5):
        theta, samples = gaussian(width, n=4000)
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


def test_joint_ranks_are_uniform_also_of_few_draws():
    """Right draws of few and unequal numbers: no column is far from uniform."""
    theta, samples = correlated(0.8, 0.8, n=4000, draws=20)
    kept = np.random.default_rng(0).integers(1, 21, 4000)
    samples[np.arange(20) >= kept[:, None]] = np.nan
    p = diagnostics.ks_p_values(diagnostics.joint_ranks(theta, samples, kept), kept)
    assert p.min() > 1e-4 / len(p)


def test_the_score_leaves_out_what_has_none():
    """Mean and standard error over spectra that have a density; -inf is one."""
    assert diagnostics.score(np.array([1.0, 2.0, np.nan, 3.0])) == (2.0, pytest.approx(1 / 3**0.5))
    assert diagnostics.score(np.array([1.0, -np.inf]))[0] == -np.inf
    assert np.isnan(diagnostics.score(np.array([np.nan]))).all()
