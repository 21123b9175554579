"""Dust with a free slope, and dust of the clouds that young stars are born in."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcsbi.kernels.attenuation import attenuate
from hpcsbi.simulator.galaxy.dust import (
    BREAK,
    BUMP,
    FREE_SLOPE,
    birth_cloud,
    calzetti_pieces,
    drude,
    dust_curve,
    power_law,
)
from hpcsbi.simulator.galaxy.screen import SLOPE, Screen
from hpcsbi.simulator.galaxy.terms import Ranks, Term
from hpcsbi.simulator.theta.column import Column

__all__ = ["BirthClouds", "FreeSlope", "TwoPart"]

CLEARED = 7.0  # log10 of the age in years until which stars stay in their cloud, FSPS's dust_tesc
SHAPES = 2  # functions of wavelength that depths change by inside of pixels
DEGREE = 4  # of the polynomials in the slope that mix them
STEP = 1e-4  # in ln wavelength, over which a curve is a line


class TwoPart(torch.nn.Module):
    """See `attenuations.Attenuation`: diffuse dust whose slope is free, and birth clouds.

    The optical depth is dust2 k(dust_index), and for stars of at most 10 Myr, and their lines,
    dust1 = dust1_fraction dust2 of a power law more. Inside of a pixel it changes in proportion to
    the curve that the table's moments are about; the ratios of all slopes are, over the pixels,
    mixtures of a few shapes, which makes terms of them.

    References:
        Kriek & Conroy 2013, arXiv:1308.1099, and Charlot & Fall 2000, arXiv:astro-ph/0003128, as in
        Prospector-alpha (Leja et al. 2017, arXiv:1609.09073); dust_type = 4 with dust1 of FSPS.
    """

    dust_types: ClassVar[tuple[int, ...]] = (FREE_SLOPE,)
    names: ClassVar[tuple[str, ...]] = ("dust2", "dust_index", "dust1_fraction")
    example: ClassVar[Mapping[str, float]] = {
        "dust2": 0.5, "dust_index": -0.3, "dust1_fraction": 1.0,
    }  # fmt: skip
    ranks: ClassVar[tuple[Ranks, ...]] = (
        {"continuum": (32, 12, 6), "lines": (6, 3, 2)},
        {"continuum": (16, 6, 3), "lines": (12, 6, 4)},
    )

    def __init__(
        self,
        dust_type: int,
        columns: Mapping[str, Column],
        wave: np.ndarray,
        pixels: bool = False,
    ) -> None:
        super().__init__()
        free, wave = "dust_index" in self.names, np.asarray(wave, dtype=float)
        pieces = calzetti_pieces if dust_type != 0 else _whole(power_law)
        # Of a fixed curve the break inside of a pixel is in the moments.
        beyond = _share_beyond(BREAK, wave) if pixels and free else wave > BREAK

        def curve(x: np.ndarray) -> np.ndarray:
            blue, red = pieces(x)
            return blue + beyond * (red - blue)

        def reference(x: np.ndarray) -> np.ndarray:
            return dust_curve(x, dust_type) if free else curve(x)

        rise = _rise(reference, wave)
        self._keep("curve", curve(wave))
        self._keep("curve_rise", _rise(curve, wave) / rise)
        self._keep("bump", drude(wave) * free)
        self._keep("bump_rise", _rise(drude, wave) / rise * free)
        self._keep("log_wave", np.log(wave / 5500.0))
        self._keep("log_wave_rise", 1 / rise)
        self._keep("cloud", birth_cloud(wave))
        self._keep("cloud_rise", _rise(birth_cloud, wave) / rise)
        self._keep_shapes(columns.get("dust_index"))

    def groups(self, log_age: np.ndarray) -> np.ndarray:
        """See `Attenuation`."""
        young = log_age <= CLEARED
        return np.stack([~young, young]) if len(self.ranks) > 1 else np.ones((1, len(young)), bool)

    def factors(self, column: Mapping[str, Tensor]) -> Tensor:
        """See `Attenuation`."""
        dust2 = column["dust2"]
        index = (self._index(column) - self.middle) / self.half
        powers = torch.stack([index**m for m in range(self.mixing.shape[1])])
        ratios = (self.mixing @ powers * dust2)[None]
        if len(self.ranks) > 1:
            cloud = self.cloud_mixing[:, None] * (column["dust1_fraction"] * dust2)
            ratios = torch.cat([ratios, ratios + cloud])
        first = ratios[:, :1]
        return torch.cat([torch.ones_like(first), ratios, first**2, 2 * first * ratios[:, 1:]], 1)

    def depth(self, column: Mapping[str, Tensor]) -> Tensor:
        """See `Attenuation`."""
        dust2, index = column["dust2"][:, None], self._index(column)[:, None]
        level = self.curve + (BUMP[0] + BUMP[1] * index) * self.bump
        diffuse = dust2 * level * torch.exp(index * self.log_wave)
        return self._stacked(diffuse, column, self.cloud)

    def slope(self, column: Mapping[str, Tensor]) -> Tensor:
        """See `Attenuation`."""
        dust2, index = column["dust2"][:, None], self._index(column)[:, None]
        strength = BUMP[0] + BUMP[1] * index
        level = self.curve + strength * self.bump
        rise = self.curve_rise + strength * self.bump_rise + index * level * self.log_wave_rise
        diffuse = dust2 * rise * torch.exp(index * self.log_wave)
        return self._stacked(diffuse, column, self.cloud_rise)

    def behind(
        self, spectra: Sequence[Tensor], column: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """See `Attenuation`."""
        old = spectra[0]
        if old.dtype == torch.float32 and old.device.type == "cpu" and not old.requires_grad:
            return self._compiled(spectra, column), None
        depths = self.depth(column)
        parts = [each * torch.exp(-depth) for each, depth in zip(spectra, depths, strict=True)]
        return sum(parts[1:], parts[0]), None

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float]:
        """See `Attenuation`."""
        dust1 = row.get("dust1_fraction", 0.0) * row["dust2"]
        return {
            "dust2": row["dust2"], "dust1": dust1, "dust_index": row.get("dust_index", SLOPE),
        }  # fmt: skip

    def _compiled(self, spectra: Sequence[Tensor], column: Mapping[str, Tensor]) -> Tensor:
        dust2 = column["dust2"].contiguous()
        fraction = column["dust1_fraction"] if len(spectra) > 1 else torch.zeros_like(dust2)
        numbers = dust2, self._index(column).contiguous(), (fraction * dust2).contiguous()
        fixed = self.curve, self.bump, self.log_wave, self.cloud
        inputs = (*spectra[:1], spectra[-1] if len(spectra) > 1 else spectra[0][:0])
        out = np.empty(spectra[0].shape, np.float32)
        attenuate(*(x.detach().numpy() for x in (*inputs, *numbers, *fixed)), np.array(BUMP), out)
        return torch.from_numpy(out)

    def _index(self, column: Mapping[str, Tensor]) -> Tensor:
        """Of the power law that multiplies the curve, shape (n,)."""
        if "dust_index" in self.names:
            return column["dust_index"]
        return torch.zeros_like(column["dust2"])

    def _stacked(self, diffuse: Tensor, column: Mapping[str, Tensor], cloud: Tensor) -> Tensor:
        if len(self.ranks) == 1:
            return diffuse[None]
        dust1 = column["dust1_fraction"] * column["dust2"]
        return torch.stack([diffuse, diffuse + dust1[:, None] * cloud])

    def _keep_shapes(self, slopes: Column | None) -> None:
        """Shapes that `slope` is mixed of, what mixes them, and the terms that they make."""
        low, high = (slopes.low, slopes.high) if slopes else (-0.5, 0.5)
        self.middle, half = (low + high) / 2, (high - low) / 2
        self.half = half or 1.0  # of a slope that is fixed there is one
        nodes = np.cos(np.pi * (np.arange(12) + 0.5) / 12)
        one = torch.ones(len(nodes), dtype=torch.float64)
        index = torch.from_numpy(self.middle + half * nodes)
        column = {"dust2": one, "dust_index": index, "dust1_fraction": 0 * one}
        ratios = self.slope(column)[0].numpy()
        cloud = self.cloud_rise.numpy()
        shapes = np.linalg.svd(np.vstack([ratios, cloud]), full_matrices=False)[2][:SHAPES]
        self._keep("mixing", np.polynomial.polynomial.polyfit(nodes, ratios @ shapes.T, DEGREE).T)
        self._keep("cloud_mixing", shapes @ cloud)
        self.terms = (
            Term(0),
            *(Term(1, shape) for shape in shapes),
            *(Term(2, shapes[0] * shape) for shape in shapes),
        )

    def _keep(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=torch.float64), persistent=False)


class FreeSlope(TwoPart):
    """See `attenuations.Attenuation`: the diffuse dust of `TwoPart` alone."""

    names: ClassVar[tuple[str, ...]] = ("dust2", "dust_index")
    example: ClassVar[Mapping[str, float]] = {"dust2": 0.5, "dust_index": -0.3}
    ranks: ClassVar[tuple[Ranks, ...]] = Screen.ranks


class BirthClouds(TwoPart):
    """See `attenuations.Attenuation`: the clouds of `TwoPart` behind a curve that is fixed.

    References:
        Charlot & Fall 2000, arXiv:astro-ph/0003128.
    """

    dust_types: ClassVar[tuple[int, ...]] = Screen.dust_types
    names: ClassVar[tuple[str, ...]] = ("dust2", "dust1_fraction")
    example: ClassVar[Mapping[str, float]] = {"dust2": 0.5, "dust1_fraction": 1.0}


def _whole(curve: Callable) -> Callable:
    """A curve in two pieces that are the same."""
    return lambda wave: (curve(wave), curve(wave))


def _rise(curve: Callable[[np.ndarray], np.ndarray], wave: np.ndarray) -> np.ndarray:
    """Change of a curve with ln wavelength."""
    up, down = curve(wave * math.exp(STEP)), curve(wave * math.exp(-STEP))
    return (up - down) / (2 * STEP)


def _share_beyond(x: float, wave: np.ndarray) -> np.ndarray:
    """Share of each pixel that lies beyond a wavelength, from 0 to 1."""
    edges = (wave[1:] + wave[:-1]) / 2
    low = np.append(2 * wave[0] - edges[0], edges)
    high = np.append(edges, 2 * wave[-1] - edges[-1])
    return ((high - x) / (high - low)).clip(0, 1)
