"""The reference of the engine: its spectra without a basis, or nodes of histories."""

from collections.abc import Sequence

import numpy as np
import torch

from hpcsbi.simulator.galaxy.interpolation import interval
from hpcsbi.simulator.galaxy.physics import check_names
from hpcsbi.simulator.table.ssp_table import Ssp

__all__ = ["exact_spectra"]


def exact_spectra(
    engine: Ssp, theta: np.ndarray, names: Sequence[str], instrument: np.ndarray | None = None
) -> np.ndarray:
    """The same without basis or interpolated weights, float64: the reference of `flux`.

    Arguments:
        theta, names, instrument: see `flux`.

    Returns:
        shape (n, pixels).
    """
    check_names(names, engine.physics)
    column = dict(zip(names, np.array(theta, dtype=float).T, strict=True))
    tensors = {name: torch.from_numpy(values.copy()) for name, values in column.items()}
    depths, slopes = (of(tensors).numpy() for of in (engine.dust.depth, engine.dust.slope))
    added = None if instrument is None else engine.by_pixel.added(torch.tensor(instrument)).double()
    strength = column.get("line_strength", np.ones(len(theta)))[:, None, None]
    mass = engine.history.weights(engine.log_age, column) * 10 ** column["logmass"][:, None]
    nodes = torch.from_numpy(engine.logzsol)
    cell, right = (each.numpy() for each in interval(nodes, tensors["logzsol"]))
    flux = np.zeros((len(theta), engine.pixels))

    def of_dust(of_part: np.ndarray, lines: bool) -> np.ndarray:
        return engine.kinematics.of_dust(of_part, tensors, lines, added)

    for group, depth, slope in zip(engine.groups, depths, slopes, strict=True):
        moments = 0.0
        for name, tables in engine.nebular.tables.items():
            of_part = np.zeros((len(theta), *tables.shape[2:]))
            for i in np.unique(cell):
                rows = cell == i
                for node, part in ((i, 1 - right[rows]), (i + 1, right[rows])):
                    weights = (mass[rows] * group) * part[:, None]
                    of_part[rows] += np.tensordot(weights, tables[node].astype(float), 1)
            lines = name == "lines"
            factor = strength if lines else 1.0
            moments = moments + factor * of_dust(of_part, lines)
        moments = moments + engine.nebular.exact(mass * group, tensors, of_dust)
        series = moments[:, 0] + slope * (moments[:, 1] + slope * moments[:, 2])
        flux += series * np.exp(-depth)
    return flux
