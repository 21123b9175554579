"""Amplitudes of templates in a likelihood: integrated out, most probable, and how well known.

With pulls r = (flux - model) / sigma and D = templates * model / sigma, in units of the amplitudes'
standard deviations, the pulls have the covariance 1 + D^T D. By Woodbury's identity all follows
from the normal matrix N = 1 + D D^T of the amplitudes: chi squared is r^2 - (D r)^T N^-1 (D r), ln
of the determinant that of N, and given r the amplitudes have mean N^-1 D r and covariance N^-1.
Rows of D that are no factor of the model (`additive_errors`) are told, over sigma, of each draw.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hpcsbi.simulator.observation.additive_errors import AdditiveErrors
from hpcsbi.simulator.observation.templates import (
    SmoothError,
    line_curves,
    line_groups,
    response_curves,
)

__all__ = ["Amplitudes"]

FEW = 6  # templates: with more the envelope is faster, however far they reach
ENTRIES = 1 << 22  # of normal matrices at once, 32 MiB


class Amplitudes(torch.nn.Module):
    """Those of the flux calibration's templates, of lines and of the model's smooth error.

    Arguments:
        wave: pixel centres, Angstrom, shape (pixels,).
        calibration: standard deviation of the amplitudes of `response_curves`; 0 is none.
        smooth: the smooth error of the model, if there is one.
        lines: standard deviation of the amplitudes of `line_curves`, Angstrom; 0 is none.
        learned: templates of a learned error, times their standard deviations, shape (rank,
            pixels); None without one.
        additive: errors whose templates each spectrum has of its own; they come last.

    Attributes:
        curves: templates, those of the calibration first, then lines, then learned ones, times
            their standard deviations, which for those of the smooth error are one, float64, shape
            (templates, pixels).
        kinds: what the templates are errors of, in words.
        of_lines: which of them are those of lines.
        groups: names of these.
        of_learned: which of them are learned.
        additive: how many templates each spectrum has of its own.
        everywhere: how many of them are not the smooth error's.
        local: that one's, if there are any.
    """

    def __init__(
        self,
        wave: np.ndarray,
        calibration: float,
        smooth: SmoothError | None,
        lines: float = 0.0,
        learned: np.ndarray | None = None,
        additive: AdditiveErrors | None = None,
    ) -> None:
        super().__init__()
        pixels = torch.from_numpy(np.asarray(wave, float))
        curves = calibration * response_curves(pixels)[: None if calibration else 0]
        self.lines, self.groups = lines, line_groups(pixels) if lines else ()
        if lines:
            curves = torch.cat([curves, lines * line_curves(pixels)])
        errors = {"calibration": calibration, "lines": lines, "the model": smooth}
        errors["the model, as learned"] = learned is not None
        self.kinds = tuple(kind for kind, there in errors.items() if there)
        self.additive = 0 if additive is None else len(additive)
        self.kinds += () if additive is None else additive.kinds
        self.of_lines = slice(len(response_curves(pixels)) if calibration else 0, len(curves))
        if learned is not None:
            curves = torch.cat([curves, torch.as_tensor(learned, dtype=curves.dtype)])
        self.everywhere, self.local = len(curves), None
        self.of_learned = slice(self.of_lines.stop, self.everywhere)
        if smooth is not None:
            self.local = smooth.curves(wave)
            curves = torch.cat([curves, self.local.dense(pixels)])
        self.register_buffer("curves", curves, persistent=False)
        meeting = (curves.abs() @ curves.abs().T).triu().nonzero().T.contiguous()
        self.register_buffer("meeting", meeting, persistent=False)  # pairs that share pixels

    def __len__(self) -> int:
        return len(self.curves) + self.additive

    @property
    def few(self) -> bool:
        """True where compiled loops had better take each pair of templates over all pixels."""
        return self.local is None and not self.additive and len(self) <= FEW

    @property
    def is_free(self) -> np.ndarray:
        """1 for templates of the smooth error, whose deviation each draw has, 0 for all others."""
        free = np.zeros(len(self), np.int64)
        free[self.everywhere : len(self.curves)] = 1
        return free

    def integrated(
        self,
        pull: Tensor,
        scaled: Tensor,
        error: Tensor,
        chi2: Tensor,
        log_ratio: Tensor | float,
        additive: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Chi squared and ln(variance / quoted variance) with all amplitudes integrated out.

        Arguments:
            pull, scaled: residual and model over sigma, 0 where masked, shape (objects, draws,
                pixels).
            error: standard deviation of the smooth error, shape (objects, draws).
            chi2, log_ratio: of amplitudes that are zero, shape (objects, draws).
            additive: templates over sigma of each draw's own, times their standard deviations,
                shape (objects, draws, additive, pixels); None without any.
        """
        side, factor, _ = self._normal_equations(pull, scaled, error, additive)
        solved = torch.linalg.solve_triangular(factor, side[..., None], upper=False)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return chi2 - (solved[..., 0] ** 2).sum(-1), log_ratio + log_det

    def moments(
        self, pull: Tensor, scaled: Tensor, error: Tensor, additive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the amplitudes of `curves`, given the spectrum and theta.

        Arguments:
            pull, scaled, error, additive: see `integrated`; amplitudes of the last are in units of
                their standard deviations.

        Returns:
            float64, shapes (objects, draws, templates) and (objects, draws, templates, templates).
        """
        if not len(self):
            nothing = pull.new_zeros((*pull.shape[:2], 0), dtype=torch.float64)
            return nothing, nothing[..., None]
        side, factor, deviations = self._normal_equations(pull, scaled, error, additive)
        covariance = torch.cholesky_inverse(factor)
        covariance = covariance * deviations[..., None] * deviations[..., None, :]
        return torch.cholesky_solve(side[..., None], factor)[..., 0] * deviations, covariance

    def expected(
        self, pull: Tensor, scaled: Tensor, error: Tensor, additive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What is most probable: sum of `curves`, and amplitudes of additive templates.

        Arguments:
            pull, scaled, error, additive: see `integrated`.

        Returns:
            shapes (objects, draws, pixels) and (objects, draws, additive).
        """
        sums, own = [], []
        for rows in self._parts(pull, scaled, error, additive):
            side, factor, deviations = self._normal_equations(*rows)
            amplitudes = torch.cholesky_solve(side[..., None], factor)[..., 0] * deviations
            amplitudes = amplitudes.to(pull.dtype)
            sums.append(amplitudes[..., : len(self.curves)] @ self.curves.to(pull.dtype))
            own.append(amplitudes[..., len(self.curves) :])
        return torch.cat(sums), torch.cat(own)

    def residuals(
        self,
        pulls: Tensor,
        amplitudes: Tensor,
        scaled: Tensor,
        error: Tensor,
        additive: Tensor | None = None,
    ) -> Tensor:
        """What the most probable amplitudes leave of pulls, (objects, draws, n, pixels).

        Pulls whose own amplitudes a are known come without them: with x = r - D^T a it is
        r - D^T N^-1 D r = x - D^T N^-1 (D x - a).

        Arguments:
            pulls: several residuals over sigma of each draw, 0 where masked, shape (objects, draws,
                n, pixels).
            amplitudes: those that the pulls lack, in units of their standard deviations, 0 where
                nothing is known of them, shape (objects, draws, n, templates).
            scaled, error, additive: see `integrated`.
        """
        if not len(self):
            return pulls
        nothing, curves = torch.zeros_like(scaled), self.curves.to(pulls.dtype)
        _, factor, deviations = self._normal_equations(nothing, scaled, error, additive)
        light, deviations = scaled[..., None, :], deviations[..., None, :]
        products = (pulls * light) @ curves.T
        if additive is not None:
            products = torch.cat([products, pulls @ additive.mT], -1)
        side = products.double() * deviations - amplitudes
        solved = torch.cholesky_solve(side.mT, factor).mT * deviations
        factors, own = solved.to(pulls.dtype).split([len(curves), self.additive], -1)
        left = pulls - (factors @ curves) * light
        return left if additive is None else left - own @ additive

    def variance(
        self,
        weights: Tensor,
        pull: Tensor,
        scaled: Tensor,
        error: Tensor,
        additive: Tensor | None = None,
    ) -> Tensor:
        """Of sums over pixels of smooth errors, given the spectrum, shape (objects, draws, sums).

        Lines are no such error, wherever the sums reach, nor is what is additive.

        Arguments:
            weights: of the pixels in each sum, shape (objects, draws, sums, pixels).
            pull, scaled, error, additive: see `integrated`.
        """
        parts = []
        for some, *rows in self._parts(weights, pull, scaled, error, additive):
            _, factor, deviations = self._normal_equations(*rows)
            sides = some.double() @ self.curves.double().T
            sides[..., self.of_lines] = 0
            sides = torch.nn.functional.pad(sides, (0, self.additive)) * deviations[..., None, :]
            solved = torch.linalg.solve_triangular(factor, sides.mT, upper=False)
            parts.append((solved**2).sum(-2))
        return torch.cat(parts)

    def of_line_groups(
        self, pull: Tensor, scaled: Tensor, error: Tensor, additive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of the amplitudes of lines, given the spectrum, Angstrom.

        Arguments:
            pull, scaled, error, additive: see `integrated`.

        Returns:
            float64, shapes (objects, draws, groups).
        """
        parts = []
        for rows in self._parts(pull, scaled, error, additive):
            side, factor, _ = self._normal_equations(*rows)
            mean = torch.cholesky_solve(side[..., None], factor)[..., 0]
            variance = torch.cholesky_inverse(factor).diagonal(dim1=-2, dim2=-1)
            moments = self.lines * mean, self.lines**2 * variance
            parts.append([x[..., self.of_lines] for x in moments])
        mean, variance = zip(*parts, strict=True)
        return torch.cat(mean), torch.cat(variance)

    def _parts(self, *arrays: Tensor | None) -> Iterator[tuple[Tensor, ...]]:
        """Objects whose normal matrices are made at once; all, where these are small."""
        there = [array for array in arrays if array is not None]
        entries = there[0].shape[1] * len(self) ** 2
        whole = self.local is None and not self.additive
        step = len(there[0]) if whole else max(ENTRIES // entries, 1)
        return zip(*(array.split(step) for array in there), strict=True)

    def _normal_equations(
        self, pull: Tensor, scaled: Tensor, error: Tensor, additive: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Right side D r, Cholesky factor of the normal matrix, and standard deviations.

        Returns:
            float64, shapes (objects, draws, templates), (objects, draws, templates, templates),
            and that of the first: standard deviations of the amplitudes over those in `curves`.

        Raises:
            ValueError: additive templates are there and not told, or the other way round.
        """
        if self.additive != (0 if additive is None else additive.shape[2]):
            raise ValueError(f"{self.additive} additive templates, and others were told.")
        curves, pull, scaled = self.curves.double(), pull.double(), scaled.double()
        side, squares = (pull * scaled) @ curves.T, scaled**2
        deviations = torch.ones_like(side)
        if self.local is None:
            pairs = (curves[:, None] * curves).flatten(0, 1)
            precision = (squares @ pairs.T).unflatten(-1, (len(curves), len(curves)))
        else:
            i, j = self.meeting
            pairs = squares @ (curves[i] * curves[j]).T
            precision = pairs.new_zeros(*side.shape, len(curves))
            precision[..., i, j] = pairs
            precision[..., j, i] = pairs
            deviations[..., self.everywhere :] = error.double()[..., None]
            side = side * deviations
            precision = precision * deviations[..., None] * deviations[..., None, :]
        if additive is not None:
            own = additive.double()
            mixed = ((own * scaled[..., None, :]) @ curves.T) * deviations[..., None, :]
            side = torch.cat([side, (own @ pull[..., None])[..., 0]], -1)
            right = torch.cat([mixed.mT, own @ own.mT], -2)
            precision = torch.cat([torch.cat([precision, mixed], -2), right], -1)
            deviations = torch.nn.functional.pad(deviations, (0, self.additive), value=1.0)
        precision = precision + torch.eye(len(self), dtype=torch.float64, device=pull.device)
        return side, torch.linalg.cholesky_ex(precision).L, deviations
