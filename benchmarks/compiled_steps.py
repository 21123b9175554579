"""CPU time of a training's step as it is, and by compiled code, in one run.

    OMP_NUM_THREADS=1 python benchmarks/compiled_steps.py

Of the paper's network and of the survey's, on numbers at random: what a step of stored pairs takes
without reading them. First of all the seconds that compiling takes, of all cores.
"""

import time

import torch

from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.optimiser import Optimiser
from hpcsbi.inference.summary.representations import make_representation
from hpcsbi.simulator.theta.prior import Prior

# Hidden units and transforms as in conf/flow; inferred columns, numbers of the context, batch.
CASES = {
    "the paper's": (Flow("sbi_maf", 25, 10), 5, 138, 200),
    "the survey's": (Flow("zuko_maf", 128, 5), 7, 20, 512),
}
COLUMNS = ["logmass", *(f"logsfr_ratio_{i}" for i in range(1, 14))]  # any that there are
STEPS, ROUNDS = 100, 5


def main() -> None:
    """Print milliseconds of both, and their ratio."""
    torch.set_num_threads(1)
    for name, (flow, n_theta, n_context, batch) in CASES.items():
        prior = Prior({column: {"low": 0, "high": 1} for column in COLUMNS[:n_theta]})
        tensors = {"context_mean": torch.zeros(n_context)}
        generator = torch.Generator().manual_seed(0)
        pairs = [torch.randn(batch, n, generator=generator) for n in (n_theta, n_context)]
        fits, began = [], time.monotonic()
        for compiled in (False, True):
            representation = make_representation("plain", prior, tensors)
            fit = Optimiser(flow, representation, 10**6, 1e-4, 0, compiled=compiled)
            for _ in range(3):
                fit.update(*pairs)
            fits.append(fit)
        compiling = time.monotonic() - began
        plain, compiled = (min(each) for each in zip(*rounds(fits, pairs), strict=True))
        print(
            f"{name}: {plain:.2f} ms a step, compiled {compiled:.2f} ms, ratio "
            f"{plain / compiled:.2f}; compiling took {compiling:.0f} s",
            flush=True,
        )


def rounds(fits: list[Optimiser], pairs: list[torch.Tensor]) -> list[list[float]]:
    """Milliseconds of CPU a step, all taking turns."""
    return [[milliseconds(fit, pairs) for fit in fits] for _ in range(ROUNDS)]


def milliseconds(fit: Optimiser, pairs: list[torch.Tensor]) -> float:
    """Of a step."""
    began = time.process_time()
    for _ in range(STEPS):
        fit.update(*pairs)
    return (time.process_time() - began) / STEPS * 1e3


if __name__ == "__main__":
    main()
