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
from hpcsbi.simulator.galaxy.attenuations import Attenuation, attenuation_of
from hpcsbi.simulator.galaxy.dust import check_curve
from hpcsbi.simulator.galaxy.histories import History, family_of
from hpcsbi.simulator.galaxy.kinematics import Kinematics
from hpcsbi.simulator.galaxy.physics import Physics, check_names
from hpcsbi.simulator.galaxy.terms import FURTHER, MOMENTS, Layout, Term, layout_of
from hpcsbi.simulator.table.nebular import nebular_of
from hpcsbi.simulator.table.pixel_dispersions import PixelDispersions
from hpcsbi.simulator.table.row_mixture import Mixture
from hpcsbi.simulator.table.ssp_arrays import nodes_inside
from hpcsbi.simulator.table.ssp_basis import band_fluxes, composites
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["CHUNK", "Ssp"]

PAPER = Physics()
CHUNK = 4096  # larger batches fall out of the cache
BY_PIXEL = 1 << 18  # pixels of a batch in which each has its dispersion: there are more arrays


class Ssp(torch.nn.Module):
    """The engine for one grid of pixels, over the ranges of one prior.

    Arguments:
        continuum, lines: L_sun / Angstrom / M_sun formed and dust moments,
            shape (logzsol, ages, 3, pixels), or more of them where dispersions are free.
        logzsol: metallicities, ascending, shape (logzsol,).
        log_age: log10 of age in years, ascending, shape (ages,).
        wave: pixel centres, Angstrom, shape (pixels,).
        dust_curve: what the moments are about, shape (pixels,).
        prior: gives the families of histories and dust and the ranges of their columns and of
            logzsol; outside them theta is clamped.
        physics: of the table.
        sigma_nodes: of the table, where dispersions are free, see `Kinematics`.
        gas: arrays of the table that free gas takes, see `nebular` and `direct_gas`.

    Raises:
        ValueError: arrays that do not fit each other or the physics, or a prior that reaches beyond
            the table.

    Example:
        engine = Ssp(**table_arrays(store, prior.names), prior=prior, physics=physics)
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
        sigma_nodes: np.ndarray | None = None,
        **gas: np.ndarray,
    ) -> None:
        super().__init__()
        self.kinematics = Kinematics(prior.columns, sigma_nodes)
        moments = MOMENTS + FURTHER * (self.kinematics.degrees - 1)
        shape = (len(logzsol), len(log_age), moments, len(wave))
        for name, array in (("continuum", continuum), ("lines", lines)):
            if array.shape != shape or not np.isfinite(array).all():
                raise BadInput(f"table: {name} of shape {array.shape} is not {shape} and finite.")
        check_names(prior.names, physics)
        check_curve(dust_curve, wave, physics.dust_type)
        self.nodes = inside = nodes_inside(logzsol, prior)
        self.log_age, self.logzsol = np.asarray(log_age, float), np.asarray(logzsol, float)[inside]
        self.wave, self.pixels = np.asarray(wave, float), len(wave)
        arrays = {"continuum": continuum, "lines": lines, **gas}
        self.nebular = nebular_of(prior.names)(logzsol, inside, arrays)
        self.physics, self.columns = physics, prior.columns
        self.history: History = family_of(prior.names)(prior.columns)
        dust = attenuation_of(physics.dust_type, prior.names)
        # Moments of points are zero.
        self.dust: Attenuation = dust(
            physics.dust_type, prior.columns, self.wave, pixels=bool(continuum[:, :, 1].any())
        ).float()
        self.groups = self.dust.groups(self.log_age)
        of_stars = [self.kinematics.ranks(of_group) for of_group in dust.ranks]
        ranks = self.nebular.ranks(of_stars, self.kinematics)
        self.terms = self.kinematics.terms(self.dust.terms)
        self.layout = layout_of(self.terms, ranks)
        self.by_pixel = PixelDispersions(self.kinematics, self.terms, ranks, self.wave)
        self._keep("k", dust_curve)
        self.mixture = Mixture(self.history, self.log_age, self.logzsol)
        components = self.history.components(self.log_age)
        tables, groups, terms = self.nebular.tables, self.groups, self.terms
        bases, coefficients = composites(components, tables, groups, terms, of_stars)
        self._keep("bands", band_fluxes(bases, coefficients, tables, of_stars))
        bases, coefficients = self.nebular.beside(
            bases, coefficients, components, groups, terms, ranks
        )
        basis = torch.cat(bases)
        self._keep("basis", basis)
        self._keep("coefficients", coefficients)
        self.rows = [len(of_group) for of_group in bases]
        rows = basis.split(self.layout.ranks.tolist())
        lasting = [row for row, order in zip(rows, self.layout.orders, strict=True) if not order]
        self._keep("dustless_basis", torch.cat(lasting))

    def flux(self, theta: Tensor, names: Sequence[str], instrument: Tensor | None = None) -> Tensor:
        """Spectra of a batch; differentiable.

        Arguments:
            theta: parameters in their own units, shape (n, n_theta).
            names: theta's columns; without line_strength the lines are as FSPS draws them.
            instrument: what the instrument adds to theta's dispersions, km/s, see
                `survey.line_spread`, shape (n, KNOTS); None: nothing.

        Returns:
            L_sun / Angstrom of 10^logmass solar masses formed, shape (n, pixels), float32 (float64
            for an engine that was turned into it).
        """
        check_names(names, self.physics)
        bare, depth = self.bare(theta, names, instrument)
        # The mass in float64: the rounding of a large exponent would move every pixel.
        logmass = theta[:, [*names].index("logmass")].to(self.k.dtype).double()
        mass = (10.0**logmass).to(self.k.dtype)[:, None]
        scale = mass if depth is None else mass * torch.exp(-depth[:, None] * self.k)
        return bare * scale

    def bare(
        self, theta: Tensor, names: Sequence[str], instrument: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Spectra of one solar mass before the screen that is common to all stars, if there is one.

        Arguments:
            theta, names, instrument: see `flux`; logmass does not matter.

        Returns:
            Spectra, smoothed behind the screen, which depend on the dust as smoothing and dust do
            not commute, shape (n, pixels), and the optical depth at which exp(-depth k) makes a
            `flux` of them, shape (n,); None where there is no such screen.
        """
        spectra, depths = [], []
        bases = self.basis.split(self.rows)
        for column, added in self._chunks(theta, names, instrument):
            of_dust = self.dust.factors(column)
            factors = self._factors(column, of_dust, self.terms, added is not None)
            weighted = self._weighted(column, factors, self.layout).split(self.rows, 1)
            groups = self.by_pixel.spectra(weighted, bases, column, added)
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
        without = [term for term in self.terms if not term.order]
        for column, _ in self._chunks(theta, names):
            without_dust = self.k.new_ones(len(self.groups), 1, len(column["logzsol"]))
            factors = self._factors(column, without_dust, without, False)
            spectra.append(self._weighted(column, factors, layout) @ self.dustless_basis)
        return _joined(spectra)

    def band_flux(self, theta: Tensor, names: Sequence[str]) -> Tensor:
        """Stars' mean flux in `BANDS` parts of the grid, for one solar mass without dust and lines.

        What a coordinate takes that is to follow a spectrum's level and colour, in a third of the
        time of `dustless`.

        Arguments:
            theta, names: see `bare`.

        Returns:
            shape (n, BANDS).
        """
        columns = (column for column, _ in self._chunks(theta, names))
        return _joined([self.mixture(self.bands, column) for column in columns])

    def is_compiled(self, theta: Tensor) -> bool:
        """True where compiled loops may do it, see `Mixture.is_compiled`."""
        return self.mixture.is_compiled(theta)

    def _chunks(
        self, theta: Tensor, names: Sequence[str], instrument: Tensor | None = None
    ) -> Iterator[tuple[dict[str, Tensor], Tensor | None]]:
        """Columns of the rows that are worked on at once, and what is added to their dispersion."""
        rows = CHUNK if instrument is None else max(BY_PIXEL // self.pixels, 1)
        parts = theta.to(self.k.dtype).split(rows)
        curves = [None] * len(parts) if instrument is None else instrument.split(rows)
        for part, curve in zip(parts, curves, strict=True):
            yield dict(zip(names, part.T.contiguous().unbind(), strict=True)), curve

    def _factors(
        self, column: Mapping[str, Tensor], of_dust: Tensor, terms: Sequence[Term], by_pixel: bool
    ) -> Tensor:
        """Of all terms, from those that dust gives to all parts of a group, shape (terms, n)."""
        strength = column.get("line_strength")
        others, of_lines = (
            self.kinematics.factors(of_dust, terms, column, lines, by_pixel)
            for lines in (False, True)
        )
        of_lines = of_lines if strength is None else of_lines * strength
        others = [others] * self.nebular.continua  # lines come last
        return torch.stack([*others, of_lines], 1).flatten(0, 2)

    def _weighted(self, column: Mapping[str, Tensor], factors: Tensor, layout: Layout) -> Tensor:
        """Coefficients of the basis, shape (n, sum of ranks)."""
        return self.nebular.weighted(self.mixture, self.coefficients, column, factors, layout)

    def _keep(self, name: str, values: np.ndarray | Tensor) -> None:
        self.register_buffer(name, torch.as_tensor(values).float(), persistent=False)


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]
