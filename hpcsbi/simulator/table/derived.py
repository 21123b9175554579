"""Quantities that follow from theta: what astronomers ask of a galaxy, of any draws.

Mass is formed mass where no name says "surviving"; times run backwards from the observation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hpcsbi.simulator.galaxy.free_gas import GasNodes
from hpcsbi.simulator.galaxy.indices import BANDS, LABELS, LINES, band_centres, line_centres
from hpcsbi.simulator.table.ssp_table import CHUNK, Ssp

__all__ = ["QUANTITIES", "DerivedQuantities", "Quantity"]

RECENT = {"10myr": 0.01, "100myr": 0.1}  # Gyr over which a star formation rate is a mean
MAGNITUDE = 2.5 * math.log10(math.e)  # of one unit of optical depth
V_BAND = 5500.0  # Angstrom


@dataclass(frozen=True)
class Quantity:
    """One quantity.

    Arguments:
        name: of its columns.
        unit: in words.
        meaning: its definition, for a reader of the catalogue.
        header: head of its column in a table.
        log: shown by its logarithm.
    """

    name: str
    unit: str
    meaning: str
    header: str
    log: bool = False


QUANTITIES = (
    Quantity(
        "logmass_surviving",
        "log10 of solar masses",
        "in stars and their remnants, as FSPS counts them",
        "log M/Msun surviving",
    ),
    *(
        Quantity(
            f"sfr_{name}",
            "solar masses / yr",
            f"mass formed in the last {age * 1000:.0f} Myr over that time",
            f"SFR {age * 1000:.0f} Myr [Msun/yr]",
            log=True,
        )
        for name, age in RECENT.items()
    ),
    Quantity(
        "ssfr_100myr",
        "1 / yr",
        "sfr_100myr over the surviving mass",
        "sSFR 100 Myr [1/yr]",
        log=True,
    ),
    Quantity("mass_weighted_age", "Gyr", "mean age of the mass formed", "mass-weighted age [Gyr]"),
    Quantity("t50", "Gyr", "lookback time by which half of the mass had formed", "t50 [Gyr]"),
    Quantity("t90", "Gyr", "lookback time by which 90 % of the mass had formed", "t90 [Gyr]"),
    Quantity("av", "mag", "attenuation at 5500 Angstrom of the dust before all stars", "A_V [mag]"),
    Quantity(
        "av_young",
        "mag",
        "the same with the birth clouds of young stars, where the model has any",
        "A_V young [mag]",
    ),
    Quantity(
        "dn4000",
        "1",
        "4000 Angstrom break of the reddened model without lines (Balogh et al. 1999)",
        "Dn4000",
    ),
    *(
        Quantity(
            f"{line}_luminosity",
            "solar luminosities",
            "of the reddened model",
            f"L {LABELS[line]} [Lsun]",
            log=True,
        )
        for line in LINES
    ),
    *(
        Quantity(
            f"{line}_ew",
            "Angstrom, rest frame",
            "equivalent width of the emission of the model, over its continuum beside the line",
            f"EW {LABELS[line]} [Å]",
            log=True,
        )
        for line in LINES
    ),
)


class DerivedQuantities:
    """QUANTITIES of draws, over the ranges of an engine's prior.

    Masses in time follow from the history in closed form; what FSPS knows of each population is
    mixed as the engine mixes spectra, so that it agrees with them.

    Arguments:
        ssp: the engine, on a CPU.
        surviving_mass, line_luminosity, bands: arrays of its table, see `direct_ssps`; where gas is
            free bands are of stars alone, and there are no lines.
        gas_luminosity, gas_bands: where gas is free, see `direct_gas`.
    """

    def __init__(
        self,
        ssp: Ssp,
        surviving_mass: np.ndarray,
        bands: np.ndarray,
        line_luminosity: np.ndarray | None = None,
        gas_luminosity: np.ndarray | None = None,
        gas_bands: np.ndarray | None = None,
    ) -> None:
        self.ssp = ssp
        self.at_lines, self.at_bands, self.at_v = (
            type(ssp.dust)(ssp.physics.dust_type, ssp.columns, wave)
            for wave in (line_centres(), band_centres(), np.array([V_BAND]))
        )
        if line_luminosity is None:
            line_luminosity = np.zeros((*bands.shape[:2], len(LINES)))
        light = _flat(line_luminosity, bands)
        of_groups = [light * group[:, None] for group in ssp.groups]
        of_ages = np.concatenate([surviving_mass[..., None], *of_groups], -1)
        components = ssp.history.components(ssp.log_age)
        by_metallicity = [
            torch.tensor(components @ table) for table in of_ages[ssp.nodes].astype(float)
        ]
        rows = ssp.nebular.rows(torch.cat(by_metallicity), components, ssp.groups)
        self.table, self.of_gas = rows.float(), None
        if gas_luminosity is not None:
            self.of_gas = GasNodes(ssp.nebular.logzsol, _flat(gas_luminosity, gas_bands))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the quantities, in order."""
        return tuple(quantity.name for quantity in QUANTITIES)

    def __call__(self, theta: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """All quantities of draws, float64, shape (n, quantities); NaN of a theta with a NaN.

        Arguments:
            theta: in own units, inside the prior, shape (n, n_theta).
            names: its columns.
        """
        theta = np.asarray(theta, dtype=float)
        column = dict(zip(names, theta.T, strict=True))
        history = self.ssp.history
        formed = 10.0 ** column["logmass"]
        tensors = {name: torch.tensor(values) for name, values in column.items()}
        surviving, luminosity, bands = self._mixed(theta, names)
        luminosity = (luminosity * np.exp(-self.at_lines.depth(tensors).numpy())).sum(0)
        if "line_strength" in column:
            luminosity *= column["line_strength"][:, None]
        depth, slope = self.at_bands.depth(tensors).numpy(), self.at_bands.slope(tensors).numpy()
        bands = (_series(bands, slope) * np.exp(-depth)).sum(0)
        band = dict(zip(BANDS, bands.T, strict=True))
        depth_v = self.at_v.depth(tensors)[:, :, 0].numpy()
        beside = np.stack([band[f"beside_{line}"] for line in LINES], axis=1)
        rates = [formed * history.younger(age, column) / (age * 1e9) for age in RECENT.values()]
        return np.column_stack(
            [
                column["logmass"] + np.log10(surviving),
                *rates,
                rates[-1] / (formed * surviving),
                history.mean_age(column),
                history.lookback(0.5, column),
                history.lookback(0.9, column),
                MAGNITUDE * depth_v[0],
                MAGNITUDE * depth_v[-1],
                band["break_red"] / band["break_blue"],
                formed[:, None] * luminosity,
                luminosity / beside,
            ]
        )

    def _mixed(
        self, theta: np.ndarray, names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Surviving mass, lines and bands of one solar mass formed, without dust.

        Shapes (n,), (groups, n, lines) and (groups, n, moments, bands).
        """
        mixed = np.concatenate(
            [self._summed(theta[i : i + CHUNK], names) for i in range(0, len(theta), CHUNK)]
        )
        mixed = mixed.astype(float)
        light = mixed[:, 1:].reshape(len(theta), len(self.ssp.groups), -1).swapaxes(0, 1)
        luminosity, bands = np.split(light, [len(LINES)], axis=-1)
        # Between nodes where next to nothing is young a cubic may fall below zero.
        luminosity = np.maximum(luminosity, 0)
        return mixed[:, 0], luminosity, bands.reshape(*bands.shape[:2], -1, len(BANDS))

    def _summed(self, theta: np.ndarray, names: Sequence[str]) -> np.ndarray:
        column = dict(zip(names, torch.from_numpy(theta).float().unbind(1), strict=True))
        summed = self.ssp.mixture(self.table, column)
        return self.ssp.nebular.lit(summed, self.of_gas, column, len(self.ssp.groups)).numpy()


def _flat(luminosity: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Lines and moments of bands side by side."""
    return np.concatenate([luminosity, bands.reshape(*bands.shape[:-2], -1)], -1)


def _series(moments: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Sum over moments, shape (..., moments, bands), times powers of a slope, (..., bands)."""
    powers = slope[..., None, :] ** np.arange(moments.shape[-2])[:, None]
    return (moments * powers).sum(-2)
