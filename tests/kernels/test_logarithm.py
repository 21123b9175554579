"""Logarithms of spectra, projected: those of float64, and told where there are none."""

import numpy as np
import pytest

from hpcsbi.kernels.logarithm import project_log


def test_compiled_logarithm():
    """That of float64 to the rounding of float32, from the smallest to the largest numbers."""
    flux = np.random.default_rng(0).uniform(-29, 30, (50, 40))
    onto = np.eye(40, dtype=np.float32)
    found = np.empty((50, 40), np.float32)
    project_log((10.0**flux).astype(np.float32), onto, found)
    assert abs(found - np.log(10) * flux).max() < 1e-5

    dark = np.array([[0, -1, 1e-38, 1]], np.float32)
    project_log(dark, np.eye(4, dtype=np.float32), found[:1, :4])
    assert found[0, :4] == pytest.approx([np.log(1e-30)] * 3 + [0])


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -1.0, 0.0])
def test_projection_of_logarithms_outside_of_its_domain(odd):
    """What is not above 1e-30 counts as that; what is not finite makes its own spectrum NaN."""
    rng = np.random.default_rng(0)
    flux, onto = rng.uniform(1, 2, (5, 138)).astype(np.float32), rng.normal(size=(2, 138))
    flux[2, 7] = odd
    out = np.empty((5, 2), np.float32)
    project_log(flux, onto.astype(np.float32), out)

    expected = np.log(np.maximum(flux, 1e-30)) @ onto.T
    if odd in (np.inf,) or np.isnan(odd):
        assert np.isnan(out[2]).all()
        out[2] = expected[2] = 0
    assert out == pytest.approx(expected, rel=1e-4, abs=1e-4)
