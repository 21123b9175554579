"""Panels of a posterior: what is drawn is what the draws and the spectrum say."""

import numpy as np
import pytest
import small_run as shared
from matplotlib.figure import Figure

import hpcsbi
from hpcsbi.library import posterior_plots


@pytest.fixture(scope="module")
def posterior(small_run):
    arguments = shared.nucleus(0) | {"draws": 200}
    return hpcsbi.load_flow(small_run / "flows" / "demo")(**arguments)


def test_a_marginal_is_the_density_of_the_weighted_draws(posterior):
    """Its area is one, and its mean is that of the weighted draws, to a bin."""
    prior, zred = posterior._posterior.prior, posterior.zred
    axes = np.array([Figure().subplots() for _ in prior.inferred_names])
    rows, weights = posterior._coordinates, posterior.weights
    posterior_plots.marginals(prior, zred, rows, weights, axes)

    for i, each in zip(np.flatnonzero(prior.inferred), axes, strict=True):
        outline = each.patches[-1].get_path().vertices
        edges, heights = np.unique(outline[:, 0]), None
        assert edges[0] >= prior.low[i] - 1e-6 and edges[-1] <= prior.high[i] + 1e-6
        counts, bins = np.histogram(
            rows[:, i], np.linspace(edges[0], edges[-1], 41), weights=weights
        )
        heights = counts / counts.sum() / np.diff(bins)
        assert outline[:, 1].max() == pytest.approx(heights.max(), rel=1e-4)


def test_the_spectrum_needs_the_table(posterior, monkeypatch):
    """And what is drawn of it is the observed one."""
    one, batch = posterior._posterior, posterior._batch
    axes, residuals = Figure().subplots(2, 1)
    posterior_plots.spectrum(one, batch, posterior.sample((50,)), axes, residuals)
    steps = [each.get_data().values for each in axes.patches if hasattr(each, "get_data")]
    drawn = np.concatenate([*steps, *(line.get_ydata() for line in axes.lines)])
    valid = posterior.flux[posterior.ivar > 0]
    units = 10.0 ** np.arange(-3, 12)  # the label has a power of ten
    assert max(np.isclose(valid[:, None] / u, drawn, rtol=1e-5).any(1).mean() for u in units) > 0.9
    monkeypatch.setattr(one, "likelihood", None)
    with pytest.raises(hpcsbi.BadInput, match="took none along"):
        posterior_plots.spectrum(one, batch, posterior.sample((50,)), axes, residuals)
