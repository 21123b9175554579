"""Chi squared and variance: no number of pixels, no S/N and no odd value spoils a likelihood."""

import numpy as np
import pytest
import tiny
import torch
from kernel_cases import ARGUMENTS, case, found

from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.probability.likelihood import Likelihood

NAMES = tuple(tiny.DIGS | tiny.NUISANCE)


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, tiny.prior(survey=True))


@pytest.mark.parametrize("pixels", [1, 20, 137, 138, 500, 1000, 10_000])
@pytest.mark.parametrize("snr, floor", [(5, 0.02), (1000, 0.1), (1e5, 0.3), (1e5, 1.0)])
def test_no_product_overflows(pixels, snr, floor):
    """ln L on any grid and S/N is scipy's; products of 1250 variance ratios were infinite."""
    arguments, right, fixed = case(pixels, snr, floor)
    chi2, log_ratio = found(arguments)

    assert fixed - 0.5 * (chi2 + log_ratio) == pytest.approx(right, rel=2e-6, abs=2e-3)


@pytest.mark.parametrize("fraction", [1e-4, 0.05, 0.2])
def test_no_product_underflows(fraction):
    """Variances far below the quoted ones, first half of the grid, and far above: the sum stays."""
    pixels = 10_000
    arguments, *_ = case(pixels, 1.0, 0.0)
    bare, mass, dust2, k, seen, weight, _, *rest = arguments
    weight = weight * np.where(np.arange(pixels) < pixels / 2, 1e-3, 1e3).astype(np.float32)
    _, log_ratio = found((bare, mass, dust2, k, seen, weight, fraction, *rest))

    model = mass[:, None] * bare * np.exp(-dust2[:, None] * k.astype(float))
    assert log_ratio == pytest.approx(2 * np.log(fraction * model * weight).sum(1), rel=1e-5)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("orders", [0, 3])
@pytest.mark.parametrize("odd", [1e25, 3e38, np.inf, np.nan])
@pytest.mark.parametrize("where", ["observed", "weight", "bare", "floor", "mass"])
def test_what_overflows_has_no_likelihood(where, odd, orders, smooth):
    """A huge or unknown number anywhere: chi squared or the logarithm say so, as one of them."""
    arguments, *_ = case(200, 50, 0.02, orders, smooth=smooth)
    changed = dict(zip(ARGUMENTS, arguments, strict=True))
    values = np.array(changed[where])
    values.flat[0] = odd
    chi2, log_ratio = found(tuple((changed | {where: values}).values()))

    with np.errstate(all="ignore"):
        log_likelihood = np.nan_to_num(-0.5 * (chi2 + log_ratio), nan=-np.inf, neginf=-np.inf)
    assert log_likelihood[0] < -1e4 and log_likelihood[0] != np.finfo(float).min


@pytest.mark.slow
def test_ln_likelihood_is_never_the_lowest_finite_number(engine):
    """-inf stays -inf, compiled and written out; so draws without likelihood get no weight."""
    theta = torch.tensor(tiny.prior(survey=True).sample(12, np.random.default_rng(0))).float()
    flux = engine.flux(theta[:1], NAMES)
    for kind in ("survey", "given", "calibrated"):
        one = Likelihood(
            engine, NAMES, kind if kind != "calibrated" else "survey", None,
            0.04 if kind == "calibrated" else 0.0,
        )  # fmt: skip
        for odd in (flux * np.inf, flux * np.nan, flux * 1e38):
            for rows in (theta[None], theta[None].clone().requires_grad_()):
                value = one(odd, (flux / 50) ** -2, rows).detach()
                assert (value == -torch.inf).all() or (value < -1e30).all()
                assert not (value == torch.finfo(torch.float64).min).any()
