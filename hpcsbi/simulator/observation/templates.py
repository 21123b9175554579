"""What a model spectrum may be off by, linearly: templates with Gaussian amplitudes.

A spectrum is the model's, times one plus the sum of all templates with their amplitudes, which are
independent normal numbers. The simulator draws them (`noise`), the likelihood integrates over them
in closed form (`likelihood`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.constants import speed_of_light
from scipy.interpolate import BSpline
from scipy.special import ndtr

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.indices import LINE_GROUPS

__all__ = [
    "LENGTH",
    "LocalCurves",
    "SmoothError",
    "line_curves",
    "line_groups",
    "response_curves",
    "smooth_error",
]

ORDERS = 3  # of the flux calibration's error
DEGREE = 5  # of splines: with independent amplitudes they are correlated as a Gaussian to 0.022
LENGTH = 200.0  # Angstrom
ROUNDING = 1e-3  # of a length: no rounding of wavelengths to float32 adds a template


def response_curves(wave: torch.Tensor) -> torch.Tensor:
    """Templates of the flux calibration: Legendre polynomials 1 to 3 over the grid, (3, pixels).

    Arguments:
        wave: pixel centres, ascending, shape (pixels,).
    """
    x = np.interp(wave.cpu(), [wave[0].item(), wave[-1].item()], [-1, 1])
    curves = np.polynomial.legendre.legvander(x, ORDERS).T[1:]
    return torch.as_tensor(curves, dtype=wave.dtype, device=wave.device)


LINE_SIGMA = 200e3 / speed_of_light  # of lines, over their wavelength: as wide as galaxies' are
SOME = 0.1  # of a group's light: with less it has no template


def line_curves(wave: torch.Tensor) -> torch.Tensor:
    """Templates of lines: of the flux in each pixel, for an equivalent width of 1 Angstrom.

    Arguments:
        wave: pixel centres, ascending, Angstrom, shape (pixels,).

    Returns:
        1 / Angstrom, a row for each of LINE_GROUPS that has its light there, (groups, pixels).
    """
    edges, inside = _line_light(wave)
    curves = [np.diff(light) / np.diff(edges) for light in inside.values()]
    rows = np.reshape(curves, (len(curves), len(wave)))
    return torch.as_tensor(rows, dtype=wave.dtype, device=wave.device)


def line_groups(wave: torch.Tensor) -> tuple[str, ...]:
    """Names of the rows of `line_curves`."""
    return tuple(_line_light(wave)[1])


def _line_light(wave: torch.Tensor) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Edges of pixels, and the share of a group's light before each, (pixels + 1,)."""
    centres = wave.double().cpu().numpy()
    middles = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - middles[0], 2 * centres[-1] - middles[-1]
    edges = np.concatenate([[first], middles, [last]])
    light = {
        name: sum(share * ndtr((edges - x) / (x * LINE_SIGMA)) for x, share in lines)
        for name, lines in LINE_GROUPS.items()
    }
    return edges, {name: inside for name, inside in light.items() if np.ptp(inside) > SOME}


@dataclass(frozen=True)
class LocalCurves:
    """Templates of which only some neighbours reach a pixel: what makes many of them cheap.

    Arguments:
        first: number of the first template that reaches each pixel, ascending, shape (pixels,).
        values: of that one and those after it, shape (pixels, reach).
    """

    first: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return int(self.first[-1]) + self.values.shape[1]

    def dense(self, wave: torch.Tensor) -> torch.Tensor:
        """All templates in all pixels, of type and device of `wave`, shape (templates, pixels)."""
        curves = np.zeros((len(self), len(self.first)))
        for i, values in enumerate(self.values.T):
            curves[self.first + i, np.arange(len(self.first))] = values
        return torch.as_tensor(curves, dtype=wave.dtype, device=wave.device)


@dataclass(frozen=True)
class SmoothError:
    """An error of the model by a factor that is smooth in wavelength: of the library, of the dust
    curve, of lines that are not in it.

    A Gaussian process of standard deviation `amplitude`, everywhere, whose correlation over x
    Angstrom is exp(-x^2 / (2 length^2)) to 0.022. The eigenvectors of that covariance reach all
    pixels: with n of them a likelihood takes n^2 products a pixel, and n^3 / 6 for the amplitudes.
    These templates are B-splines of degree 5, a length apart, of which six reach a pixel: however
    many there are, it takes 36 products a pixel, and as many a template.

    Arguments:
        length: Angstrom.
        amplitude: fraction of the model flux; None where theta has it, as model_error.

    References:
        de Boor 1978, A Practical Guide to Splines, chapter IX: the basis. Czekala et al. 2015, ApJ
        812, 128: errors of a model that are a Gaussian process in wavelength.
    """

    length: float = LENGTH
    amplitude: float | None = None

    def curves(self, wave: np.ndarray) -> LocalCurves:
        """Templates whose squares add up to one in every pixel.

        Arguments:
            wave: pixel centres, Angstrom, ascending, shape (pixels,).
        """
        wave = np.asarray(wave, float)
        middle, pieces = (wave[0] + wave[-1]) / 2, np.ptp(wave[[0, -1]]) / self.length
        pieces = max(int(np.ceil(pieces - ROUNDING)), 1)
        place = pieces / 2 + (wave - middle) / self.length
        first = np.floor(place).astype(np.int64).clip(0, pieces - 1)
        knots = np.arange(-DEGREE, pieces + DEGREE + 1, dtype=float)
        place = place.clip(0, pieces)
        splines = BSpline.design_matrix(place, knots, DEGREE).toarray()
        columns = first[:, None] + np.arange(DEGREE + 1)
        values = np.take_along_axis(splines, columns, 1)
        return LocalCurves(first, values / np.sqrt((values**2).sum(1, keepdims=True)))


def smooth_error(noise: Mapping, names: Sequence[str]) -> SmoothError | None:
    """The smooth error in observations that a noise model makes; None where there is none.

    Arguments:
        noise: settings of the noise model.
        names: columns of theta.

    Raises:
        BadInput: a column model_error that this noise does not take, or beside a given amplitude.
    """
    free, given = "model_error" in names, noise.get("model_error", 0.0)
    if free and noise["kind"] == "fractional":
        raise BadInput(
            f"theta has the column model_error, and noise of the kind {noise['kind']} knows no "
            "error of the model: take noise=survey, or take the column out of conf/prior."
        )
    if free and given:
        raise BadInput(
            f"theta has the column model_error, and noise.model_error is {given}: leave one of "
            "them out, the amplitude is inferred or given."
        )
    if not free and not given:
        return None
    return SmoothError(noise.get("model_error_length", LENGTH), None if free else given)
