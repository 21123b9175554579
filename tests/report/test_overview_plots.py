"""Planes of all objects: bars for few, points for more, cells for many, nobody left out."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh

from hpcsbi.report import diagnostic_plots, overview_plots


def columns(n, seed=0):
    rng = np.random.default_rng(seed)
    mass = rng.normal(10, 0.5, n)
    return {
        "zred": rng.uniform(0.01, 0.5, n),
        "logmass": mass,
        "logzsol": 0.3 * (mass - 10),
        "logmass_surviving": mass - 0.2,
        "sfr_100myr": 10 ** (mass - 10),
        "mass_weighted_age": rng.uniform(1, 9, n),
        "chi2": rng.normal(1, 0.1, n),
        "pareto_k": rng.normal(0.3, 0.1, n),
        "ess": rng.uniform(10, 900, n),
    }


def test_few_objects_have_their_ranges():
    """Points with bars from the 16th to the 84th percentile, in the logarithm for a rate."""
    medians = columns(3)
    ranges = {name: values[:, None] * [0.9, 1, 1.1] for name, values in medians.items()}

    figure = overview_plots.planes(medians, ranges)

    rates = figure.axes[2]
    bars = [each for each in rates.collections if isinstance(each, LineCollection)]
    ends = np.array([segment[:, 1] for segment in bars[-1].get_segments()])
    assert np.allclose(np.diff(ends, axis=1), np.log10(1.1 / 0.9))
    assert [axes.get_xlabel() for axes in figure.axes][-1] == "redshift"


@pytest.mark.parametrize("n", [300, 20_000])
def test_every_object_is_in_its_plane(n):
    """As a point, or in a cell, those far off included; without a number there is none."""
    medians = columns(n)
    medians["logzsol"][:3] = [np.nan, 40.0, -40.0]

    axes = overview_plots.planes(medians).axes[0]

    cells = [each for each in axes.collections if isinstance(each, QuadMesh)]
    assert bool(cells) == (n > overview_plots.POINTS)
    drawn = cells[0].get_array().sum() if cells else len(axes.lines[0].get_xdata())
    assert drawn == n - 1


def test_a_galaxy_that_forms_nothing_is_drawn():
    """At the least rate that is drawn, not at minus infinity."""
    medians = columns(5)
    medians["sfr_100myr"][0] = 0

    rates = overview_plots.planes(medians).axes[2].lines[0].get_ydata()

    assert rates[0] == np.log10(overview_plots.LEAST_RATE) and np.isfinite(rates).all()


def test_a_catalogue_without_masses_has_no_planes():
    """Nor figures of checks that it has not."""
    assert overview_plots.planes({"chi2": np.ones(3)}) is None
    assert overview_plots.quality({"chi2": np.full(3, np.nan)}) is None
    assert len(overview_plots.quality({"chi2": np.ones(3)}).axes) == 1


def test_every_object_is_in_the_histograms():
    """Extreme ones in the last bars; the limits of good weights are marked."""
    many = columns(5000)
    many["pareto_k"][:2], many["ess"][0] = [np.inf, -np.inf], np.nan
    many["pareto_k"][2:] += 0.4

    figure = overview_plots.quality(many)

    diagnostic_plots.image_bytes(figure)
    counts = {a.get_xlabel(): sum(p.get_height() for p in a.patches) for a in figure.axes}
    assert counts["χ² a pixel"] == 5000 and counts["log ESS"] == 4999
    assert counts["Pareto k of the weights"] == 5000
    assert [list(axes.lines[0].get_xdata()) for axes in figure.axes][1:] == [
        [0.7, 0.7],
        [np.log10(200)] * 2,
    ]
