"""An error of the model that a survey taught: a mean and templates, by rest wavelength."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid

__all__ = ["LARGEST_MEAN", "LearnedError", "refuse_other_error", "refuse_other_grid"]

LARGEST_MEAN = 0.5  # of the flux: a residual that is as large as the signal is no error of a model


@dataclass(frozen=True)
class LearnedError:
    """What model spectra are off by, as fractions of them, as `stages.learn` estimates it.

    A spectrum is the model's times one plus the mean, times one plus the sum of the templates with
    amplitudes that are independent standard normal numbers (and of all other templates).

    Arguments:
        mean: shape (pixels,).
        templates: each times its standard deviation, shape (rank, pixels); the rank may be 0.
        grid: settings of the grid, `Grid.settings()`.
        model_error: standard deviation of the smooth error (`templates.SmoothError`) beside which
            it was learned; the noise must have the same.

    Raises:
        BadInput: numbers that do not go with the grid, or a mean as large as the signal.
    """

    mean: Sequence[float]
    templates: Sequence[Sequence[float]]
    grid: Mapping[str, Any] = field(hash=False)
    model_error: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(map(float, self.mean)))
        rows = tuple(tuple(map(float, row)) for row in self.templates)
        object.__setattr__(self, "templates", rows)
        pixels = Grid(**self.grid).pixels
        lengths = {len(self.mean), *map(len, rows)}
        if lengths != {pixels} or not np.isfinite([*self.mean, *np.ravel(rows)]).all():
            raise BadInput(
                f"noise.learned has {sorted(lengths)} numbers for a grid of {pixels} pixels, or "
                "some that are not finite: make it again with jobs/learn.py."
            )
        if (largest := np.abs(self.mean).max()) > LARGEST_MEAN:
            raise BadInput(
                f"noise.learned has a mean of {largest:.2g} of the flux: above {LARGEST_MEAN} it "
                "is as large as the signal, and no error of a model; look at the spectra's units, "
                "redshifts and classes, and learn again."
            )

    @property
    def factor(self) -> np.ndarray:
        """One plus the mean, shape (pixels,)."""
        return 1 + np.array(self.mean)

    @property
    def curves(self) -> np.ndarray:
        """The templates, shape (rank, pixels)."""
        return np.reshape(self.templates, (len(self.templates), len(self.mean)))

    def settings(self) -> dict:
        """Plain numbers from which `LearnedError(**settings)` makes an equal one."""
        return asdict(self)


def refuse_other_error(learned: LearnedError | None, model_error: float) -> None:
    """Raise where a noise model has another smooth error than the one that it was learned beside.

    Raises:
        BadInput: it has.
    """
    if learned is not None and learned.model_error != model_error:
        raise BadInput(
            f"noise.model_error is {model_error}, and noise.learned was learned beside one of "
            f"{learned.model_error}: set noise.model_error to that."
        )


def refuse_other_grid(noise: Mapping[str, Any], grid: Grid) -> None:
    """Raise where a noise model's learned error is of another grid.

    Arguments:
        noise: settings of the noise model.
        grid: of the spectra.

    Raises:
        BadInput: it is.
    """
    learned = noise.get("learned")
    if learned is not None and dict(learned["grid"]) != grid.settings():
        raise BadInput(
            f"noise.learned was learned on the grid {dict(learned['grid'])}, and the spectra are "
            f"on {grid.settings()}: name an error of this grid, or set noise.learned=null."
        )
