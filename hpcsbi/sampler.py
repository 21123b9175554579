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
        n, objects, n_theta = z.shape
        # A row for each dimension, objects one after the other: every slice below is compact.
        x = z.permute(2, 1, 0).reshape(n_theta, -1)
        log_det = x.new_zeros(x.shape[1])
        for step in self.steps:
            x = step.invert(x, context, log_det)
        return x.view(n_theta, objects, n).permute(2, 1, 0), log_det.view(objects, n).T


class _Step:
    """One masked affine transform, its hidden units sorted by what they depend on."""

    def __init__(self, transform: torch.nn.Module) -> None:
        first, _, second, _, last = transform.hyper
        self.order = transform.order.argsort().tolist()
        n_theta = len(self.order)
        seen = first.mask[:, :n_theta] * (transform.order + 1)
        level_1 = seen.amax(1)
        level_2 = (second.mask * level_1).amax(1)
        by_1, by_2 = level_1.argsort(stable=True), level_2.argsort(stable=True)
        weight = (first.mask * first.weight)[by_1].detach()
        self.inner = weight[:, :n_theta][:, self.order].contiguous()
        self.outer = weight[:, n_theta:].T.contiguous()
        self.bias_1, self.bias_2 = first.bias[by_1].detach(), second.bias[by_2, None].detach()
        self.weight_2 = (second.mask * second.weight)[by_2][:, by_1].detach()
        self.weight_3 = (last.mask * last.weight)[:, by_2].detach()
        self.bias_3 = last.bias[:, None].detach()
        levels = torch.arange(n_theta + 1)
        self.ends_1 = torch.searchsorted(level_1[by_1].contiguous(), levels).tolist()
        self.ends_2 = torch.searchsorted(level_2[by_2].contiguous(), levels).tolist()

    def invert(self, z: torch.Tensor, context: torch.Tensor, log_det: torch.Tensor) -> torch.Tensor:
        """Invert (n_theta, objects * n) points; adds to `log_det` in place."""
        columns, objects = z.shape[1], len(context)
        draws = columns // objects
        x, known = torch.empty_like(z), z.new_empty(len(self.order), columns)
        # What the context alone decides is the same for all draws of an object.
        own_1, own_2 = self.ends_1[1], self.ends_2[1]
        given_1 = (context @ self.outer + self.bias_1).T
        first_1 = given_1[:own_1].relu()
        given_2 = self.weight_2[:, :own_1] @ first_1 + self.bias_2
        first_2 = given_2[:own_2].relu()
        given_3 = self.weight_3[:, :own_2] @ first_2 + self.bias_3
        hidden_1 = z.new_empty(len(self.bias_1) - own_1, columns)
        hidden_2 = z.new_empty(len(self.bias_2) - own_2, columns)
        for place, column in enumerate(self.order):
            phi = given_3[2 * column : 2 * column + 2, :, None]
            if place:
                old, new = self.ends_1[place], self.ends_1[place + 1]
                fresh = hidden_1[old - own_1 : new - own_1]
                torch.mm(self.inner[old:new, :place], known[:place], out=fresh)
                fresh.view(new - old, objects, draws).add_(given_1[old:new, :, None]).relu_()
                start, stop = self.ends_2[place], self.ends_2[place + 1]
                second = hidden_2[start - own_2 : stop - own_2]
                weight = self.weight_2[start:stop, own_1:new]
                torch.mm(weight, hidden_1[: new - own_1], out=second)
                second.view(stop - start, objects, draws).add_(given_2[start:stop, :, None]).relu_()
                weight = self.weight_3[2 * column : 2 * column + 2, own_2:stop]
                phi = phi + (weight @ hidden_2[: stop - own_2]).view(2, objects, draws)
            mean, slope = phi
            log_scale = slope / (1 + (slope / LOG_SLOPE).abs())
            moved = (z[column].view(objects, draws) - mean) * (-log_scale).exp()
            x[column] = known[place] = moved.flatten()
            log_det.view(objects, draws).sub_(log_scale)
        return x
