"""Coordinates in which a posterior is sampled: each maps its points z to the prior's coordinates.

The posterior of theta lies on a thin curved ridge (age, tau, mass, dust) that ends at the prior's
edges. The base space of a flow straightens it; without a flow amplitude and dust of the spectrum
do, beside probits, which have no edges; the box is what most codes use.
"""

import math
from typing import Protocol

import numpy as np
import torch
from scipy.special import ndtr, ndtri

from hpcsbi.inference.sampling.draws import ToCoordinates
from hpcsbi.inference.summary.projection import fit_reference, reference_spectrum
from hpcsbi.kernels.logarithm import project_log
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["Anchored", "Box", "FlowBase", "Space"]

LN10 = math.log(10)
SQRT_2PI = math.log(math.sqrt(2 * math.pi))
SYMMETRIES = ("logmass", "dust2")  # columns that multiply a spectrum by a known curve
SHAPES = 1000  # prior draws whose mean shape is the reference
FLOOR = 0.02  # least error of a pixel, relative, in the weights of the anchor
LOOSE = {"logmass": 0.03, "dust2": 0.1}  # what shapes that are not the mean add to the widths
PART = 1024  # spectra worked on at once: they stay in the cache


class Space(Protocol):
    """Coordinates of one object.

    Arguments:
        prior: the prior.
        zred: redshift, for priors that bound ages by that of the Universe, or give them.
    """

    prior: Prior
    zred: float | None

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`Prior.coordinates`, shape (n, n_theta), and ln of the prior's density in z, (n,).

        The density is -inf outside the prior, where the coordinates mean nothing.

        Arguments:
            z: points, shape (n, inferred columns).
        """


class FlowBase:
    """Base space of a flow given one spectrum: a perfect flow makes the posterior N(0, 1) in it.

    Arguments:
        prior, zred: see `Space`.
        mapping: of the flow, `posterior.mapping(posterior.conditions(batch))`.
    """

    def __init__(self, prior: Prior, mapping: ToCoordinates, zred: float | None) -> None:
        self.prior, self.mapping, self.zred = prior, mapping, zred

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Space`."""
        coordinates, log_jacobian = (values[0] for values in self.mapping(z[None]))
        log_density = log_jacobian.astype(float) + self.prior.log_density(coordinates, self.zred)
        return coordinates, np.where(np.isfinite(log_density), log_density, -np.inf)


