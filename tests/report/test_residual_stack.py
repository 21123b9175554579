"""Stacked residuals find what all spectra have in common, and no more than that."""

import numpy as np
import pytest
import tiny
import torch
from matplotlib.collections import PolyCollection

from hpcsbi.grid import Grid
from hpcsbi.report import diagnostic_plots, residual_stack
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch

WAVE = Grid().wave
BUMP = 2 * np.exp(-0.5 * ((WAVE - 6700) / 100) ** 2)


def percent(n, seed=0, bump=BUMP):
    """Residuals of 5 % noise about a bump of the model, a tenth of them masked."""
    rng = np.random.default_rng(seed)
    values = bump + 5 * rng.normal(size=(n, len(WAVE)))
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


def test_a_stack_finds_what_all_have_in_common():
    """A bump of 2 % under noise of 5 % is within four errors everywhere, and told as the worst."""
    stack = residual_stack.stack(percent(400))

    assert stack.objects == 400
    assert (np.abs(stack.median - BUMP) < 4.5 * stack.error).all()
    assert np.median((stack.high - stack.low) / 2) == pytest.approx(5, rel=0.1)
    assert 0.5 < np.std((stack.median - BUMP) / stack.error) < 1.5
    words = residual_stack.worst_words(WAVE, stack)
    assert all(abs(float(word) - 6700) < 150 for word in words.split() if word.startswith("6"))


def test_wavelengths_that_few_reach_have_no_median():
    """Two of a hundred spectra say nothing; of two spectra both do."""
    values = percent(100)
    values[2:, :5] = np.nan

    assert np.isnan(residual_stack.stack(values).median[:5]).all()
    values[:2] = 1.0
    assert np.isfinite(residual_stack.stack(values[:2]).median).all()
    nothing = residual_stack.stack(np.full((3, len(WAVE)), np.nan))
    assert residual_stack.worst_words(WAVE, nothing) == ""


def test_types_take_enough_of_each():
    """Emission lines and age tell objects apart where there are twenty on either side."""
    rng = np.random.default_rng(0)
    columns = {"halpha_ew": np.repeat([0.1, 30.0], 30), "mass_weighted_age": rng.uniform(1, 9, 60)}

    told = residual_stack.types(columns)

    assert [int(mask.sum()) for mask in told.values()] == [30, 30, 30, 30]
    assert residual_stack.types({"halpha_ew": np.repeat([0.1, 30.0], [50, 10])}) == {}
    assert residual_stack.types({}) == {}
    assert residual_stack.types({"mass_weighted_age": np.full(60, np.nan)}) == {}


def test_residuals_are_those_of_the_models_own_spectra():
    """A spectrum 3 % above what its theta makes has residuals of 3 %; masked pixels have none."""
    prior = tiny.prior(survey=True)
    ssp = load_engine(tiny.TABLE, prior)
    likelihood = Likelihood(ssp, prior.names, "given")
    theta = np.repeat(prior.sample(2, np.random.default_rng(0))[:, None], 4, 1).astype("float32")
    with torch.no_grad():
        flux = 1.03 * likelihood.spectra(torch.from_numpy(theta))[:, 0].numpy()
    ivar = np.where(np.arange(flux.shape[1]) % 9, (0.02 * flux) ** -2.0, 0).astype("float32")

    found = residual_stack.percent_residuals(likelihood, theta, Batch(flux, ivar, np.arange(2)))

    assert np.array_equal(np.isnan(found), ivar == 0)
    assert np.nanmax(np.abs(found - 3)) < 0.01
    theta[:, ::2, prior.names.index("logmass")] += np.log10(1.2)  # half of the draws 20 % brighter
    among = residual_stack.percent_residuals(likelihood, theta, Batch(flux, ivar, np.arange(2)))
    assert np.nanmax(np.abs(among - 100 * (1.03 / 1.1 - 1))) < 0.01


def test_types_have_a_panel_of_their_own():
    """All objects above, each type below; few objects are drawn one by one."""
    whole = residual_stack.stack(percent(50))
    parts = {"young": residual_stack.stack(percent(20)), "old": residual_stack.stack(percent(30))}

    figure = residual_stack.residuals(WAVE, whole, percent(50)[:0], parts)
    alone = residual_stack.residuals(WAVE, whole, percent(3), {})

    assert len(figure.axes) == 2 and len(alone.axes) == 1
    keys = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert keys == ["young (20)", "old (30)"]
    assert b"<svg" in diagnostic_plots.image_bytes(figure)
    diagnostic_plots.image_bytes(alone)


def test_a_learned_error_is_drawn_in_percent():
    """Its mean as a line, the rms of its templates about it."""
    curves = np.array([0.03 * np.sin(WAVE / 500), 0.04 * np.cos(WAVE / 500)])
    learned = LearnedError(0.01 * BUMP, curves, Grid().settings())

    figure = residual_stack.learned_error(WAVE, learned)

    axes = figure.axes[0]
    mean = next(line for line in axes.lines if line.get_label() == "mean")
    assert np.allclose(mean.get_ydata(), BUMP)
    band = next(each for each in axes.collections if isinstance(each, PolyCollection))
    heights = band.get_paths()[0].vertices[:, 1]
    rms = 100 * np.sqrt((curves**2).sum(0))
    assert heights.max() == pytest.approx((BUMP + rms).max(), rel=1e-6)
    assert "2 templates" in band.get_label()
