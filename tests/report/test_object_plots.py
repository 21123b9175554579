"""Figures of single objects: gaps stay gaps, missing columns stay empty, names stay text."""

import numpy as np
from matplotlib.patches import StepPatch

from hpcsbi.report import diagnostic_plots, object_plots

WAVE = np.linspace(3750, 9500, 138)
HALPHA = np.exp(-0.5 * ((WAVE - 6564.6) / 40) ** 2)


def fit(ivar, title="a"):
    """A flat spectrum with a little noise over its own model."""
    rng = np.random.default_rng(0)
    flux = np.where(ivar > 0, 2e8 * (1 + 0.05 * rng.normal(size=138)), np.nan)
    predicted = 2e8 * (1 + 0.01 * rng.normal(size=(50, 1))) * np.ones(138)
    return object_plots.spectrum_fit(WAVE, flux, ivar, predicted, 0.0, title)


def steps(axes):
    """Values of the step line in a panel."""
    return next(patch for patch in axes.patches if isinstance(patch, StepPatch)).get_data().values


def test_emission_is_solid_and_absorption_dotted():
    """A spectrum with H alpha is drawn solid, one without is dotted."""
    flux = np.array([1 + HALPHA, np.ones(138), 1 - 0.3 * HALPHA])

    figure = object_plots.example_seds(WAVE, flux, ["lines", "none", "absorption"])

    solid = [line.is_dashed() for line in figure.axes[0].lines[:3]]
    assert solid == [False, True, True]


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


def test_masked_pixels_are_gaps_in_data_and_residuals():
    """Pixels of ivar 0 have no value in either panel and are shaded; the others are all there."""
    ivar = np.full(138, 1 / (0.05 * 2e8) ** 2)
    ivar[40:46] = 0

    upper, lower = fit(ivar).axes

    for axes in (upper, lower):
        assert np.array_equal(np.isnan(steps(axes)), ivar == 0)
    assert 0.8 < np.nanstd(steps(lower)) < 1.2


def test_a_wholly_masked_spectrum_is_still_drawn():
    """Without a valid pixel there is the model alone, and no error."""
    figure = fit(np.zeros(138))

    diagnostic_plots.image_bytes(figure)
    assert np.isfinite(figure.axes[0].get_ylim()).all()


def test_names_of_objects_are_no_mathematics():
    """A dollar sign or a tag in an object's id is printed as it is."""
    figure = fit(np.full(138, 1e-14), "$\\frac <b>")

    assert b"<svg" in diagnostic_plots.image_bytes(figure)
