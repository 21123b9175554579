"""The arithmetic that loops share, and their bytes on processors of other kinds."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.kernels.arithmetic import (
    BLOCK,
    LANES,
    LN2,
    LOG2E,
    exponentials,
    padded_length,
    small_exp,
)

HASH = """
import kernel_cases
print(kernel_cases.digest())
"""


def test_small_exp_is_exact_to_float32_in_its_domain():
    """To two units of the last place where powers of two leave it; one step beyond it is wrong."""
    inside, beyond = np.linspace(-LN2 / 2, LN2 / 2, 2001), np.array([-2.0, 2.0])
    error, wrong = (
        [abs(small_exp(np.float32(u)) / np.exp(np.float32(u), dtype=float) - 1) for u in values]
        for values in (inside, beyond)
    )

    assert max(error) < 2 * np.finfo(np.float32).eps and small_exp(np.float32(0)) == 1
    assert min(wrong) > 1e-3


def test_powers_of_two_are_those_of_e():
    """exp(x) as loops take it apart: 2^whole exp(part)."""
    x = np.linspace(-80, 80, 401)
    whole = np.floor(x * LOG2E + 0.5)
    parts = [small_exp(np.float32(part)) for part in x - whole * LN2]

    assert np.ldexp(np.array(parts, float), whole.astype(int)) == pytest.approx(np.exp(x), rel=1e-6)


def test_exponentials_are_those_of_numpy():
    """To the rounding of x, in place too; beyond 2^126 and below its inverse they stay there."""
    x = np.concatenate([np.linspace(-87, 87, 501), [-1e6, 1e6, np.nan, np.inf]]).astype("f4")
    power, out = np.empty(len(x), np.int32), np.empty_like(x)
    exponentials(x, power, out)
    right = np.exp(x[:501].astype(float))

    assert (np.abs(out[:501] / right - 1) < 1e-7 * (2 + np.abs(x[:501]))).all()
    assert out[501:503] == pytest.approx([2.0**-126, 2.0**126], rel=1e-6)
    assert np.isnan(out[503:]).all()
    exponentials(x, power, x)
    assert np.array_equal(x, out, equal_nan=True)


@given(st.integers(0, 20_000), st.sampled_from([LANES, BLOCK, 7]))
def test_padded_length_is_the_next_multiple(n, step):
    """As long as needed, and by less than a step longer."""
    length = padded_length(n, step)

    assert length % step == 0 and n <= length < n + step


def test_blocks_are_whole_lanes():
    """Arrays are filled up to them."""
    assert BLOCK % LANES == 0 and BLOCK * 128 // LANES < 1022 - 128


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
