"""Compiled loops outside of what they are made for, and on processors of other kinds."""

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from scipy import stats

from hpcsbi.kernels.arithmetic import BLOCK, LANES
from hpcsbi.kernels.likelihood import pulls
from hpcsbi.kernels.logarithm import project_log
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.likelihood import Likelihood

NAMES = tuple(tiny.DIGS | tiny.NUISANCE)


@pytest.fixture(scope="module")
def engine():
    return load_engine(tiny.TABLE, tiny.prior(survey=True))


def case(pixels, snr, floor, orders=0, n=8, seed=0):
    """Arguments of `pulls` for draws about a truth, and the residuals' likelihood by scipy."""
    rng = np.random.default_rng(seed)
    k = np.linspace(1.5, 0.5, pixels).astype(np.float32)
    bare = rng.uniform(0.5, 2, (n, pixels)).astype(np.float32)
    mass, dust2 = 10 ** rng.uniform(9.99, 10.01, n), rng.uniform(0.5, 0.6, n).astype(np.float32)
    model = mass[:, None] * bare * np.exp(-dust2[:, None] * k.astype(float))
    sigma = np.median(model, 0) / snr
    flux = model[0] + np.hypot(sigma, floor * model[0]) * rng.normal(size=pixels)
    seen, weight = (flux / sigma).astype(np.float32), (1 / sigma).astype(np.float32)
    curves = 0.04 * rng.normal(size=(orders, pixels)).astype(np.float32)
    arguments = bare, mass, dust2, k, seen, weight, 0.0, np.full(n, floor, np.float32), curves
    variance = sigma**2 + (floor * model) ** 2
    right = stats.norm.logpdf(flux, model, np.sqrt(variance)).sum(1)
    return arguments, right, -np.log(sigma).sum() - pixels / 2 * np.log(2 * np.pi)


def found(arguments):
    """Chi squared and the sum of logarithms."""
    out = np.empty((2, len(arguments[0])))
    pulls(*arguments, *out)
    return out


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
    bare, mass, dust2, k, seen, weight, _, floor, curves = arguments
    weight = weight * np.where(np.arange(pixels) < pixels / 2, 1e-3, 1e3).astype(np.float32)
    _, log_ratio = found((bare, mass, dust2, k, seen, weight, fraction, floor, curves))

    model = mass[:, None] * bare * np.exp(-dust2[:, None] * k.astype(float))
    assert log_ratio == pytest.approx(2 * np.log(fraction * model * weight).sum(1), rel=1e-5)


@pytest.mark.parametrize("orders", [0, 3])
@pytest.mark.parametrize("odd", [1e25, 3e38, np.inf, np.nan])
@pytest.mark.parametrize("where", ["seen", "weight", "bare", "floor", "mass"])
def test_what_overflows_has_no_likelihood(where, odd, orders):
    """A huge or unknown number anywhere: chi squared or the logarithm say so, as one of them."""
    arguments, *_ = case(200, 50, 0.02, orders)
    names = ("bare", "mass", "dust2", "k", "seen", "weight", "fraction", "floor", "curves")
    changed = dict(zip(names, arguments, strict=True))
    values = np.array(changed[where])
    values.flat[0] = odd
    chi2, log_ratio = found(tuple((changed | {where: values}).values()))

    with np.errstate(all="ignore"):
        log_likelihood = np.nan_to_num(-0.5 * (chi2 + log_ratio), nan=-np.inf, neginf=-np.inf)
    assert log_likelihood[0] < -1e5 and log_likelihood[0] != np.finfo(float).min


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


@pytest.mark.parametrize("name", ["tage", "tau", "logzsol", "line_strength"])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -3.0, 1e30])
def test_no_number_reads_beside_the_table(engine, name, odd):
    """NaN gives NaN, the rest the table's edge or NaN; other rows do not notice, nor does torch."""
    prior = tiny.prior(survey=True)
    theta = torch.tensor(prior.sample(64, np.random.default_rng(0))).float()
    spoiled = theta.clone()
    spoiled[5, prior.names.index(name)] = odd
    with torch.no_grad():
        compiled, before = (engine.dustless(rows, prior.names) for rows in (spoiled, theta))
    written = engine.dustless(spoiled.requires_grad_(), prior.names).detach()

    others = np.arange(64) != 5
    assert torch.equal(compiled[others], before[others])
    assert np.isnan(odd) <= torch.isnan(compiled[5]).all().item()
    assert torch.allclose(compiled, written, rtol=1e-3, equal_nan=True)


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


def test_blocks_are_whole_lanes():
    """Arrays are filled up to them."""
    assert BLOCK % LANES == 0 and BLOCK * 128 // LANES < 1022 - 128


HASH = """
import test_kernels
print(test_kernels.digest())
"""


def digest():
    """Of the bytes that the kernels make."""
    bytes_of = hashlib.blake2b()
    for pixels in (37, 138, 500):
        for orders in (0, 3):
            bytes_of.update(found(case(pixels, 50, 0.02, orders)[0]).tobytes())
        flux = case(pixels, 1, 0, n=40)[0][0]
        out = np.empty((40, 2), np.float32)
        project_log(flux, np.stack([np.ones(pixels), np.arange(pixels)]).astype("f4"), out)
        bytes_of.update(out.tobytes())
    return bytes_of.hexdigest()


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names of x86 processors")
def test_bytes_do_not_depend_on_the_processor(tmp_path):
    """Compiled for vectors of 128 and of 256 bits, with other features: the same bytes."""
    if "fma" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("no fused multiply-add here: other bytes, as the module says")
    seen = set()
    others = {name: value for name, value in os.environ.items() if name[:9] != "NUMBA_CPU"}
    others["PYTHONPATH"] = os.pathsep.join(sys.path)
    narrow = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+fma,+prefer-128-bit"}
    wide = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2"}
    for number, processor in enumerate(({}, narrow, wide)):  # the first is this one
        environment = others | processor | {"NUMBA_CACHE_DIR": str(tmp_path / str(number))}
        command = [sys.executable, "-c", HASH]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        seen.add(run.stdout.strip())

    assert len(seen) == 1
