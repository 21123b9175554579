"""The posterior of one spectrum: draws, weights, certificate, what follows, and figures."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from hpcsbi.errors import BadInput
from hpcsbi.flags import meanings
from hpcsbi.inference.columns.catalogue_columns import ARRAYS, published
from hpcsbi.inference.columns.column_units import Meant, of_parameter, of_quantity
from hpcsbi.inference.columns.line_excess import line_group_names
from hpcsbi.inference.columns.measurement import Measurement
from hpcsbi.inference.columns.row_checks import P_VALUES
from hpcsbi.inference.sampling.certificate import COLUMNS, QUANTILES
from hpcsbi.inference.sampling.draws import Conditions
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.library import posterior_plots
from hpcsbi.library.densities import exact_log_density, flow_log_density, most_probable
from hpcsbi.library.history import history_table
from hpcsbi.library.inference_data import inference_data
from hpcsbi.library.posterior_words import in_words
from hpcsbi.report.object_plots import Figure
from hpcsbi.report.posterior_panels import Axes, draw_history
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import systematic

if TYPE_CHECKING:
    import xarray

__all__ = ["SpectrumPosterior"]

SHOWN = 200  # spectra behind the bands of a figure
CORNER = 5000  # draws behind regions of a corner plot


class SpectrumPosterior:
    """What a flow says of one spectrum. A `TrainedFlow` makes it.

    Arguments:
        posterior: the flow.
        batch: the spectrum on its pixels.
        measured: draws and columns of it.
        name: id of the object.
        flags: those of the spectrum itself.

    Raises:
        BadInput: the flow gave no draws inside of the prior.
    """

    def __init__(
        self, posterior: Posterior, batch: Batch, measured: Measurement, name: str, flags: int
    ) -> None:
        self._posterior, self._batch, self._columns = posterior, batch, measured.columns
        self.name, self.zred = name, float(batch.zred[0])
        coordinates, weights = measured.weighted[0]
        if weights is None:
            coordinates = coordinates[: int(measured.draws.kept[0])]
            weights = np.full(len(coordinates), 1 / max(len(coordinates), 1))
        if not len(coordinates):
            raise BadInput(f"{name}: the flow gave no usable draws.")
        counts = weights > 0  # of the others some lie outside of the prior
        self._coordinates, self.weights = coordinates[counts], weights[counts]
        self._flags = flags | int(measured.columns["flags"][0])

    def __repr__(self) -> str:
        return in_words(self)

    @property
    def notice(self) -> str:
        """The sentence that products of a demonstration table carry, or ""."""
        return self._posterior.notice

    @property
    def wave(self) -> np.ndarray:
        """Pixel centres, Angstrom, vacuum, rest frame, shape (pixels,)."""
        return self._posterior.grid.wave

    @property
    def flux(self) -> np.ndarray:
        """The spectrum on these pixels, L_sun / Angstrom, shape (pixels,)."""
        return self._batch.flux[0]

    @property
    def ivar(self) -> np.ndarray:
        """Its inverse variance, 0 where masked, shape (pixels,)."""
        return self._batch.ivar[0]

    @cached_property
    def draws(self) -> pd.DataFrame:
        """Draws behind the quantiles, own units, a column for each parameter.

        They are those of a proposal: only with their `weights` are they the posterior. Histograms
        and scatter plots without weights take `sample`.
        """
        theta = self._posterior.prior.theta(self._coordinates)
        return pd.DataFrame(theta, columns=[*self._posterior.names])

    @property
    def certificate(self) -> dict[str, float | str]:
        """How good the weights are, and the evidence; empty without a certificate.

        `origin` is reweighted where they are good (200 effective draws, Pareto k below 0.7), else
        flow. `log_evidence` is ln of the evidence of the flux in L_sun / Angstrom.
        """
        return self._values("origin", *COLUMNS)

    @property
    def checks(self) -> dict[str, float | str]:
        """Chi squared per pixel and posterior predictive p-values: whether the model fits."""
        return self._values("chi2", *P_VALUES)

    @property
    def flags(self) -> dict[str, str]:
        """Name and meaning of each flag of this spectrum."""
        return meanings(self._flags)

    @property
    def quantiles(self) -> pd.DataFrame:
        """Rows p2_5 to p97_5, a column for each parameter, own units (`attrs["unit"]`).

        Medians of parameters that depend on each other are no model: a spectrum to compare with the
        observed one is that of a draw.
        """
        return self._table("quantiles", self._posterior.names, of_parameter)

    @property
    def derived(self) -> pd.DataFrame:
        """The same of what follows from theta: surviving mass, rates, ages, A_V, lines.

        Raises:
            BadInput: the flow took no table along.
        """
        if self._posterior.derived is None:
            raise BadInput("derived quantities take a table, and this flow took none along.")
        return self._table("derived_quantiles", self._posterior.derived.names, of_quantity)

    @property
    def row(self) -> dict[str, float | str]:
        """What a catalogue has of this spectrum, by the names of its columns."""
        along = {"parameter": self._posterior.names, "blend": tuple(BLENDS)}
        along |= line_group_names(self._posterior.likelihood)
        if self._posterior.derived is not None:
            along["quantity"] = self._posterior.derived.names
        known = {name: values for name, values in self._columns.items() if name != "flags"}
        row = {"id": self.name, "zred": self.zred, "flags": self._flags}
        row["n_pixels"] = int((self.ivar > 0).sum())
        for name in (name for name in ARRAYS if name in known):
            kind = np.dtype(ARRAYS[name][1]) if ARRAYS[name][1] != "string" else np.dtype(object)
            values = published(name, np.asarray(known[name]).astype(kind), along)
            row |= {column: value[0] for column, value in values.items()}
        return row

    def sample(self, sample_shape: Sequence[int] = (1000,), seed: int = 0) -> torch.Tensor:
        """Draws of equal weight, resampled by weight, as the posteriors of `sbi` give them.

        Arguments:
            sample_shape: of the draws.
            seed: the same one gives the same draws.

        Returns:
            theta in own units, float32, shape (*sample_shape, n_theta).
        """
        rng = np.random.default_rng([seed, int(self._batch.seeds[0])])
        n = int(np.prod(sample_shape))
        chosen = rng.permutation(systematic(self.weights, n, rng.random()))
        theta = self._posterior.prior.theta(self._coordinates[chosen], np.float32)
        return torch.from_numpy(theta).reshape(*sample_shape, -1)

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        """Log density in theta's own units, -inf outside of the prior, shape (n,).

        That of the exact posterior where the weights are good: likelihood times prior over the
        evidence. Else that of the flow inside of the prior.

        Arguments:
            theta: as `sample` gives it, shape (n, n_theta).
        """
        rows = torch.as_tensor(theta, dtype=torch.float32)
        certified = self._columns.get("origin", ["flow"])[0] == "reweighted"
        posterior, batch, columns = self._posterior, self._batch, self._columns
        if certified:
            return exact_log_density(posterior, batch, columns["log_evidence"][0], rows)
        return flow_log_density(posterior, batch, self._conditions, columns["acceptance"][0], rows)

    def map(self) -> torch.Tensor:
        """Theta of the largest `log_prob` (in other units it lies elsewhere), (1, n_theta)."""
        prior, draws = self._posterior.prior, self._coordinates
        return torch.from_numpy(most_probable(self.log_prob, prior, draws))[None]

    @cached_property
    def _conditions(self) -> Conditions:
        return self._posterior.conditions(self._batch)

    def to_inference_data(self) -> "xarray.DataTree":
        """Draws of equal weight as InferenceData, which ArviZ takes as it is.

        Draws are repeated as often as their weights ask, so that `ess` of the attributes, not their
        number, says how many there are.

        Returns:
            Groups `posterior` (one variable for each parameter, own units; its attributes are
            certificate and notice), `sample_stats` (lp) and `observed_data`. The dimension chain
            has length one, for independent draws are one chain; the other is draw.

        References:
            InferenceData schema specification, ArviZ documentation.
        """
        draws = self.sample((len(self._coordinates),))
        notes = self.certificate | {"notice": self.notice, "id": self.name}
        observed = {"wave": self.wave, "flux": self.flux, "ivar": self.ivar}
        names = self._posterior.names
        return inference_data(names, draws.numpy(), self.log_prob(draws).numpy(), observed, notes)

    def history(self, edges: Sequence[float] | None = None) -> pd.DataFrame:
        """Star formation rate by lookback time, solar masses a year, with its bands.

        Arguments:
            edges: lookback times in Gyr, ascending, between which rates are means; None: steps in
                the logarithm back to the beginning of the oldest draw.

        Returns:
            A row for each bin, with the columns lookback_from and lookback_to, Gyr, and p2_5 to
            p97_5, each over the draws and so of no one history.

        Raises:
            BadInput: edges that are not ascending.
        """
        return history_table(self.draws, self.weights, self.zred, edges)

    def plot_spectrum(self, axes: Axes, residual_axes: Axes) -> None:
        """The spectrum under the bands that its posterior expects, smooth errors included.

        Arguments:
            axes: for L_sun / Angstrom against rest-frame wavelength.
            residual_axes: for what is left over, in standard deviations, noise floor included.

        Raises:
            BadInput: the flow took no table along.
        """
        posterior_plots.spectrum(
            self._posterior, self._batch, self.sample((SHOWN,)), axes, residual_axes
        )

    def plot_marginals(self, axes: Sequence[Axes]) -> None:
        """Each inferred parameter over its prior at this redshift.

        Arguments:
            axes: as many as `prior.inferred_names`, in any shape.

        Raises:
            BadInput: another number of axes.
        """
        prior = self._posterior.prior
        posterior_plots.marginals(prior, self.zred, self._coordinates, self.weights, np.ravel(axes))

    def plot_corner(self, figure: Figure) -> None:
        """Each pair of inferred parameters: regions of 68 and 95 %, and the marginals.

        Arguments:
            figure: an empty one of your own, about 1.2 inches a parameter wide and high.
        """
        posterior_plots.corner(self._posterior.prior, self.sample((CORNER,)), figure)

    def plot_history(self, axes: Axes) -> None:
        """`history` with its 68 and 95 % bands.

        Arguments:
            axes: for solar masses a year against lookback time in Gyr.
        """
        history = self.history()
        edges = np.append(history["lookback_from"], history["lookback_to"].iloc[-1])
        draw_history(axes, edges, history[[*QUANTILES]].to_numpy().T)

    def _table(
        self, name: str, columns: Sequence[str], meant: Callable[[str], Meant]
    ) -> pd.DataFrame:
        table = pd.DataFrame(self._columns[name][0], index=[*QUANTILES], columns=[*columns])
        table.attrs["unit"] = {column: meant(column).unit for column in columns}
        return table

    def _values(self, *names: str) -> dict[str, float | str]:
        known = {name: self._columns[name][0] for name in names if name in self._columns}
        return {name: v if isinstance(v, str) else v.item() for name, v in known.items()}
