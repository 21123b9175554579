"""Model spectra at theta: by the table, and by Prospector over FSPS itself."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.run.flows import load_derived, load_engine
from hpcsbi.simulator.direct.fsps_spectra import OK, STATUSES, direct_spectra, preflight
from hpcsbi.simulator.table.derived import DerivedQuantities
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.parameters import OF_ERRORS, parameter
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_complete

__all__ = ["ModelTable", "Theta", "load_table"]

Theta = Mapping[str, ArrayLike] | pd.DataFrame | pd.Series


def load_table(path: str | Path, prior: Prior) -> "ModelTable":
    """The table of stellar populations, ready to make spectra over the ranges of a prior.

    Arguments:
        path: ssp.zarr, of a run or of a flow's folder.
        prior: its columns say which star formation history and which dust there are.

    Raises:
        FileNotFoundError: there is no table.
        BadInput: the prior reaches beyond it.

    Example:
        >>> prior = Prior({
        ...     "logmass": {"low": 8, "high": 12},
        ...     "logzsol": {"low": -1, "high": 0.2},
        ...     "dust2": {"low": 0, "high": 2},
        ...     "tage": {"low": 0.5, "high": 13},
        ...     "tau": {"low": 0.1, "high": 10, "log": True},
        ... })
        >>> table = load_table("runs/demo/ssp.zarr", prior)
        >>> theta = {"logmass": 10, "logzsol": 0, "dust2": [0, 1], "tage": 9, "tau": 3}
        >>> flux = table.spectrum(theta)
        >>> flux.shape, bool((flux[1] < flux[0]).all())
        ((2, 138), True)
    """
    grid = Grid(**open_complete(path, "tabulate").settings["grid"])
    engine = load_engine(path, prior)
    return ModelTable(engine, grid, prior, load_derived(path, engine))


class ModelTable:
    """Noise-free model spectra, rest frame, before any instrument.

    Arguments:
        engine: the table engine.
        grid: its pixels.
        prior: whose ranges it holds.
        derived: makes what follows from theta.
    """

    def __init__(self, engine: Ssp, grid: Grid, prior: Prior, derived: DerivedQuantities) -> None:
        self._engine, self._grid, self.prior, self._derived = engine, grid, prior, derived

    @property
    def wave(self) -> np.ndarray:
        """Pixel centres, Angstrom, vacuum, rest frame, shape (pixels,)."""
        return self._grid.wave

    def spectrum(self, theta: Theta) -> np.ndarray:
        """Spectra by the table.

        Arguments:
            theta: value of each parameter in its own unit, or values of shape (n,), by name: a
                mapping, a row or a table of pandas. Columns that the prior fixes, and those of
                errors alone (noise_floor, model_error), may be left out.

        Returns:
            L_sun / Angstrom, means over the pixels, float32, shape (pixels,) or (n, pixels).

        Raises:
            BadInput: a parameter is missing, unknown or outside of the prior.
        """
        rows, names, single = self._rows(theta)
        with torch.no_grad():
            flux = self._engine.flux(torch.tensor(rows), names).numpy()
        return flux[0] if single else flux

    def prospector_spectrum(self, theta: Theta) -> np.ndarray:
        """The same by Prospector and FSPS themselves, 10^4 times slower; takes SPS_HOME.

        Arguments:
            theta: see `spectrum`.

        Raises:
            BadInput: see `spectrum`; or FSPS cannot make one of the spectra.
            FspsError: FSPS does not work here; says why.
        """
        rows, names, single = self._rows(theta)
        preflight(self._grid, self._engine.physics)
        flux, status = direct_spectra(rows, names, self._grid, self._engine.physics)
        if len(bad := np.flatnonzero(status != OK)):
            row = dict(zip(names, rows[bad[0]].tolist(), strict=True))
            raise BadInput(f"FSPS makes no spectrum of {row} ({STATUSES[int(status[bad[0]])]}).")
        return flux[0] if single else flux

    def derived(self, theta: Theta) -> pd.DataFrame:
        """What follows from theta: surviving mass, star formation rates, ages, A_V, Dn4000, lines.

        Arguments:
            theta: see `spectrum`.

        Returns:
            A row for each theta and a column for each quantity, as the catalogue defines them.

        Raises:
            BadInput: see `spectrum`.
        """
        rows, names, _ = self._rows(theta)
        return pd.DataFrame(self._derived(rows, names), columns=[*self._derived.names])

    def _rows(self, theta: Theta) -> tuple[np.ndarray, list[str], bool]:
        """Theta as rows with the names of their columns, and whether it was a single one."""
        if not isinstance(theta, Mapping | pd.DataFrame | pd.Series):
            raise BadInput(
                f"theta is a {type(theta).__name__}: name its columns, as {{'tage': 5}}."
            )
        columns, theta = self.prior.columns, dict(theta.items())
        fixed = {name: each.given for name, each in columns.items() if each.is_fixed}
        values = fixed | {str(name): np.asarray(theta[name], dtype=float) for name in theta}
        for name, value in values.items():
            parameter(name)  # or it is refused, with the names that there are
            if name in columns and not np.all(
                (value >= columns[name].low) & (value <= columns[name].high)
            ):
                raise BadInput(
                    f"theta: {name} goes from {np.min(value):.6g} to {np.max(value):.6g}, and the "
                    f"prior of this table from {columns[name].low:g} to {columns[name].high:g}."
                )
        missing = [name for name in columns if name not in values and name not in OF_ERRORS]
        if missing:
            raise BadInput(f"theta lacks {', '.join(missing)}, which the prior of this table has.")
        shapes = {np.shape(value) for value in values.values()} - {()}
        if len(shapes) > 1 or any(len(shape) > 1 for shape in shapes):
            told = ", ".join(f"{name} {np.shape(value)}" for name, value in values.items())
            raise BadInput(f"theta takes a number or n numbers for each parameter, not {told}.")
        wide = np.broadcast_arrays(*values.values())
        return np.column_stack([value.reshape(-1) for value in wide]), [*values], not shapes
