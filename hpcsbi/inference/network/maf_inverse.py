"""The inverse of a masked autoregressive flow in one pass instead of one pass per dimension.

A hidden unit sees the dimensions that come before its own place in the order, so each unit has to
be computed once, as soon as those dimensions are known; the library computes all of them again for
every dimension. The context enters once for each spectrum, not once for each draw.
"""

import math
from collections.abc import Callable

import numpy as np
import torch

from hpcsbi.kernels.maf import ROWS, invert

__all__ = ["Inverse", "Map"]

Map = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
LOG_SLOPE = np.float32(math.log(1e-3))  # of zuko's MonotonicAffineTransform


class Inverse:
    """Inverse of a trained `zuko.flows.MAF` with two hidden layers; the same numbers.

    A spectrum's numbers have the same bits alone and among others.

    Arguments:
        maf: the flow; its weights are copied.
    """

    def __init__(self, maf: torch.nn.Module) -> None:
        self.steps = [_Step(transform) for transform in reversed(list(maf.transform.transforms))]
        self.order = np.stack([step.order for step in self.steps])
        weights, ends = (
            zip(*(getattr(step, name) for step in self.steps), strict=True)
            for name in ("weights", "ends")
        )
        self.weights, self.ends = tuple(map(np.stack, weights)), tuple(map(np.stack, ends))

    def __call__(self, context: torch.Tensor) -> Map:
        """The map of some spectra from base draws to the flow's space.

        Arguments:
            context: shape (objects, n_context).

        Returns:
            function of base draws z, shape (n, objects, n_theta), to u and log |du / dz|, shapes
            of z and z[..., 0].
        """
        terms = zip(*(step.context_terms(context.numpy()) for step in self.steps), strict=True)
        terms = [np.stack(layer, 1) for layer in terms]

        def to_flow(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            base = z.numpy()
            u, log_det = np.empty_like(base), np.empty(base.shape[:2], np.float32)
            for i in range(len(context)):
                object_terms = tuple(layer[i] for layer in terms)
                invert(
                    base[:, i], self.order, self.weights, object_terms, self.ends, LOG_SLOPE,
                    u[:, i], log_det[:, i],
                )  # fmt: skip
            return torch.from_numpy(u), torch.from_numpy(log_det)

        return to_flow


class _Step:
    """One masked affine transform, its hidden units sorted by what they depend on."""

    def __init__(self, transform: torch.nn.Module) -> None:
        first, _, second, _, last = transform.hyper
        mask = [layer.mask.numpy() for layer in (first, second)]
        self.order = transform.order.argsort().numpy()
        n_theta = len(self.order)
        # Level of a unit: how many dimensions must be known before it is.
        level_1 = (mask[0][:, :n_theta] * (transform.order.numpy() + 1)).max(1)
        level_2 = (mask[1] * level_1).max(1)
        (by_1, ends_1), (by_2, ends_2) = (_grouped(level, n_theta) for level in (level_1, level_2))
        self.ends = ends_1, ends_2
        weight_1, bias_1 = _rows(_weight(first), by_1), _rows(_numpy(first.bias), by_1)
        weight_2, bias_2 = _rows(_weight(second), by_2), _rows(_numpy(second.bias), by_2)
        weight_2, weight_3 = _rows(weight_2.T, by_1).T, _rows(_weight(last).T, by_2).T
        inner = weight_1[:, self.order]
        self.weights = _tiled(inner, ROWS), _tiled(weight_2, ROWS), _tiled(weight_3, 2)
        # In float64: in float32 the last bits would depend on the number of objects.
        outer = weight_1[:, n_theta:], weight_2[:, : ends_1[0]], weight_3[:, : ends_2[0]]
        self.outer = [weight.T.astype(np.float64) for weight in outer]
        self.biases = bias_1, bias_2, _numpy(last.bias)

    def context_terms(self, context: np.ndarray) -> list[np.ndarray]:
        """What context and biases add to each layer, shapes (objects, units)."""
        terms, inputs = [], context.astype(np.float64)
        for weight, bias in zip(self.outer, self.biases, strict=True):
            terms.append(inputs[:, : len(weight)] @ weight + bias)
            inputs = terms[-1].clip(0)
        return [layer.astype(np.float32) for layer in terms]


def _grouped(level: np.ndarray, n_theta: int) -> tuple[np.ndarray, np.ndarray]:
    """Units of each level in turn, -1 for those that fill a group up, and where groups end."""
    groups = []
    for i in range(n_theta):
        units = np.flatnonzero(level == i)
        groups.append(np.pad(units, (0, -len(units) % ROWS), constant_values=-1))
    return np.concatenate(groups), np.cumsum([len(group) for group in groups])


def _rows(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Rows of an array, zeros for -1."""
    rows = np.take(values, chosen, axis=0)
    rows[chosen < 0] = 0
    return rows


def _tiled(weight: np.ndarray, rows: int) -> np.ndarray:
    """Weights of some units at a time, shape (units / rows, inputs, rows)."""
    return np.ascontiguousarray(weight.reshape(-1, rows, weight.shape[1]).swapaxes(1, 2))


def _weight(layer: torch.nn.Module) -> np.ndarray:
    return _numpy(layer.mask * layer.weight)


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()
