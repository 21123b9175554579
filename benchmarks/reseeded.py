"""Run tests with other random numbers: does one hold because of its seed?

    PYTHONPATH=benchmarks python -m pytest -p reseeded --reseed=1 tests/stages/test_fit.py ...

Every seed that a test or the package gives is joined by the number, in the processes of pytest
itself; programs that a test starts keep theirs, so tests that compare bytes with them are no use
here.
"""

import numpy as np
import pytest
import torch

PLAIN = (int, np.integer, list, tuple, np.ndarray)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that joins every seed."""
    parser.addoption("--reseed", type=int, default=0, help="joins every seed; 0 for none")


def pytest_configure(config: pytest.Config) -> None:
    """Replace numpy's and torch's ways of seeding before any test is imported."""
    if more := config.getoption("reseed"):
        _replace(more)


def _replace(more: int) -> None:
    def joined(seed: object) -> object:
        return [*np.atleast_1d(seed).tolist(), more] if isinstance(seed, PLAIN) else seed

    class SeedSequence(np.random.SeedSequence):
        def __init__(self, entropy: object = None, **options: object) -> None:
            super().__init__(joined(entropy), **options)

    class RandomState(np.random.RandomState):
        def __init__(self, seed: object = None) -> None:
            super().__init__(joined(seed))

    class Generator(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + (more << 20))

    numpys, torchs = np.random.default_rng, torch.manual_seed
    np.random.SeedSequence, np.random.RandomState = SeedSequence, RandomState
    np.random.default_rng = lambda seed=None: numpys(joined(seed))
    torch.Generator = Generator
    torch.manual_seed = lambda seed: torchs(seed + (more << 20))
