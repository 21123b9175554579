"""The star formation history of weighted draws, with its bands."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hpcsbi.inference.columns.column_units import of_quantity
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.simulator.galaxy.formation_rates import formation_rates
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.statistics.importance_weights import weighted_quantiles

__all__ = ["history_table"]

YOUNGEST, BINS = 0.01, 24  # Gyr, and number of the lookback times of a history


def history_table(
    draws: pd.DataFrame, weights: np.ndarray, zred: float, edges: Sequence[float] | None
) -> pd.DataFrame:
    """Star formation rate by lookback time, solar masses a year; see `SpectrumPosterior.history`.

    Arguments:
        draws: theta in own units, a column for each parameter.
        weights: theirs, shape (n,).
        zred: redshift of the object.
        edges: lookback times in Gyr, ascending; None: steps in the logarithm.

    Raises:
        BadInput: edges that are not ascending.
    """
    if edges is None:
        first = float(draws["tage"].max()) if "tage" in draws else 0.0
        last = max(first, float(age_of_universe(np.array([zred]))[0]))
        edges = np.append(0.0, np.geomspace(YOUNGEST, last, BINS))
    edges = np.asarray(edges, dtype=float)
    rates = formation_rates(draws.to_numpy(), tuple(draws.columns), edges)
    bands = weighted_quantiles(rates, weights, list(QUANTILES.values()))
    table = pd.DataFrame({"lookback_from": edges[:-1], "lookback_to": edges[1:]})
    table = table.assign(**dict(zip(QUANTILES, bands, strict=True)))
    table.attrs["unit"] = dict.fromkeys(QUANTILES, of_quantity("sfr_100myr").unit)
    table.attrs["unit"] |= {"lookback_from": "Gyr", "lookback_to": "Gyr"}
    return table
