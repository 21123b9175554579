"""Figures of posteriors: missing columns stay empty, what is infinite is drawn."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.report import diagnostic_plots, object_plots


def test_corner_has_the_lower_triangle_only():
    """Five parameters make fifteen panels; a column the second set lacks is left out there."""
    rng = np.random.default_rng(0)
    samples, other = rng.normal(size=(2, 500, 5))
    other[:, 4] = np.nan

    figure = object_plots.corner(
        [samples, other], list("abcde"), truth=np.zeros(5), keys=("one", "two")
    )

    assert len(figure.axes) == 15
    assert len(figure.axes[0].patches) == 2
    assert len(figure.axes[-1].patches) == 1
    assert all(np.isfinite(axes.get_xlim()).all() for axes in figure.axes)


def test_only_the_first_posterior_is_filled():
    """Of three posteriors one is filled, all have contours and a key; an empty one has neither."""
    sets = [*np.random.default_rng(0).normal(size=(2, 500, 2)), np.zeros((0, 2))]

    figure = object_plots.corner(sets, ["a", "b"], keys=("chain", "weighted", "flow"))

    joint = [axes for axes in figure.axes if axes.collections]
    assert [len(axes.collections) for axes in joint] == [3]
    assert [text.get_text() for text in figure.legends[0].texts] == ["chain", "weighted"]


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_panels_have_a_scale(low, width):
    """Two ticks or more, away from the corners, whatever the range."""
    figure = object_plots.corner([np.array([[low], [low + width]])], ["a"])

    ticks = figure.axes[0].get_xticks()
    low, high = figure.axes[0].get_xlim()
    assert len(ticks) in (2, 3)
    assert ticks[0] > low + 0.09 * (high - low) and ticks[-1] < high - 0.09 * (high - low)


def test_certificate_has_every_distance_and_the_limit():
    """Each distance is a point, one without weights has none, and k = 0.7 is marked."""
    k = np.array([0.1, 0.5, 0.9])
    distances = np.array([[0.1, 0.02, 0.02], [0.3, 0.03, 0.03], [0.8, np.nan, 0.02]])

    figure = object_plots.distances_by_pareto_k(k, distances, ["flow", "weighted", "halves"])

    diagnostic_plots.image_bytes(figure)
    flow, weighted, _, limit = figure.axes[0].lines
    assert np.array_equal(flow.get_xydata(), np.column_stack([k, distances[:, 0]]))
    assert np.isfinite(weighted.get_ydata()).sum() == 2
    assert list(limit.get_xdata()) == [0.7, 0.7]


def test_an_infinite_k_is_drawn():
    """Weights without a tail, or with nothing else, are points beyond all others."""
    k = np.array([-np.inf, 0.5, np.inf])

    figure = object_plots.distances_by_pareto_k(
        k, np.full((3, 3), 0.1), ["flow", "weighted", "halves"]
    )

    low, middle, high = figure.axes[0].lines[0].get_xdata()
    assert low < middle == 0.5 < 0.7 < high < 1


def test_corner_of_equal_draws_is_drawn():
    """A posterior without any width has finite axes."""
    figure = object_plots.corner([np.ones((100, 2))], ["a", "b"])

    diagnostic_plots.image_bytes(figure, "png")
    assert all(np.diff(axes.get_xlim()) > 0 for axes in figure.axes)
