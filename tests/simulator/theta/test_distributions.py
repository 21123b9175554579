"""Distributions of a column: scipy's cut to a range, to the last digits of either tail."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.special import ndtr

from hpcsbi.errors import BadInput
from hpcsbi.simulator.theta.distributions import KINDS, make_distribution

CASES = [
    ({"kind": "normal", "mean": 0.3, "sd": 1.0}, 0.0, 4.0),
    ({"kind": "normal", "mean": -1.0, "sd": 0.5}, 0.0, 4.0),
    ({"kind": "normal", "mean": 9.5, "sd": 0.2}, 5.0, 13.0),
    ({"kind": "student_t", "mean": -0.3, "scale": 0.4, "degrees": 3}, -2.0, 0.4),
    ({"kind": "student_t", "mean": 0.0, "scale": 0.01, "degrees": 1}, -2.0, 0.4),
    ({"kind": "beta", "a": 2, "b": 5}, -2.0, 0.4),
    ({"kind": "beta", "a": 1, "b": 1}, 5.0, 13.0),
]
SHARES = np.linspace(0.001, 0.999, 201)


def made(settings, low, high):
    return make_distribution(settings, low, high, "prior.columns.dust2.distribution")


@st.composite
def distributions(draw):
    """Any kind over any range, with some mass in it."""
    low = draw(st.floats(-3, 3))
    high = low + draw(st.floats(0.1, 10))
    mean, width = draw(st.floats(low - 1, high + 1)), draw(st.floats(0.02, 20))
    degrees = draw(st.floats(0.5, 30))
    settings = draw(
        st.sampled_from([
            {"kind": "normal", "mean": mean, "sd": width},
            {"kind": "student_t", "mean": mean, "scale": width, "degrees": degrees},
            {"kind": "beta", "a": draw(st.floats(1, 9)), "b": draw(st.floats(1, 9))},
        ])
    )  # fmt: skip
    try:
        return made(settings, low, high)
    except BadInput:
        assume(False)


def test_all_kinds_are_tried():
    """A new kind comes with a case."""
    assert {settings["kind"] for settings, *_ in CASES} == set(KINDS)


def test_normal_is_the_truncated_normal_of_scipy():
    """Another code of the same: density, shares and quantiles."""
    for (settings, low, high), (mean, sd) in zip(
        CASES, ((0.3, 1), (-1, 0.5), (9.5, 0.2)), strict=False
    ):
        ours = made(settings, low, high)
        theirs = stats.truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
        x = theirs.ppf(SHARES)

        assert ours.quantile(SHARES, 1 - SHARES) == pytest.approx(x, abs=1e-9)
        assert ours.cdf(x) == pytest.approx(SHARES, abs=1e-9)
        assert ours.log_density(x) == pytest.approx(theirs.logpdf(x), abs=1e-9)


def test_beta_spans_the_range():
    """It is that of scipy with place and scale."""
    ours, theirs = made(*CASES[5]), stats.beta(2, 5, -2, 2.4)

    assert ours.mass == 1
    assert ours.quantile(SHARES, 1 - SHARES) == pytest.approx(theirs.ppf(SHARES))
    assert ours.log_density(theirs.ppf(SHARES)) == pytest.approx(theirs.logpdf(theirs.ppf(SHARES)))


@pytest.mark.parametrize("case", CASES)
def test_density_is_that_of_the_shares(case):
    """It integrates to one, and up to any point to the share below it."""
    ours, (_, low, high) = made(*case), case
    x = ours.quantile(np.array([0.1, 0.5, 0.9]), np.array([0.9, 0.5, 0.1]))

    def density(x):
        return np.exp(ours.log_density(x))

    for end, share in zip([*x, high], (0.1, 0.5, 0.9, 1.0), strict=True):
        assert quad(density, low, end, points=[p for p in x if p < end])[0] == pytest.approx(share)


@given(distributions(), st.floats(-6, 6))
def test_there_and_back(ours, score):
    """The share below a quantile is the one asked for, and quantiles lie in the range."""
    below, above = ndtr(score), ndtr(-score)
    x = ours.quantile(below, above)

    assert ours.low <= x <= ours.high
    # A rounding of x is the share that it cannot do without.
    rounding = 1e-15 * max(1, abs(x)) * np.exp(ours.log_density(x))
    assert ours.cdf(x) == pytest.approx(below, abs=1e-9 + 4 * rounding)


def test_no_tail_is_lost():
    """A normal far from its bounds is exact at 20 widths, on either side.

    Control: by the share below alone, the upper tail is the bound from 9 widths on.
    """
    ours = made({"kind": "normal", "mean": 1.0, "sd": 0.1}, -20, 20)
    score = np.array([-20.0, -9.0, 0.0, 9.0, 20.0])

    assert ours.quantile(ndtr(score), ndtr(-score)) == pytest.approx(1 + 0.1 * score)
    assert ours.quantile(ndtr(9.0), 1 - ndtr(9.0)) == 20


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pad", [0.0, 0.1, 0.8])
def test_a_wider_one_is_this_one_inside(case, pad):
    """What is cut off again leaves the draws of this one; beyond the ends they are uniform.

    Control: those of a flat prior are no such draws, but where this is flat itself.
    """
    ours, (settings, low, high) = made(*case), case
    x = ours.widened((np.arange(40_000) + 0.5) / 40_000, pad)
    inside = (x >= low) & (x <= high)
    ends = np.exp(ours.log_density(np.array([low, high])))
    length = np.minimum(pad, 0.5 / np.maximum(ends, 1e-9))

    assert (np.diff(x) > 0).all()
    assert inside.mean() == pytest.approx(1 / (1 + (length * ends).sum()), abs=1e-4)
    assert inside.mean() >= 0.5
    assert stats.kstest(x[inside], ours.cdf).statistic < 1e-3
    for beyond, place, width in zip(
        (x < low, x > high), (low - length[0], high), length, strict=True
    ):
        if beyond.sum() > 100:
            assert stats.kstest(x[beyond], stats.uniform(place, width).cdf).statistic < 0.02
    if settings != {"kind": "beta", "a": 1, "b": 1}:
        assert stats.kstest(np.linspace(low, high, 40_000), ours.cdf).statistic > 0.1


WHERE = "prior.columns.dust2.distribution"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("normal", "is 'normal': it takes kind, one of normal, student_t, beta"),
        ({"mean": 0, "sd": 1}, "it takes kind"),
        ({"kind": "nromal", "mean": 0, "sd": 1}, "kind is 'nromal'.*did you mean normal?"),
        ({"kind": "normal", "mean": 0, "std": 1}, r"\.std is not known; did you mean .*\.sd"),
        ({"kind": "normal", "mean": 0}, r"\.sd is missing"),
        ({"kind": "normal", "mean": 0, "sd": 0}, r"\.sd is 0.*more than 0"),
        ({"kind": "normal", "mean": "zero", "sd": 1}, r"\.mean is 'zero'"),
        ({"kind": "normal", "mean": float("nan"), "sd": 1}, r"\.mean is nan"),
        ({"kind": "student_t", "mean": 0, "scale": 1, "degrees": -1}, r"\.degrees is -1"),
        ({"kind": "normal", "mean": -10, "sd": 1}, "only .* lies between 0 and 4: move it"),
        ({"kind": "beta", "a": 0.5, "b": 2}, "infinite at an end"),
    ],
)  # fmt: skip
def test_bad_distributions_are_refused(settings, words):
    """In one line that says whose it is, what is wrong and what there is."""
    with pytest.raises(BadInput, match=words) as told:
        make_distribution(settings, 0.0, 4.0, WHERE)

    assert str(told.value).startswith(WHERE) and "\n" not in str(told.value)
