"""Residuals over sigma: against scipy's normal densities, pixel by pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from likelihood_bench import sigma_of
from scipy import stats

from hpcsbi.simulator.probability.pulls import KINDS, log_density, pulls_of


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 999), masked=st.floats(0, 1))
def test_pulls_and_density_are_those_of_normals(kind, seed, masked):
    """Of any masks; sigma is its inverse, and the model over it."""
    rng = np.random.default_rng(seed)
    flux, model = rng.uniform(1, 2, (3, 40)), rng.uniform(1, 2, (3, 2, 40))
    ivar = np.where(rng.random((3, 40)) < masked, 0.0, rng.uniform(50, 5000, (3, 40)))
    floor, factor = rng.uniform(0, 0.1, (3, 2)), rng.uniform(0.9, 1.1, 40)
    arrays = [torch.from_numpy(a) for a in (flux, ivar, model, floor, factor)]
    found = pulls_of(kind, 0.05 if kind == "fractional" else None, *arrays)
    density = log_density(arrays[1], found.log_ratio, (found.pull**2).sum(-1))
    for i in range(3):
        good = ivar[i] > 0
        expected = (model[i] * factor)[:, good]
        sigma = sigma_of(kind, expected, ivar[i][good], floor[i][:, None])
        normal = stats.norm.logpdf(flux[i][good], expected, sigma).sum(1)
        np.testing.assert_allclose(density[i], normal, rtol=1e-9, atol=1e-5)
        np.testing.assert_allclose(found.scaled[i][:, good], expected / sigma, rtol=1e-9)
        weight = found.weight[i].expand(2, -1)[:, good]
        np.testing.assert_allclose(weight, np.broadcast_to(1 / sigma, weight.shape), rtol=1e-9)
        assert not found.pull[i][:, ~good].any() and not found.weight[i][:, ~good].any()


def test_what_is_not_finite_is_improbable():
    """An overflow is no evidence for a model."""
    ivar = torch.ones(1, 5)
    chi2 = torch.tensor([[1.0, torch.nan, torch.inf]]).double()

    assert torch.isfinite(log_density(ivar, 0.0, chi2)).tolist() == [[True, False, False]]
    assert (log_density(ivar, 0.0, chi2)[0, 1:] == -torch.inf).all()
