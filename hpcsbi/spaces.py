"""Coordinates in which a posterior is sampled: each maps its points z to theta and a prior density.

The posterior of theta lies on a thin curved ridge (age, tau, mass) that ends at the prior's edges.
The base space of a flow straightens it; probits have no edges; the box is what most codes use.
"""

import math
from typing import Protocol

import numpy as np
from scipy.special import ndtr, ndtri

from hpcsbi.posterior import Posterior
from hpcsbi.prior import Prior

__all__ = ["Base", "Box", "Probit", "Space"]


class Space(Protocol):
    """Coordinates of one object.

    Arguments:
        prior: the prior.
        log_volume: ln of its volume in `Prior.coordinates`.
    """

    prior: Prior
    log_volume: float

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Theta in its own units, shape (n, n_theta), and ln of the prior's density in z, (n,).

        The density is -inf outside the prior.
        """


class Base:
    """Base space of a flow given one spectrum: a perfect flow makes the posterior N(0, 1) in it.

    Arguments:
        posterior: the flow.
        flux, ivar: the spectrum, shape (pixels,).
        zred: redshift, for priors that bound tage by the age of the Universe.
    """

    def __init__(
        self, posterior: Posterior, flux: np.ndarray, ivar: np.ndarray, zred: float | None = None
    ) -> None:
        self.prior, self.zred = posterior.prior, zred
        self.log_volume = _log_volume(self.prior, zred)
        self.mapping = posterior.mapping(flux[None], ivar[None])

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Space`."""
        theta, log_jacobian = (values[0] for values in self.mapping(z[None]))
        inside = self.prior.support(theta, self.zred) & np.isfinite(log_jacobian)
        log_density = log_jacobian.astype(float) - self.log_volume
        return theta.astype(float), np.where(inside, log_density, -np.inf)


class Probit:
    """Each coordinate of the prior as a normal deviate: the prior is N(0, 1), without edges.

    Arguments:
        prior: the prior.
        zred: see `Base`.
    """

    def __init__(self, prior: Prior, zred: float | None = None) -> None:
        self.prior, self.low = prior, prior.low
        self.width = prior.upper(zred) - prior.low
        self.log_volume = _log_volume(prior, zred)

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Space`."""
        log_density = -0.5 * (z**2).sum(-1) - z.shape[-1] * math.log(math.sqrt(2 * math.pi))
        return self.prior.theta(self.low + self.width * ndtr(z)), log_density

    def points(self, theta: np.ndarray) -> np.ndarray:
        """Inverse: z of theta inside the prior, shape (n, n_theta)."""
        share = (self.prior.coordinates(theta) - self.low) / self.width
        return ndtri(share.clip(1e-9, 1 - 1e-9))


class Box:
    """`Prior.coordinates` themselves.

    Arguments:
        prior: the prior.
        zred: see `Base`.
    """

    def __init__(self, prior: Prior, zred: float | None = None) -> None:
        self.prior, self.zred = prior, zred
        self.log_volume = _log_volume(prior, zred)

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Space`."""
        high = self.prior.upper(self.zred)
        inside = ((z >= self.prior.low) & (z <= high)).all(-1)
        theta = self.prior.theta(z.clip(self.prior.low, high))
        return theta, np.where(inside, -self.log_volume, -np.inf)

    def points(self, theta: np.ndarray) -> np.ndarray:
        """Inverse: z of theta, shape (n, n_theta)."""
        return self.prior.coordinates(theta)


def _log_volume(prior: Prior, zred: float | None) -> float:
    """ln of the volume of the prior in its coordinates."""
    return float(np.log(prior.upper(zred) - prior.low).sum())
