"""One screen of dust before the whole galaxy, of a curve that has no free shape."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.terms import Ranks, Term
from hpcsbi.simulator.theta.column import Column

__all__ = ["SLOPE", "Screen"]

SLOPE = -0.7  # FSPS's dust_index where it is not free; its power law reads it


class Screen(torch.nn.Module):
    """See `attenuations.Attenuation`.

    The curve is the one that the table's moments are about, so that their factors are powers of
    dust2, and the screen itself is left to who takes the spectra.

    References:
        Calzetti et al. 2000, Charlot & Fall 2000; dust_type 2 and 0 of FSPS.
    """

    dust_types: ClassVar[tuple[int, ...]] = (0, 2)
    names: ClassVar[tuple[str, ...]] = ("dust2",)
    example: ClassVar[Mapping[str, float]] = {"dust2": 0.5}
    ranks: ClassVar[tuple[Ranks, ...]] = ({"continuum": (32, 12, 6), "lines": (12, 6, 4)},)

    def __init__(
        self, dust_type: int, columns: Mapping[str, Column], wave: np.ndarray, pixels: bool = False
    ) -> None:
        super().__init__()
        self.terms = tuple(Term(order) for order in range(3))
        curve = torch.from_numpy(dust_curve(wave, dust_type))
        self.register_buffer("curve", curve, persistent=False)

    def groups(self, log_age: np.ndarray) -> np.ndarray:
        """See `Attenuation`."""
        return np.ones((1, len(log_age)), bool)

    def factors(self, column: Mapping[str, Tensor]) -> Tensor:
        """See `Attenuation`."""
        return torch.stack([column["dust2"] ** m for m in range(3)])[None]

    def depth(self, column: Mapping[str, Tensor]) -> Tensor:
        """See `Attenuation`."""
        return (column["dust2"][:, None] * self.curve)[None]

    def slope(self, column: Mapping[str, Tensor]) -> Tensor:
        """See `Attenuation`."""
        return column["dust2"][:, None].expand(-1, len(self.curve))[None]

    def behind(
        self, spectra: Sequence[Tensor], column: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """See `Attenuation`."""
        return spectra[0], column["dust2"]

    @staticmethod
    def prospector(row: Mapping[str, float]) -> dict[str, float]:
        """See `Attenuation`."""
        return {"dust2": row["dust2"], "dust1": 0.0, "dust_index": SLOPE}
