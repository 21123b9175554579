"""Normal scores of columns whose prior is not flat, by tables that torch can read and derive.

scipy has the quantiles of all distributions, torch of hardly any. A column's value as a function of
its normal score is smooth where the quantile itself is steep: a straight line for a normal prior.
"""

from collections.abc import Mapping

import numpy as np
import torch
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from scipy.special import ndtr
from scipy.stats import norm

from hpcsbi.simulator.theta.distributions import Distribution

__all__ = ["NormalScores"]

LAST = 6.0  # score of the last node: beyond it, at 1e-9 of the mass, tables go on straight
INTERVALS = 768  # 1/64 wide
STEP = 2 * LAST / INTERVALS
ROUNDS = 5  # of Newton, which doubles the digits, from a straight line through an interval


class NormalScores(torch.nn.Module):
    """x(z) = quantile(Phi(z)) of some columns, and its inverse; double precision on any device.

    A module without weights: `to` moves its tables, `state_dict` leaves them out.

    Arguments:
        distributions: those of the columns, by the columns' numbers.

    Attributes:
        columns: the numbers.
    """

    def __init__(self, distributions: Mapping[int, Distribution]) -> None:
        super().__init__()
        self.columns = list(distributions)
        tables = [_tables(distribution) for distribution in distributions.values()]
        shapes = {"ends": (0, 2), "nodes": (0, INTERVALS + 1), "cubics": (0, INTERVALS, 2, 4)}
        for name, shape in shapes.items():
            values = np.stack([table[name] for table in tables]) if tables else np.zeros(shape)
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def values(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Columns of theta, in their ranges, and ln of their slopes d x / d z, shape of the scores.

        Arguments:
            scores: shape (..., columns).
        """
        scores = scores.double()
        inner = scores.clamp(-LAST, LAST)
        index = ((inner + LAST) / STEP).long().clamp(0, INTERVALS - 1)
        x, log_slope = self._cubic(index, inner + LAST - STEP * index)[:2]
        return self._in_range(x + log_slope.exp() * (scores - inner)), log_slope

    def scores(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inverse of `values`, and the same logarithms of slopes.

        Arguments:
            x: columns of theta, shape (..., columns).
        """
        x = self._in_range(x.double())  # a rounding beyond an end may be many scores
        inner = torch.minimum(torch.maximum(x, self.nodes[:, 0]), self.nodes[:, -1])
        rows = inner.reshape(-1, len(self.columns)).T.contiguous()
        index = torch.searchsorted(self.nodes, rows, right=True).T.reshape(x.shape) - 1
        index = index.clamp(0, INTERVALS - 1)
        across = torch.arange(len(self.columns), device=x.device)
        left, right = self.nodes[across, index], self.nodes[across, index + 1]
        # Where the next node is the same number the score is that of either.
        step = STEP * (inner - left) / (right - left).clamp_min(torch.finfo(x.dtype).tiny)
        for _ in range(ROUNDS):
            value, log_slope, slope = self._cubic(index, step)
            step = (step - (value - inner) / slope).clamp(0, STEP)
        log_slope = self._cubic(index, step)[1]
        return STEP * index - LAST + step + (x - inner) / log_slope.exp(), log_slope

    def _in_range(self, x: torch.Tensor) -> torch.Tensor:
        return torch.minimum(torch.maximum(x, self.ends[:, 0]), self.ends[:, 1])

    def _cubic(self, index: torch.Tensor, step: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Value, ln of the slope, and slope of the value's own cubic, so far into intervals."""
        across = torch.arange(len(self.columns), device=step.device)
        three, two, one, none = self.cubics[across, index].unbind(-1)
        step = step[..., None]
        both = ((three * step + two) * step + one) * step + none
        slope = (3 * three * step + 2 * two) * step + one
        return both[..., 0], both[..., 1], slope[..., 0]


def _tables(distribution: Distribution) -> dict[str, np.ndarray]:
    """Range, values at the nodes of z, and coefficients of the cubics of value and ln of slope."""
    z = np.linspace(-LAST, LAST, INTERVALS + 1)
    x = distribution.quantile(ndtr(z), ndtr(-z))
    log_slope = norm.logpdf(z) - distribution.log_density(x)
    cubics = CubicHermiteSpline(z, x, np.exp(log_slope)), CubicSpline(z, log_slope)
    ends = np.array([distribution.low, distribution.high])
    return {"ends": ends, "nodes": x, "cubics": np.stack([each.c.T for each in cubics], axis=1)}
