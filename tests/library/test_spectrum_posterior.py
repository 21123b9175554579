"""One posterior in a notebook: draws and weights give its quantiles, forms for other tools."""

import matplotlib
import numpy as np
import pytest
import small_run as shared
import torch
from matplotlib.figure import Figure

import hpcsbi
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.statistics.importance_weights import weighted_quantiles


@pytest.fixture(scope="module")
def posterior(small_run):
    return hpcsbi.load_flow(small_run / "flows" / "demo")(**shared.nucleus(0))


def test_draws_and_weights_give_the_quantiles(posterior):
    """They are what stands behind every number of the row."""
    assert posterior.quantiles.attrs["unit"]["tage"] == "Gyr"
    assert posterior.derived.attrs["unit"]["sfr_100myr"] == "solMass/yr"
    theta = posterior.draws.to_numpy()
    levels = list(QUANTILES.values())
    again = weighted_quantiles(theta, posterior.weights, levels)
    if posterior.certificate["origin"] == "flow":  # a short flow's weights are not always good
        assert np.ptp(posterior.weights) == 0
        again = np.quantile(theta, levels, axis=0)

    assert posterior.weights.sum() == pytest.approx(1) and (posterior.weights > 0).all()
    assert posterior._posterior.prior.inside(posterior._coordinates, posterior.zred).all()
    assert np.allclose(again, posterior.quantiles, rtol=1e-5)


def test_samples_have_the_weights_distribution(posterior):
    """Resampled draws have the weighted mean, to the error of their number; equal seeds agree."""
    n = 4000
    theta, weights = posterior.draws.to_numpy(), posterior.weights
    mean = weights @ theta
    sd = np.sqrt(weights @ (theta - mean) ** 2)

    sample = posterior.sample((n,))

    assert sample.shape == (n, theta.shape[1]) and sample.dtype == torch.float32
    assert (np.abs(sample.numpy().mean(0) - mean) < 5 * sd / np.sqrt(n) + 1e-6 * abs(mean)).all()
    assert torch.equal(sample, posterior.sample((n,)))
    assert not torch.equal(sample, posterior.sample((n,), seed=1))
    assert posterior.sample((3, 5)).shape == (3, 5, theta.shape[1])


def test_words(posterior):
    """It says what it is, how good it is, and what is wrong with it."""
    words = repr(posterior)

    assert "NGC 3073" in words and posterior.certificate["origin"] in words
    assert all(name in words for name in (*posterior.flags, *posterior.draws.columns))
    assert f"{(posterior.ivar > 0).sum()} of 138 pixels" in words
    assert all(name in words for name in posterior.checks) and posterior.notice in words
    assert set(posterior.checks) >= {"chi2", "predictive_p"}


def test_inference_data(posterior):
    """The groups that ArviZ looks for, with draws, their log density and the certificate."""
    tree = posterior.to_inference_data()

    assert set(tree.children) == {"posterior", "sample_stats", "observed_data"}
    assert set(tree["posterior"].data_vars) == {*posterior.draws.columns}
    assert dict(tree["posterior"].sizes) == {"chain": 1, "draw": len(posterior.draws)}
    assert np.isfinite(tree["sample_stats"]["lp"]).all()
    assert tree["posterior"].attrs["pareto_k"] == posterior.certificate["pareto_k"]
    tage = tree["posterior"]["tage"].values
    assert np.median(tage) == pytest.approx(posterior.quantiles.loc["p50", "tage"], rel=0.02)


def test_histories_are_of_the_same_draws(posterior):
    """Bands are in order and never negative; the youngest bin is the rate of the catalogue."""
    one = posterior.history()
    bands = one[[*QUANTILES]].to_numpy()

    assert (np.diff(bands, axis=1) >= 0).all() and (bands >= 0).all()
    assert one["lookback_from"].iloc[0] == 0 and (one["lookback_to"] > one["lookback_from"]).all()
    few = posterior.history([0, 0.1, 13.9])
    recent = posterior.derived.loc["p50", "sfr_100myr"]
    assert few["p50"].iloc[0] == pytest.approx(recent, rel=1e-3)
    with pytest.raises(hpcsbi.BadInput, match="ascending"):
        posterior.history([1, 0.5])


def test_figures_are_drawn_onto_given_axes(posterior):
    """Each panel has content, in the style of who made it; a wrong number of axes is told."""
    style = dict(matplotlib.rcParams)
    figure = Figure()
    spectrum, residuals, history, *marginals = figure.subplots(10, 1)
    posterior.plot_spectrum(spectrum, residuals)
    posterior.plot_history(history)
    posterior.plot_marginals(np.array(marginals))

    corner = Figure(figsize=(9, 9))
    posterior.plot_corner(corner)

    assert len(corner.axes) == 7 * 8 / 2 and corner.get_size_inches().tolist() == [9, 9]
    assert all(each.patches or each.lines for each in figure.axes)
    assert dict(matplotlib.rcParams) == style
    with pytest.raises(hpcsbi.BadInput, match="2 axes for 7 inferred parameters: logmass, "):
        posterior.plot_marginals(figure.axes[:2])


@pytest.mark.parametrize("certificate", [True, False])
def test_the_most_probable_parameters(small_run, certificate):
    """No draw and no step from them is more probable; with a certificate by the exact density."""
    flow = hpcsbi.load_flow(small_run / "flows" / "demo")
    posterior = flow(**(shared.nucleus(0) | {"certificate": certificate, "draws": 300}))

    theta = posterior.map()

    assert theta.shape == (1, len(flow.parameters)) and theta.dtype == torch.float32
    highest = posterior.log_prob(theta)[0]
    draws = torch.tensor(posterior.draws.to_numpy(np.float32))
    steps = 0.1 * draws.std(0) * torch.randn(500, 7, generator=torch.Generator().manual_seed(1))
    assert posterior.log_prob(draws).max() < highest
    assert posterior.log_prob(theta + steps).max() < highest + 0.05
