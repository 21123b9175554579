"""Figures have their panels, finite axes, and show what the arrays say."""

import numpy as np
import pytest

from hpcsbi.report import diagnostic_plots
from hpcsbi.simulator.theta.parameters import PARAMETERS

NAMES = tuple(PARAMETERS)


def uniform(n, k, seed=0):
    """Rank fractions of a right posterior."""
    return np.random.default_rng(seed).random((n, k))


def is_finite(figure):
    """True when every axis of a figure has finite, increasing limits, also after drawing."""
    diagnostic_plots.image_bytes(figure)
    limits = [(*axes.get_xlim(), *axes.get_ylim()) for axes in figure.axes]
    return all(np.isfinite(lim).all() and lim[0] < lim[1] and lim[2] < lim[3] for lim in limits)


@pytest.mark.parametrize("k", [1, 2, 5, 7])
def test_one_panel_for_each_parameter(k):
    """Recovery has two panels for each parameter, nuisance ones too, and ranks have one."""
    rng = np.random.default_rng(0)
    theta = rng.random((300, k))
    quantiles = theta[..., None] + 0.1 * np.array([-1, 0, 1]) + 0.1 * rng.normal(size=(300, k, 1))
    titles = diagnostic_plots.labels(NAMES[:k], [False] * k)

    recovery = diagnostic_plots.recovery(theta, quantiles, titles)
    ranks = diagnostic_plots.rank_histograms(uniform(300, k), titles)

    assert (len(recovery.axes), len(ranks.axes)) == (2 * k, k)
    assert is_finite(recovery) and is_finite(ranks)


def test_labels_say_what_is_in_the_logarithm():
    """A column that is flat in its logarithm says log and its unit."""
    assert diagnostic_plots.labels(["tau", "tau", "logmass"], [False, True, False]) == [
        r"$\tau$ [Gyr]",
        r"$\log\,\tau/\mathrm{Gyr}$",
        r"$\log\,M_\mathrm{formed}/M_\odot$",
    ]


def test_recovery_notes_bias_and_width():
    """The note below each parameter gives the median and the width of chi over all spectra."""
    theta = np.zeros((1000, 1))
    error = np.random.default_rng(0).normal(1.0, 2.0, (1000, 1, 1))
    figure = diagnostic_plots.recovery(theta, error + np.array([-1, 0, 1]), ["x"], shown=10)

    median, width = (
        float(part.split()[-1]) for part in figure.axes[1].texts[0].get_text().split(",")
    )
    assert median == pytest.approx(1.0, abs=0.2)
    assert width == pytest.approx(2.0, abs=0.2)


def test_curves_of_a_right_posterior_stay_in_their_bands():
    """Drawn curves are those of the ranks: inside the band when uniform, far outside when not."""
    right, narrow = uniform(1000, 2), np.random.default_rng(0).beta(0.5, 0.5, (1000, 2))
    for fractions, inside in ((right, True), (narrow, False)):
        figure = diagnostic_plots.calibration_curves(fractions, fractions[:, 0], ["a", "b"])
        ranks, coverage, joint = figure.axes
        reach = max(np.abs(line.get_ydata()).max() for line in ranks.lines)
        half = diagnostic_plots.simultaneous_band(1000)

        assert is_finite(figure) and len(joint.lines) == 2
        assert (reach < half) == inside
        middle = coverage.lines[0].get_ydata()[100]
        assert (abs(middle - 0.5) < 0.06) == inside


def test_curves_and_histograms_of_very_few_spectra_are_drawn():
    """Three spectra, or a TARP without a value, still make a figure."""
    figure = diagnostic_plots.calibration_curves(uniform(3, 2), np.full(3, np.nan), ["a", "b"])

    assert is_finite(figure)
    assert is_finite(diagnostic_plots.rank_histograms(uniform(3, 2), ["a", "b"]))


def test_history_shows_every_note_and_survives_nan():
    """Each step noted is a point; a step without a finite score leaves the axes finite."""
    score = np.array([-1e6, np.nan, 5.0, 6.0, 6.5, 6.6, 6.7])

    figure = diagnostic_plots.training_history(np.arange(7), score)

    assert is_finite(figure)
    assert len(figure.axes[0].lines[0].get_xdata()) == 7


def test_same_figure_same_bytes():
    """Two drawings of one figure are equal byte for byte: no date, no random names."""
    figures = [diagnostic_plots.training_history(np.arange(9), np.arange(9.0)) for _ in range(2)]

    assert diagnostic_plots.image_bytes(figures[0]) == diagnostic_plots.image_bytes(figures[1])
    assert diagnostic_plots.image_bytes(figures[0], "png") == diagnostic_plots.image_bytes(
        figures[1], "png"
    )
