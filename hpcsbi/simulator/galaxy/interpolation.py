"""Nodes, and what lies between them: cubics, in the logarithms of two numbers too, and a line."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpcsbi.kernels.table import neighbours

__all__ = ["Axis", "Pieces", "Plane", "axis_over", "interval"]


@dataclass(frozen=True)
class Axis:
    """Equally spaced nodes from `low` to at least `high`, one more at each end for the cubic."""

    low: float
    high: float
    step: float

    @property
    def cells(self) -> int:
        """Number of intervals between low and high."""
        return max(1, math.ceil((self.high - self.low) / self.step - 1e-9))

    @property
    def nodes(self) -> np.ndarray:
        """All nodes, shape (cells + 3,)."""
        return self.low + self.step * np.arange(-1, self.cells + 2)

    def locate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """First of four nodes and their weights, shapes (n,) and (n, 4); of NaN the weights are."""
        x = ((x - self.low) / self.step).clamp(0, self.cells)
        cell = x.detach().nan_to_num().floor().clamp(0, self.cells - 1)
        return cell.long(), _cubic(x - cell)


@dataclass(frozen=True)
class Plane:
    """Nodes in the logarithms of two numbers; those of the second follow each other.

    Arguments:
        first, second: axes in ln u and in ln v.
    """

    first: Axis
    second: Axis

    @property
    def size(self) -> int:
        """Number of nodes."""
        return (self.first.cells + 3) * (self.second.cells + 3)

    @property
    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """u and v of all nodes, shapes (nodes,)."""
        u, v = np.meshgrid(np.exp(self.first.nodes), np.exp(self.second.nodes), indexing="ij")
        return u.ravel(), v.ravel()

    def around(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The sixteen nodes around each point and their weights, which add up to one.

        Differentiable, and on any device; beyond the nodes the edge is taken.

        Arguments:
            u, v: positive, shape (n,); of NaN the weights are.

        Returns:
            numbers of the nodes, int32, and weights, shapes (n, 16).
        """
        if not u.requires_grad and u.dtype == torch.float32 and u.device.type == "cpu":
            return self._around_compiled(u, v)
        i, by_u = self.first.locate(torch.log(u))
        j, by_v = self.second.locate(torch.log(v))
        row, step = len(self.second.nodes), torch.arange(4, device=u.device)
        square = (step[:, None] * row + step).flatten()
        index = (i * row + j)[:, None] + square
        return index.int(), (by_u[:, :, None] * by_v[:, None]).flatten(1)

    def _around_compiled(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        index = np.empty((len(u), 16), np.int32)
        weight = np.empty((len(u), 16), np.float32)
        axes = (np.array([a.low, a.step, a.cells]) for a in (self.first, self.second))
        neighbours(u.contiguous().numpy(), v.contiguous().numpy(), *axes, index, weight)
        return torch.from_numpy(index), torch.from_numpy(weight)


@dataclass(frozen=True)
class Pieces:
    """Nodes for what is smooth between breaks, and has kinks at them: a cubic in each piece.

    Arguments:
        breaks: ascending; all are nodes, and two more lie in each piece.
    """

    breaks: tuple[float, ...]

    @property
    def nodes(self) -> np.ndarray:
        """All nodes, ascending, shape (3 pieces + 1,)."""
        places = np.arange(3 * len(self.breaks) - 2) / 3
        return np.interp(places, np.arange(len(self.breaks)), self.breaks)

    def locate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """First of four nodes and their weights, shapes (n,) and (n, 4); of NaN the weights are.

        Differentiable; beyond the nodes their ends are taken.
        """
        breaks = torch.tensor(self.breaks, dtype=x.dtype, device=x.device)
        piece, part = interval(breaks, x.contiguous())
        return 3 * piece, _through_four(part + 0 * x)


def axis_over(low: float, high: float, step: float) -> Axis:
    """Nodes in the logarithm from one positive number to another."""
    return Axis(math.log(low), math.log(high), step)


def interval(nodes: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Interval of nodes that each x lies in, and how far to the right in it.

    Differentiable; beyond the nodes their ends are taken.

    Arguments:
        nodes: ascending, at least two, shape (nodes,).
        x: of the same kind, shape (n,); of NaN the second is.

    Returns:
        number of the node to the left, int64, and a share from 0 to 1, shapes (n,).
    """
    left = torch.bucketize(x.detach(), nodes[1:-1])
    low, high = nodes[left], nodes[left + 1]
    return left, ((x - low) / (high - low)).clamp(0, 1)


def _cubic(f: Tensor) -> Tensor:
    """Weights of four equally spaced nodes at f in [0, 1] between the middle two (Catmull-Rom)."""
    f2, f3 = f * f, f * f * f
    return 0.5 * torch.stack(
        [2 * f2 - f - f3, 2 - 5 * f2 + 3 * f3, f + 4 * f2 - 3 * f3, f3 - f2], -1
    )


def _through_four(f: Tensor) -> Tensor:
    """Weights of nodes at 0, 1/3, 2/3 and 1 in the cubic through them, at f (Lagrange)."""
    a, b, c, d = f, 3 * f - 1, 3 * f - 2, f - 1
    return torch.stack([-b * c * d / 2, a * c * d * 4.5, -a * b * d * 4.5, a * b * c / 2], -1)