class Anchored:
    """Amplitude and dust of the *spectrum*, straight histories, and scores of everything else.

    The galaxy's mass and dust trade against its age and metallicity along a thin curved ridge; the
    level and the reddening of its spectrum do not, for the data fix them. So logmass and dust2 are
    measured from what least squares, with the spectrum's own weights, finds in it, against what it
    finds in a spectrum of one solar mass without dust and with the other columns. That depends on
    the other columns only, so the Jacobian does not depend on it; nothing trained takes part.
    The columns of a history go by the straight coordinates of its family, unless one of them is
    given; all others by the normal scores of their prior: probits of a flat one.

    Arguments:
        prior: the prior.
        ssp: the table engine.
        batch: the spectrum, one.

    References:
        `flow_coordinates.Representation` has the same amplitude and dust, with equal weights.
    """

    def __init__(self, prior: Prior, ssp: Ssp, batch: Batch) -> None:
        self.prior, self.ssp, self.low = prior, ssp, prior.low
        self.zred = batch.only_zred
        self.high, self.given = prior.upper(self.zred), prior.given.at(self.zred)
        columns = list(prior.names)
        named = [name for name in SYMMETRIES if name in columns]
        free = [name for name in named if name in prior.inferred_names]
        curved = [] if {*ssp.history.curved} & {*prior.given.names} else ssp.history.curved
        self.free = np.array([columns.index(name) for name in free], dtype=int)
        self.history = np.array([columns.index(name) for name in curved], dtype=int)
        self.hard = np.append(self.history, self.free)
        self.boxed = np.setdiff1d(np.flatnonzero(prior.inferred), self.hard)
        unit = np.random.default_rng(0).random((SHAPES, len(columns)))
        shapes = prior.from_unit(unit, 1 - unit, self.high)
        shapes[:, ~prior.inferred] = self.given
        self.centre, self.scale = np.zeros(len(columns)), np.ones(len(columns))
        if len(self.history):
            straight = ssp.history.straight(prior.theta(shapes)[:, self.history])
            self.centre[self.history] = straight.mean(0)
            self.scale[self.history] = straight.std(0)
        if free:
            curve = ssp.k.double().numpy()
            slopes = {"logmass": np.full_like(curve, LN10), "dust2": -curve}
            # Of a dust2 that is fixed, too: the anchor's spectra have no dust.
            design = np.stack([slopes[name] for name in named], axis=1)
            measured = self._measure(batch.flux[0], batch.ivar[0], design, named, shapes)
            kept = [named.index(name) for name in free]
            self.centre[self.free], self.scale[self.free] = (each[kept] for each in measured)
            self.onto = self.onto[kept]
        self.prior_of_boxed = _part(prior, self.boxed)
        self.prior_of_hard = _part(prior, self.hard)
        volume = prior.volumes(self.high)[self.hard]
        self.log_scale = np.log(self.scale).sum() - np.log(volume).sum()

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Space`."""
        z = self.prior.given.join(z, self.given)
        boxed, history, free = self.boxed, self.history, self.free
        low, high, scores = self.low[boxed], self.high[boxed], z[:, boxed]
        within = self.prior_of_boxed.from_unit(ndtr(scores), ndtr(-scores), high)
        coordinates = z.copy()  # the given columns are what they are
        coordinates[:, boxed] = within.clip(low, high)
        log_density = self.log_scale - 0.5 * (z[:, boxed] ** 2).sum(1) - len(boxed) * SQRT_2PI
        y = self.centre + self.scale * z
        inside = np.ones(len(z), dtype=bool)
        if len(history):
            theta, log_slope = self.ssp.history.theta(y[:, history])
            log = self.prior.log[history]
            coordinates[:, history] = np.where(log, np.log10(theta), theta)
            log_density += log_slope - np.where(log, np.log(LN10 * theta), 0.0).sum(1)
            inside = self._within(coordinates, history)
            coordinates[~inside] = (self.low + self.high) / 2  # anything that the table has
        if len(free):
            coordinates[:, free] = y[:, free] - self._anchor(coordinates)
            inside &= self._within(coordinates, free)
        log_density += self.prior_of_hard.log_shapes(coordinates[:, self.hard]).sum(1)
        return coordinates, np.where(inside, log_density, -np.inf)

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        """Inverse: z of coordinates inside the prior, shape (n, inferred columns)."""
        theta = self.prior.theta(coordinates)
        z = ndtri(self.prior.to_unit(coordinates, self.high).clip(1e-9, 1 - 1e-9))
        y = coordinates.copy()
        if len(self.history):
            y[:, self.history] = self.ssp.history.straight(np.asarray(theta)[:, self.history])
        if len(self.free):
            y[:, self.free] += self._anchor(coordinates)
        z[:, self.hard] = ((y - self.centre) / self.scale)[:, self.hard]
        return z[:, self.prior.inferred]

    def _within(self, coordinates: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """True where these columns are inside the prior, shape (n,)."""
        some, low, high = coordinates[:, columns], self.low[columns], self.high[columns]
        return ((some >= low) & (some <= high)).all(1)

    def _measure(
        self,
        flux: np.ndarray,
        ivar: np.ndarray,
        design: np.ndarray,
        named: list[str],
        coordinates: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Amplitude and dust of the spectrum, and how well they are known, (columns,) each.

        A reference of the mean shape of the prior's spectra is fitted first, as in `Projection`;
        what it misses is projected with the weights that the chain's anchor then has as well.
        """
        coordinates = coordinates.copy()
        coordinates[:, self.free] = 0.0
        shapes = np.log(np.maximum(self._bare(coordinates), 1e-30))
        mean = (shapes - shapes @ np.linalg.pinv(design).T @ design.T).mean(0)
        spectrum = [torch.tensor(np.where(ivar > 0, a, 0.0))[None].double() for a in (flux, ivar)]
        fixed = torch.tensor(mean), self.ssp.k.double()
        fit = fit_reference(*spectrum, *fixed)
        reference = reference_spectrum(*fit, *fixed)[0].numpy()
        variance = np.where(ivar > 0, 1 / np.maximum(ivar * reference**2, 1e-20), np.inf)
        weight = 1 / (variance + FLOOR**2)
        covariance = np.linalg.inv((design.T * weight) @ design)
        self.onto = (covariance @ (design.T * weight)).astype(np.float32)
        with np.errstate(invalid="ignore"):
            rest = np.where(ivar > 0, flux / reference - 1, 0.0)
        log_level, dust = (float(value[0]) for value in fit)
        whole = {"logmass": log_level / LN10, "dust2": dust}
        centre = np.array([whole[name] for name in named]) + self.onto @ (mean + rest)
        return centre, np.sqrt(np.diagonal(covariance) + np.array([LOOSE[n] for n in named]) ** 2)

    def _anchor(self, coordinates: np.ndarray) -> np.ndarray:
        """Amplitude and dust of bare spectra of the other columns, shape (n, columns)."""
        coordinates = coordinates.copy()
        coordinates[:, self.free] = 0.0
        anchor = np.empty((len(coordinates), len(self.free)), np.float32)
        for start in range(0, len(coordinates), PART):
            rows = slice(start, start + PART)
            project_log(self._bare(coordinates[rows]), self.onto, anchor[rows])
        return anchor.astype(float)

    @torch.no_grad()
    def _bare(self, coordinates: np.ndarray) -> np.ndarray:
        """Spectra of one solar mass without dust, float32, shape (n, pixels)."""
        theta = torch.tensor(self.prior.theta(coordinates), dtype=torch.float32)
        return self.ssp.dustless(theta, self.prior.names).numpy()


class Box:
    """`Prior.coordinates` themselves, of the inferred columns.

    Arguments:
        prior: the prior.
        zred: redshift, for priors that bound ages by that of the Universe, or give them.
    """

    def __init__(self, prior: Prior, zred: float | None = None) -> None:
        self.prior, self.zred, self.given = prior, zred, prior.given.at(zred)

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Space`."""
        coordinates = self.prior.given.join(z, self.given)
        return coordinates, self.prior.log_density(coordinates, self.zred)


def _part(prior: Prior, columns: np.ndarray) -> Prior:
    """The prior of some columns."""
    names = [prior.names[i] for i in columns]
    return Prior({name: prior.columns[name] for name in names}, prior.bound_age)
