"""Figures of spectra: gaps stay gaps, names stay text, many pixels stay readable."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from hpcsbi.report import diagnostic_plots, spectrum_plots

WAVE = np.linspace(3750, 9500, 138)
HALPHA = np.exp(-0.5 * ((WAVE - 6564.6) / 40) ** 2)


def fit(ivar, title="a"):
    """A flat spectrum with a little noise over its own model."""
    rng = np.random.default_rng(0)
    flux = np.where(ivar > 0, 2e8 * (1 + 0.05 * rng.normal(size=138)), np.nan)
    predicted = 2e8 * (1 + 0.01 * rng.normal(size=(50, 1))) * np.ones(138)
    return spectrum_plots.spectrum_fit(WAVE, flux, ivar, predicted, 0.0, title)


def steps(axes):
    """Values of the step line in a panel."""
    patches = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    return next(patch for patch in patches if not patch.get_fill()).get_data().values


def test_emission_is_solid_and_absorption_dotted():
    """A spectrum with H alpha is drawn solid, one without is dotted."""
    flux = np.array([1 + HALPHA, np.ones(138), 1 - 0.3 * HALPHA])

    figure = spectrum_plots.example_seds(WAVE, flux, ["lines", "none", "absorption"])

    solid = [line.is_dashed() for line in figure.axes[0].lines[:3]]
    assert solid == [False, True, True]


def test_masked_pixels_are_gaps_in_data_and_residuals():
    """Pixels of ivar 0 have no value in either panel and are shaded; the others are all there."""
    ivar = np.full(138, 1 / (0.05 * 2e8) ** 2)
    ivar[40:46] = 0

    upper, lower, percent = fit(ivar).axes

    for axes in (upper, lower, percent):
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


def many(pixels=4000, seed=0):
    """A spectrum with a line, noise of 20 %, a gap and a tenth of its pixels masked."""
    rng, wave = np.random.default_rng(seed), np.geomspace(3750, 9500, pixels)
    model = 3e7 * (1 + 5 * np.exp(-0.5 * ((wave / 6564.6 - 1) / 1e-3) ** 2))
    ivar = (0.2 * model) ** -2.0
    ivar[rng.random(pixels) < 0.1] = 0
    ivar[1000:1200] = 0
    flux = np.where(ivar > 0, model * (1 + 0.2 * rng.normal(size=pixels)), np.nan)
    return wave, flux, ivar, np.repeat(model[None], 20, 0)


def test_many_pixels_are_drawn_as_means():
    """At most 1200 steps, whose residuals still scatter by one; the key says of how many pixels."""
    figure = spectrum_plots.spectrum_fit(*many())

    upper, lower, _ = figure.axes
    assert len(steps(upper)) == 1000
    assert "means of 4 pixels" in str(upper.get_legend_handles_labels()[1])
    assert np.isnan(steps(upper))[250:300].all() and np.isnan(steps(upper)).sum() < 60
    assert 0.9 < np.nanstd(steps(lower)) < 1.1
    assert len(diagnostic_plots.image_bytes(figure)) < 5e5
    few = spectrum_plots.spectrum_fit(*many(1200))
    assert len(steps(few.axes[0])) == 1200


def test_the_floor_averages_out_like_noise():
    """With noise that is all floor the residuals of means scatter by one, too."""
    wave, flux, ivar, predicted = many()
    figure = spectrum_plots.spectrum_fit(wave, flux, 1e8 * ivar, predicted, 0.2)

    assert 0.9 < np.nanstd(steps(figure.axes[1])) < 1.1


def test_a_narrow_line_of_the_model_is_inside_the_panel():
    """Of many pixels a line is a fraction of a per cent."""
    wave, flux, ivar, predicted = many(1100)

    figure = spectrum_plots.spectrum_fit(wave, flux, ivar, predicted)

    assert figure.axes[0].get_ylim()[1] > predicted.max() / 1e8


def test_residuals_in_percent_are_of_the_model():
    """A spectrum 3 % above its model has residuals of 3, sigma of 5 % of the model one of 5."""
    model = 2e8 * np.linspace(1, 3, 138)
    ivar = (0.05 * model) ** -2.0

    figure = spectrum_plots.spectrum_fit(WAVE, 1.03 * model, ivar, np.repeat(model[None], 9, 0))

    _, lower, percent = figure.axes
    assert np.allclose(steps(percent), 3) and np.allclose(steps(lower), 0.6)
    bands = [patch.get_data() for patch in percent.patches if patch.get_fill()]
    assert all(np.allclose(band.values, 5) and np.allclose(band.baseline, -5) for band in bands)
    assert "a pixel is 42 Å" in percent.get_xlabel()


def test_lines_are_named_above_the_panel_and_apart():
    """No name lies on the spectrum or on another; Ca H, 35 Angstrom from Ca K, is moved least."""
    figure = fit(np.full(138, 1e-14))

    figure.draw_without_rendering()
    upper = figure.axes[0]
    names = {text.get_text(): text for text in upper.texts}
    boxes = [Text.get_window_extent(text) for text in upper.texts]  # without its leader
    top = upper.get_window_extent().y1
    lefts = sorted((box.x0, box.x1) for box in boxes)
    assert {"Ca K", "Ca H", "G band", "Mg b", "Ca triplet"} <= names.keys()
    assert abs(names["Mg b"].xyann[0] - 5176.6) < 10
    assert all(box.y0 > top for box in boxes)
    assert all(after[0] > before[1] - 2 for before, after in pairwise(lefts))


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=30).map(sorted).map(np.array),
    st.floats(1e-3, 0.2),
)
def test_places_are_spread_no_more_than_needed(places, closest):
    """No two are closer than asked, their mean stays, and what is far apart does not move."""
    spread = spectrum_plots.spread_apart(places, closest)

    assert (np.diff(spread) >= closest - 1e-9).all()
    assert np.isclose(spread.mean(), places.mean())
    if len(places) == 1 or np.diff(places).min() >= closest:
        assert np.allclose(spread, places)
