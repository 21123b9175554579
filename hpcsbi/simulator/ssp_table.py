"""The table: theta -> flux for whole batches, from SSPs computed once.

A spectrum is linear in the SSPs: 10^logmass exp(-dust2 k) sum_i w_i(history) SSP_i(logzsol). The
engine keeps a small basis of composite spectra and the coefficients of the components that a family
of histories is mixed of, so that a batch is one gather and one matrix product.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hpcsbi.errors import BadInput
from hpcsbi.kernels.table import mix
from hpcsbi.simulator.histories import History, family_of
from hpcsbi.simulator.interpolation import interval
from hpcsbi.simulator.physics import check_names
from hpcsbi.simulator.prior import Prior
from hpcsbi.simulator.ssp_basis import RANKS, composites

__all__ = ["ACCURACY", "ARRAYS", "NOTICE", "Ssp", "check_accuracy", "nodes_inside"]

NOTICE = (
    "Made with a demonstration table of stellar populations that is not the FSPS data release: "
    "good for trying and testing, not for science. Set SPS_HOME and run jobs/tabulate.py."
)
ARRAYS = ("continuum", "lines", "logzsol", "log_age", "wave", "dust_curve")
ACCURACY = {"median": 1e-4, "p99": 5e-3}  # largest |d ln flux| against direct predictions
DUSTLESS = {name: (ranks[0], 0, 0) for name, ranks in RANKS.items()}
CHUNK = 4096  # larger batches fall out of the cache


class Ssp(torch.nn.Module):
    """The engine for one grid of pixels, over the ranges of one prior.

    Arguments:
        continuum, lines: L_sun / Angstrom / M_sun formed and dust moments,
            shape (logzsol, ages, 3, pixels).
        logzsol: metallicities, ascending, shape (logzsol,).
        log_age: log10 of age in years, ascending, shape (ages,).
        wave: pixel centres, Angstrom, shape (pixels,).
        dust_curve: optical depth for dust2 = 1, shape (pixels,).
        prior: gives the family of histories and the ranges of its columns and of logzsol; outside
            them theta is clamped.

    Raises:
        ValueError: arrays that do not fit each other, or a prior that reaches beyond the table.

    Example:
        engine = Ssp(**{name: store.read(name) for name in ARRAYS}, prior=prior)
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
    ) -> None:
        super().__init__()
        shape = (len(logzsol), len(log_age), 3, len(wave))
        for name, array in (("continuum", continuum), ("lines", lines)):
            if array.shape != shape or not np.isfinite(array).all():
                raise BadInput(f"table: {name} of shape {array.shape} is not {shape} and finite.")
        check_names(prior.names)
        self.nodes = inside = nodes_inside(logzsol, prior)
        self.log_age, self.logzsol = np.asarray(log_age, float), np.asarray(logzsol, float)[inside]
        self.wave, self.pixels = np.asarray(wave, float), len(wave)
        self.tables = {"continuum": continuum[inside], "lines": lines[inside]}
        self.history: History = family_of(prior.names)(prior.columns)
        self._keep("k", dust_curve)
        self._keep("metallicity", self.logzsol)
        components = self.history.components(self.log_age)
        basis, coefficients = composites(components, self.tables)
        self._keep("basis", basis)
        parts = basis.split([sum(ranks) for ranks in RANKS.values()])
        first = [part[: ranks[0]] for part, ranks in zip(parts, RANKS.values(), strict=True)]
        self._keep("dustless_basis", torch.cat(first))
        self._keep("coefficients", coefficients)

    def flux(self, theta: Tensor, names: Sequence[str]) -> Tensor:
        """Spectra of a batch; differentiable.

        Arguments:
            theta: parameters in their own units, shape (n, n_theta).
            names: theta's columns; without line_strength the lines are as FSPS draws them.

        Returns:
            L_sun / Angstrom of 10^logmass solar masses formed, shape (n, pixels), float32 (float64
            for an engine that was turned into it).
        """
        check_names(names)
        column = dict(zip(names, theta.to(self.k.dtype).unbind(1), strict=True))
        # The mass in float64: the rounding of a large exponent would move every pixel.
        mass = (10.0 ** column["logmass"].double()).to(self.k.dtype)
        scale = mass[:, None] * torch.exp(-column["dust2"][:, None] * self.k)
        return self.bare(theta, names) * scale

    def bare(self, theta: Tensor, names: Sequence[str]) -> Tensor:
        """Spectra of one solar mass before the screen exp(-dust2 k), smoothed behind it.

        Arguments:
            theta, names: see `flux`; logmass does not matter.

        Returns:
            shape (n, pixels), which only the screen makes a `flux`: smoothing and dust do not
            commute, so this depends on dust2.
        """
        return self._bare(theta, tuple(names), RANKS, self.basis)

    def dustless(self, theta: Tensor, names: Sequence[str]) -> Tensor:
        """`bare` for dust2 = 0, whatever theta says of it, in less time.

        Arguments:
            theta, names: see `bare`.

        Returns:
            shape (n, pixels).
        """
        return self._bare(theta, tuple(names), DUSTLESS, self.dustless_basis)

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
        check_names(names)
        column = dict(zip(names, np.asarray(theta, dtype=float).T, strict=True))
        weights = self.history.weights(self.log_age, column)
        strength = column.get("line_strength", np.ones(len(theta)))
        cell, right = _cell(self.logzsol, column["logzsol"])
        moments = np.empty((len(theta), 3, self.pixels))
        for i in np.unique(cell):
            rows = cell == i
            for step, part in ((0, 1 - right[rows]), (1, right[rows])):
                table = {name: array[i + step] for name, array in self.tables.items()}
                w = weights[rows]
                sums = np.tensordot(w, table["continuum"].astype(float), 1)
                sums += strength[rows, None, None] * np.tensordot(
                    w, table["lines"].astype(float), 1
                )
                moments[rows] = part[:, None, None] * sums + (moments[rows] if step else 0)
        return _screen_exact(moments, column["dust2"], column["logmass"], self.k.double().numpy())

    def _bare(
        self, theta: Tensor, names: tuple[str, ...], ranks: Mapping[str, tuple], basis: Tensor
    ) -> Tensor:
        spectra = []
        for part in theta.to(self.k.dtype).split(CHUNK):
            column = dict(zip(names, part.unbind(1), strict=True))
            coefficients = self._compiled if self.is_compiled(part) else self._summed
            spectra.append(coefficients(column, ranks) @ basis)
        return torch.cat(spectra) if len(spectra) > 1 else spectra[0]

    def _compiled(self, column: dict[str, Tensor], ranks: Mapping[str, tuple]) -> Tensor:
        """Coefficients of the basis in one pass, shape (n, sum of ranks)."""
        index, share = self.history.mixture(self.log_age, column)
        strength = column.get("line_strength")
        strength = torch.ones_like(column["dust2"]) if strength is None else strength
        inputs = index, share, column["logzsol"], column["dust2"], strength
        ranks = np.array([*ranks["continuum"], *ranks["lines"]])
        coefficients = np.empty((len(share), ranks.sum()), np.float32)
        mix(
            *(values.detach().contiguous().numpy() for values in inputs),
            self.coefficients.numpy(), self.metallicity.numpy(), ranks, coefficients,
        )  # fmt: skip
        return torch.from_numpy(coefficients)

    def _summed(self, column: dict[str, Tensor], ranks: Mapping[str, tuple]) -> Tensor:
        """The same, differentiable and on any device."""
        bags, weights = self.neighbours(column)
        coefficients = torch.nn.functional.embedding_bag(
            bags, self.coefficients, mode="sum", per_sample_weights=weights
        )
        continuum, lines = coefficients.split([RANKS["continuum"][0], RANKS["lines"][0]], 1)
        if "line_strength" in column:
            lines = lines * column["line_strength"][:, None]
        t = column["dust2"][:, None]
        terms = [
            t**m * part[:, : ranks[name][m]]
            for name, part in (("continuum", continuum), ("lines", lines))
            for m in range(3)
        ]
        return torch.cat(terms, 1)

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


def _cell(nodes: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interval of each x and how far to the right it lies in it, clamped to the nodes."""
    cell = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, len(nodes) - 2)
    return cell, np.clip((x - nodes[cell]) / (nodes[cell + 1] - nodes[cell]), 0, 1)


def _screen_exact(
    moments: np.ndarray, dust2: np.ndarray, logmass: np.ndarray, k: np.ndarray
) -> np.ndarray:
    t = dust2[:, None]
    total = moments[:, 0] + t * (moments[:, 1] + t * moments[:, 2])
    return total * np.exp(-t * k) * 10 ** logmass[:, None]
