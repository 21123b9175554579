"""The table: theta -> flux for whole batches, from SSPs computed once.

A spectrum is linear in the SSPs: 10^logmass sum_g exp(-depth_g) sum_i w_i(history) SSP_i(logzsol),
over the groups g that different dust is before. The engine keeps a small basis of composite spectra
and the coefficients of the components that a family of histories is mixed of, so that a batch is
one gather and, for each group, one matrix product: sums of terms, each a factor of theta times the
first of its part's coefficients times its rows of the basis.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hpcsbi.errors import BadInput
from hpcsbi.kernels.table import mix
from hpcsbi.simulator.attenuations import Attenuation, attenuation_of
from hpcsbi.simulator.dust import check_curve
from hpcsbi.simulator.histories import History, family_of
from hpcsbi.simulator.interpolation import interval
from hpcsbi.simulator.physics import Physics, check_names
from hpcsbi.simulator.prior import Prior
from hpcsbi.simulator.ssp_basis import composites
from hpcsbi.simulator.terms import Layout, layout_of

__all__ = ["ACCURACY", "ARRAYS", "NOTICE", "Ssp", "check_accuracy", "nodes_inside"]

NOTICE = (
    "Made with a demonstration table of stellar populations that is not the FSPS data release: "
    "good for trying and testing, not for science. Set SPS_HOME and run jobs/tabulate.py."
)
ARRAYS = ("continuum", "lines", "logzsol", "log_age", "wave", "dust_curve")
ACCURACY = {"median": 1e-4, "p99": 5e-3}  # largest |d ln flux| against direct predictions
PAPER = Physics()
CHUNK = 4096  # larger batches fall out of the cache


class Ssp(torch.nn.Module):
    """The engine for one grid of pixels, over the ranges of one prior.

    Arguments:
        continuum, lines: L_sun / Angstrom / M_sun formed and dust moments,
            shape (logzsol, ages, 3, pixels).
        logzsol: metallicities, ascending, shape (logzsol,).
        log_age: log10 of age in years, ascending, shape (ages,).
        wave: pixel centres, Angstrom, shape (pixels,).
        dust_curve: what the moments are about, shape (pixels,).
        prior: gives the families of histories and dust and the ranges of their columns and of
            logzsol; outside them theta is clamped.
        physics: of the table.

    Raises:
        ValueError: arrays that do not fit each other or the physics, or a prior that reaches beyond
            the table.

    Example:
        engine = Ssp(**{name: store.read(name) for name in ARRAYS}, prior=prior, physics=physics)
        flux = engine.flux(theta, prior.names)
    """

    def __init__(
        self,
        continuum: np.ndarray,
        lines: np.ndarray,
        logzsol: np.ndarray,
        log_age: np.ndarray,
        wave: np.ndarray,
        dust_curve: np.ndarray,
        prior: Prior,
        physics: Physics = PAPER,
    ) -> None:
        super().__init__()
        shape = (len(logzsol), len(log_age), 3, len(wave))
        for name, array in (("continuum", continuum), ("lines", lines)):
            if array.shape != shape or not np.isfinite(array).all():
                raise BadInput(f"table: {name} of shape {array.shape} is not {shape} and finite.")
        check_names(prior.names, physics)
        check_curve(dust_curve, wave, physics.dust_type)
        self.nodes = inside = nodes_inside(logzsol, prior)
        self.log_age, self.logzsol = np.asarray(log_age, float), np.asarray(logzsol, float)[inside]
        self.wave, self.pixels = np.asarray(wave, float), len(wave)
        self.tables = {"continuum": continuum[inside], "lines": lines[inside]}
        self.physics, self.columns = physics, prior.columns
        self.history: History = family_of(prior.names)(prior.columns)
        dust = attenuation_of(physics.dust_type, prior.names)
        # Moments of points are zero.
        self.dust: Attenuation = dust(
            physics.dust_type, prior.columns, self.wave, pixels=bool(continuum[:, :, 1].any())
        ).float()
        self.groups = self.dust.groups(self.log_age)
        self.layout = layout_of(self.dust.terms, dust.ranks)
        self._keep("k", dust_curve)
        self._keep("metallicity", self.logzsol)
        basis, coefficients = composites(
            self.history.components(self.log_age),
            self.tables, self.groups, self.dust.terms, dust.ranks,
        )  # fmt: skip
        self._keep("basis", basis)
        self._keep("coefficients", coefficients)
        self.rows = self.layout.ranks.reshape(len(dust.ranks), -1).sum(1).tolist()
        rows = basis.split(self.layout.ranks.tolist())
        lasting = [row for row, order in zip(rows, self.layout.orders, strict=True) if not order]
        self._keep("dustless_basis", torch.cat(lasting))

    def flux(self, theta: Tensor, names: Sequence[str]) -> Tensor:
        """Spectra of a batch; differentiable.

        Arguments:
            theta: parameters in their own units, shape (n, n_theta).
            names: theta's columns; without line_strength the lines are as FSPS draws them.

        Returns:
            L_sun / Angstrom of 10^logmass solar masses formed, shape (n, pixels), float32 (float64
            for an engine that was turned into it).
        """
        check_names(names, self.physics)
        bare, depth = self.bare(theta, names)
        # The mass in float64: the rounding of a large exponent would move every pixel.
        logmass = theta[:, [*names].index("logmass")].to(self.k.dtype).double()
        mass = (10.0**logmass).to(self.k.dtype)[:, None]
        scale = mass if depth is None else mass * torch.exp(-depth[:, None] * self.k)
        return bare * scale

    def bare(self, theta: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Spectra of one solar mass before the screen that is common to all stars, if there is one.

        Arguments:
            theta, names: see `flux`; logmass does not matter.

        Returns:
            Spectra, smoothed behind the screen, which depend on the dust as smoothing and dust do
            not commute, shape (n, pixels), and the optical depth at which exp(-depth k) makes a
            `flux` of them, shape (n,); None where there is no such screen.
        """
        spectra, depths = [], []
        bases = self.basis.split(self.rows)
        for column in self._chunks(theta, names):
            factors = self._factors(column, self.dust.factors(column))
            groups = self._weighted(column, factors, self.layout).split(self.rows, 1)
            groups = [weighted @ basis for weighted, basis in zip(groups, bases, strict=True)]
            flux, depth = self.dust.behind(groups, column)
            spectra.append(flux)
            depths.append(depth)
        return _joined(spectra), None if depths[0] is None else _joined(depths)

    def dustless(self, theta: Tensor, names: Sequence[str]) -> Tensor:
        """Spectra of one solar mass without dust, whatever theta says of it, in less time.

        Arguments:
            theta, names: see `bare`.

        Returns:
            shape (n, pixels).
        """
        spectra, layout = [], self.layout.dustless()
        for column in self._chunks(theta, names):
            without_dust = self.k.new_ones(len(self.groups), 1, len(column["logzsol"]))
            factors = self._factors(column, without_dust)
            spectra.append(self._weighted(column, factors, layout) @ self.dustless_basis)
        return _joined(spectra)

    def is_compiled(self, theta: Tensor) -> bool:
        """True where the compiled loop may do it: float32 on a CPU, and no gradient is wanted."""
        return (
            self.k.dtype == torch.float32
            and self.k.device.type == "cpu"
            and not (theta.requires_grad)
        )

    def exact(self, theta: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """The same without basis or interpolated weights, float64: the reference of `flux`.

        Arguments:
            theta, names: see `flux`.

        Returns:
            shape (n, pixels).
        """
        check_names(names, self.physics)
        column = dict(zip(names, np.array(theta, dtype=float).T, strict=True))
        tensors = {name: torch.from_numpy(values.copy()) for name, values in column.items()}
        depths, slopes = (of(tensors).numpy() for of in (self.dust.depth, self.dust.slope))
        strength = column.get("line_strength", np.ones(len(theta)))[:, None, None]
        mass = self.history.weights(self.log_age, column) * 10 ** column["logmass"][:, None]
        nodes = torch.from_numpy(self.logzsol)
        cell, right = (each.numpy() for each in interval(nodes, tensors["logzsol"]))
        flux = np.zeros((len(theta), self.pixels))
        for group, depth, slope in zip(self.groups, depths, slopes, strict=True):
            moments = np.zeros((len(theta), 3, self.pixels))
            for i in np.unique(cell):
                rows = cell == i
                for node, part in ((i, 1 - right[rows]), (i + 1, right[rows])):
                    weights = (mass[rows] * group) * part[:, None]
                    for name, factor in (("continuum", 1.0), ("lines", strength[rows])):
                        table = self.tables[name][node].astype(float)
                        moments[rows] += factor * np.tensordot(weights, table, 1)
            series = moments[:, 0] + slope * (moments[:, 1] + slope * moments[:, 2])
            flux += series * np.exp(-depth)
        return flux

    def _chunks(self, theta: Tensor, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """Columns of the rows that are worked on at once."""
        for part in theta.to(self.k.dtype).split(CHUNK):
            yield dict(zip(names, part.T.contiguous().unbind(), strict=True))

    def _factors(self, column: Mapping[str, Tensor], of_dust: Tensor) -> Tensor:
        """Of all terms, from those that dust gives to both parts of a group, shape (terms, n)."""
        strength = column.get("line_strength")
        of_lines = of_dust if strength is None else of_dust * strength
        return torch.stack([of_dust, of_lines], 1).flatten(0, 2)

    def _weighted(self, column: Mapping[str, Tensor], factors: Tensor, layout: Layout) -> Tensor:
        """Coefficients of the basis, shape (n, sum of ranks)."""
        if self.is_compiled(column["logzsol"]):
            return self._mixed(column, factors, layout)
        bags, weights = self.neighbours(column)
        coefficients = torch.nn.functional.embedding_bag(
            bags, self.coefficients, mode="sum", per_sample_weights=weights
        )
        return layout.weighted(coefficients, factors)

    def _mixed(self, column: Mapping[str, Tensor], factors: Tensor, layout: Layout) -> Tensor:
        """The same in one pass, without gradients."""
        index, share = self.history.mixture(self.log_age, column)
        inputs = index, share, column["logzsol"], factors
        weighted = np.empty((len(share), layout.ranks.sum()), np.float32)
        mix(
            *(values.detach().contiguous().numpy() for values in inputs),
            self.coefficients.numpy(), self.metallicity.numpy(), layout.starts, layout.ranks,
            weighted,
        )  # fmt: skip
        return torch.from_numpy(weighted)

    def neighbours(self, column: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """How spectra are mixed: rows of a table by metallicity (of `nodes`) and component.

        Arguments:
            column: values of each of theta's columns, shape (n,).

        Returns:
            Row numbers, those of a metallicity following each other, and weights, shapes (n, 2 m).
        """
        cell, right = interval(self.metallicity, column["logzsol"].contiguous())
        right = right[:, None]
        index, share = self.history.mixture(self.log_age, column)
        components = len(self.coefficients) // len(self.metallicity)
        bags = (cell * components)[:, None] + index
        return torch.cat([bags, bags + components], 1), torch.cat(
            [share * (1 - right), share * right], 1
        )

    def _keep(self, name: str, values: np.ndarray | Tensor) -> None:
        self.register_buffer(name, torch.as_tensor(values).float(), persistent=False)


def check_accuracy(path: str, accuracy: Mapping[str, float]) -> None:
    """Refuse a table whose error was not measured or is too large.

    Arguments:
        path: of the table, for the message.
        accuracy: |d ln flux| against direct predictions, as the table's attribute has it.

    Raises:
        ValueError: no figures, or larger than ACCURACY.
    """
    for name, largest in ACCURACY.items():
        if not accuracy.get(name, np.inf) <= largest:
            raise BadInput(
                f"{path}: |d ln flux| against Prospector has {name} "
                f"{accuracy.get(name, 'not measured')}, allowed is {largest:.0e}: run "
                "jobs/tabulate.py to the end, with the prior that the table is for."
            )


def nodes_inside(logzsol: np.ndarray, prior: Prior) -> np.ndarray:
    """Numbers of a table's nodes that bracket the prior's metallicities.

    Arguments:
        logzsol: of the table, ascending, shape (logzsol,).
        prior: gives the range.

    Raises:
        BadInput: the prior reaches beyond the table.
    """
    low, high = prior.columns["logzsol"].low, prior.columns["logzsol"].high
    if low < logzsol[0] - 1e-9 or high > logzsol[-1] + 1e-9:
        raise BadInput(
            f"prior of logzsol spans {low} to {high}, the table {logzsol[0]:.2f} to "
            f"{logzsol[-1]:.2f}: narrow the prior, or make a wider table with jobs/tabulate.py."
        )
    first = np.searchsorted(logzsol, low + 1e-9, side="right") - 1
    last = np.searchsorted(logzsol, high - 1e-9)
    return np.arange(first, last + 1)


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]
