"""The model behind a product: prior, grid, physics and noise, read from the product's settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.galaxy.kinematics import Kinematics
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.observation.additive_errors import additive_errors, refuse_coarse_pixels
from hpcsbi.simulator.observation.learned_error import refuse_other_grid
from hpcsbi.simulator.observation.noise import Noise, make_noise
from hpcsbi.simulator.observation.templates import smooth_error
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.settings import Settings

__all__ = ["Model"]

# Where a product keeps the settings of what it is made of. A flow has its network as "flow": its
# pairs come first.
UPSTREAM = ("training", "flow")


@dataclass(frozen=True)
class Model:
    """How spectra come about.

    Arguments:
        prior: of theta.
        grid: pixels.
        physics: what is not inferred.
        noise: None for spectra without noise.

    Raises:
        BadInput: a column of the prior that the noise does not take, or an error of another grid,
            or one that the grid's pixels are too wide for.
    """

    prior: Prior
    grid: Grid
    physics: Physics
    noise: Noise | None = None

    def __post_init__(self) -> None:
        if self.noise is not None:
            smooth_error(self.noise.settings(), self.prior.names)
            refuse_other_grid(self.noise.settings(), self.grid)
            additive_errors(self.noise.settings(), self.prior.names)
            widest = Kinematics.widest_lines(self.prior.columns, self.physics.sigma_smooth)
            refuse_coarse_pixels(self.noise.settings(), self.grid, widest)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Model":
        """The model of simulations, of pairs made from them, or of the flow behind a product.

        Arguments:
            settings: `Store.settings` of any product but a table or a store of spectra, or those of
                a flow.

        Raises:
            BadInput: the settings hold no model, or one that this version does not know; names the
                product.

        Example:
            Model.of(open_store("runs/demo/catalogue.zarr").settings).prior.names
        """
        try:
            return cls._of(settings)
        except BadInput as error:
            if isinstance(settings, Settings):
                raise BadInput(f"{settings.path}: {error}") from error
            raise

    @classmethod
    def _of(cls, settings: Mapping[str, Any]) -> "Model":
        for name in UPSTREAM:
            if name in settings:
                return cls._of(settings[name])
        simulations, noise = settings.get("simulations", settings), settings.get("noise")
        missing = [name for name in ("prior", "grid", "physics") if name not in simulations]
        if missing:
            raise BadInput(
                f"settings of {', '.join(simulations) or 'nothing'} hold no {missing[0]}: they are "
                "not of simulations, nor of anything made from them."
            )
        return cls(
            Prior(**simulations["prior"]),
            Grid(**simulations["grid"]),
            Physics(**simulations["physics"]),
            None if noise is None else make_noise(**noise),
        )

    def settings(self) -> dict:
        """Plain numbers and names of each part."""
        return {
            "prior": self.prior.settings(),
            "grid": self.grid.settings(),
            "physics": self.physics.settings(),
            "noise": None if self.noise is None else self.noise.settings(),
        }
