"""Random tensors from one generator, on its device."""

import torch

__all__ = ["RandomTensors"]


class RandomTensors:
    """Draws of some shapes, one after the other.

    Arguments:
        generator: of the random numbers.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator, self.device = generator, generator.device

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform between 0 and 1."""
        return torch.rand(shape, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def integer(self, below: int, *shape: int) -> torch.Tensor:
        """Integers from 0, below a number."""
        return torch.randint(below, shape, generator=self.generator, device=self.device)
