"""Panels of one posterior: densities over their prior, bands of a history."""

import numpy as np
from matplotlib.figure import Figure

from hpcsbi.report.posterior_panels import draw_history, draw_marginal


def axes():
    return Figure().subplots()


def test_a_marginal_is_where_its_weights_are():
    """Densities integrate to one; the posterior's peak is where the heavy draws are."""
    rng, panel = np.random.default_rng(0), axes()
    values = np.concatenate([rng.normal(2, 0.1, 500), rng.normal(8, 0.1, 500)])
    weights = np.repeat([1.8e-3, 2e-4], 500)
    draw_marginal(panel, values, weights, rng.uniform(0, 10, 5000), "age [Gyr]")

    edges, heights = panel.patches[-1].get_xy().T
    assert abs(edges[np.argmax(heights)] - 2) < 0.5
    assert panel.get_xlabel() == "age [Gyr]"
    bars = [patch for patch in panel.patches if hasattr(patch, "get_height")]
    assert np.isclose(sum(bar.get_height() * bar.get_width() for bar in bars), 1, rtol=0.01)


def test_a_parameter_of_one_value_has_a_panel():
    """Neither prior nor posterior need a width."""
    draw_marginal(axes(), np.ones(5), np.full(5, 0.2), np.ones(9), "fixed")


def test_a_history_has_bands_from_now_on():
    """Its first bin begins at no time, which a logarithm has not; what forms nothing is below."""
    panel, edges = axes(), np.array([0.0, 0.01, 1.0, 13.0])
    quantiles = np.outer([0.2, 0.5, 1.0, 2.0, 5.0], [1.0, 3.0, 0.0])
    draw_history(panel, edges, quantiles)

    assert panel.get_xscale() == panel.get_yscale() == "log"
    low, high = panel.get_xlim()
    assert 0 < low < 0.01 and high == 13.0
    assert 0 < panel.get_ylim()[0] < 1 and panel.get_ylim()[1] > 15
    assert len(panel.patches) == 3
    draw_history(axes(), edges, np.zeros((5, 3)))
