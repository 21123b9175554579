"""The inverse of a masked autoregressive flow in one pass instead of one pass per dimension.

A hidden unit sees the dimensions that come before its own place in the order, so each unit has to
be computed once, as soon as those dimensions are known; the library computes all of them again for
every dimension. The context enters once for each spectrum, not once for each draw.
"""

import math

import torch

__all__ = ["Inverse"]

ROWS = 4096  # draws worked on at once: they stay in the cache
LOG_SLOPE = math.log(1e-3)  # of zuko's MonotonicAffineTransform


class Inverse:
    """Inverse of a trained `zuko.flows.MAF` with two hidden layers; the same numbers.

    Arguments:
        maf: the flow; its weights are copied.
    """

    def __init__(self, maf: torch.nn.Module) -> None:
        self.steps = [_Step(transform) for transform in reversed(list(maf.transform.transforms))]

    def __call__(self, z: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map base draws to the flow's space.

        Arguments:
            z: base draws, shape (n, objects, n_theta).
            context: shape (objects, n_context).

        Returns:
            u and log |du / dz|, shapes of z and z[..., 0].
        """
        objects = max(ROWS // len(z), 1)
        parts = [
            self._invert(some, seen)
            for some, seen in zip(z.split(objects, 1), context.split(objects), strict=True)
        ]
        u, log_det = zip(*parts, strict=True)
        return torch.cat(u, 1), torch.cat(log_det, 1)

    def _invert(self, z: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        log_det = z.new_zeros(z.shape[:-1])
        for step in self.steps:
            z, gained = step.invert(z, context)
            log_det = log_det + gained
        return z, log_det


class _Step:
    """One masked affine transform, its hidden units sorted by what they depend on."""

    def __init__(self, transform: torch.nn.Module) -> None:
        first, _, second, _, last = transform.hyper
        self.order = transform.order
        n_theta = len(self.order)
        seen = first.mask[:, :n_theta] * (self.order + 1)
        level_1 = seen.amax(1)
        level_2 = (second.mask * level_1).amax(1)
        by_1, by_2 = level_1.argsort(stable=True), level_2.argsort(stable=True)
        weight = (first.mask * first.weight)[by_1].detach()
        self.inner, self.outer = weight[:, :n_theta].T.contiguous(), weight[:, n_theta:].T
        self.bias_1, self.bias_2 = first.bias[by_1].detach(), second.bias[by_2].detach()
        self.weight_2 = (second.mask * second.weight)[by_2][:, by_1].detach().T.contiguous()
        self.weight_3 = (last.mask * last.weight)[:, by_2].detach().T.contiguous()
        self.bias_3 = last.bias.detach()
        levels = torch.arange(n_theta + 1)
        self.ends_1 = torch.searchsorted(level_1[by_1].contiguous(), levels).tolist()
        self.ends_2 = torch.searchsorted(level_2[by_2].contiguous(), levels).tolist()

    def invert(self, z: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.zeros_like(z)
        log_det = z.new_zeros(z.shape[:-1])
        given = context @ self.outer + self.bias_1
        hidden_1 = z.new_empty(*z.shape[:-1], len(self.bias_1))
        hidden_2 = z.new_empty(*z.shape[:-1], len(self.bias_2))
        for place, column in enumerate(self.order.argsort().tolist()):
            new = slice(self.ends_1[place], self.ends_1[place + 1])
            known_1, known_2 = slice(0, new.stop), slice(0, self.ends_2[place + 1])
            hidden_1[..., new] = (given[:, new] + x @ self.inner[:, new]).relu_()
            fresh = slice(self.ends_2[place], known_2.stop)
            products = hidden_1[..., known_1] @ self.weight_2[known_1, fresh]
            hidden_2[..., fresh] = (products + self.bias_2[fresh]).relu_()
            pair = slice(2 * column, 2 * column + 2)
            phi = hidden_2[..., known_2] @ self.weight_3[known_2, pair] + self.bias_3[pair]
            log_scale = phi[..., 1] / (1 + (phi[..., 1] / LOG_SLOPE).abs())
            x[..., column] = (z[..., column] - phi[..., 0]) * (-log_scale).exp()
            log_det = log_det - log_scale
        return x, log_det
