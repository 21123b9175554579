"""Compiled networks: the same steps to rounding, whatever another processor left behind."""

import os
import subprocess
import sys

import pytest
import torch
import torch._inductor.config

from hpcsbi.errors import BadInput
from hpcsbi.inference.network.compilation import refuse_no_compiler
from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.networks import NETWORKS
from hpcsbi.inference.network.optimiser import Optimiser
from hpcsbi.inference.summary.representations import make_representation
from hpcsbi.simulator.theta.prior import Prior

ONE_STEP = """
from test_compilation import Flow, fit, pairs
print(fit(Flow("sbi_maf", 8, 1)).update(*pairs(64, 0)))
"""
PRIOR = Prior({"logmass": {"low": 8, "high": 13}, "dust2": {"low": 0, "high": 4}})


def fit(flow: Flow, compiled: bool = True) -> Optimiser:
    representation = make_representation("plain", PRIOR, {"context_mean": torch.zeros(3)})
    return Optimiser(flow, representation, 30, 1e-3, 0, compiled=compiled)


def pairs(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """u = first two context numbers plus noise of 0.1."""
    generator = torch.Generator().manual_seed(seed)
    context = torch.randn(n, 3, generator=generator)
    return context[:, :2] + 0.1 * torch.randn(n, 2, generator=generator), context


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_compiled_steps_are_the_steps(network):
    """Loss by loss, to rounding, and the held-out score of the weights."""
    plain, compiled = (fit(Flow(network, 16, 2), each) for each in (False, True))
    for step in range(30):
        batch = pairs(64, step)
        assert compiled.update(*batch) == pytest.approx(plain.update(*batch), rel=1e-4)
    inputs = (*pairs(1000, 100), torch.zeros(1000))
    assert compiled.score(inputs) == pytest.approx(plain.score(inputs), rel=1e-4)


@pytest.mark.slow
def test_what_another_processor_compiled_is_not_taken(tmp_path):
    """One with vectors, then one without, on a disk that both see."""
    losses = []
    for capability in (None, "default"):
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
        environment |= {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
        environment.pop("ATEN_CPU_CAPABILITY", None)
        if capability:
            environment["ATEN_CPU_CAPABILITY"] = capability
        run = subprocess.run(
            [sys.executable, "-c", ONE_STEP], env=environment, check=True, capture_output=True
        )
        losses.append(float(run.stdout))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_a_compiler_that_fails_is_told_with_the_mend():
    """At the first step, in a line; one that there is may be too old, or broken."""
    words = r"^train\.compiled is true.*train\.compiled=false.*CXX"
    broken = torch._inductor.config.patch({"cpp.cxx": ("false",)})  # a program that always fails
    with broken, pytest.raises(BadInput, match=words):
        fit(Flow("zuko_maf", 8, 1)).update(*pairs(64, 0))


def test_no_compiler_is_told_with_the_mend(monkeypatch):
    """By the name that is looked for; one that is there is not."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BadInput, match=r"no C\+\+ compiler no-such-compiler.*CXX.*compiled=false"):
        refuse_no_compiler()
    monkeypatch.setenv("CXX", sys.executable)  # any program
    refuse_no_compiler()
