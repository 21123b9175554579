"""The flow: density of theta given a spectrum, and the posterior that draws from it.

Two networks: the masked autoregressive flow of the paper, as `sbi` builds it, and the wider and
shallower one of zuko that reaches more in the same time.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from hpcsbi import representation as representations
from hpcsbi.grid import Grid
from hpcsbi.prior import Prior
from hpcsbi.sampler import Inverse
from hpcsbi.ssp import Ssp

__all__ = ["Draws", "Flow", "Posterior", "build_network"]

NETWORKS = ("sbi_maf", "zuko_maf")
OBJECTS = 16  # spectra drawn for at once


@dataclass(frozen=True)
class Flow:
    """Which network.

    Arguments:
        network: "sbi_maf" (the paper's: one hidden width per transform, tanh) or "zuko_maf"
            (two hidden layers per transform, ReLU).
        hidden: hidden units of a layer.
        transforms: number of autoregressive transforms.
    """

    network: str = "zuko_maf"
    hidden: int = 128
    transforms: int = 5

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(
                f"flow.network is {self.network!r}: choose from {', '.join(NETWORKS)}."
            )
        if self.hidden < 2 or self.transforms < 1:
            raise ValueError(
                f"flow.hidden={self.hidden}, flow.transforms={self.transforms}: at least 2 and 1."
            )


class _ZukoMaf(torch.nn.Module):
    def __init__(self, flow: Flow, n_theta: int, n_context: int) -> None:
        super().__init__()
        import zuko

        self.maf = zuko.flows.MAF(
            n_theta,
            n_context,
            transforms=flow.transforms,
            randperm=True,
            hidden_features=[flow.hidden] * 2,
        )

    def log_prob(self, u: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.maf(context).log_prob(u)

    def inverse(self) -> Inverse:
        """The map from base draws and context to u and log |du / dz|, with the weights of now."""
        return Inverse(self.maf)


class _SbiMaf(torch.nn.Module):
    def __init__(self, flow: Flow, n_theta: int, n_context: int) -> None:
        super().__init__()
        from sbi.neural_nets import posterior_nn

        build = posterior_nn(
            "maf",
            hidden_features=flow.hidden,
            num_transforms=flow.transforms,
            z_score_theta="none",
            z_score_x="none",
        )
        self.maf = build(torch.randn(100, n_theta), torch.randn(100, n_context)).net

    def log_prob(self, u: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.maf.log_prob(u, context)

    def inverse(self) -> Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        return self._invert

    def _invert(self, z: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shape = z.shape
        context = context.expand(*shape[:-1], -1).reshape(-1, context.shape[-1])
        u, log_det = self.maf._transform.inverse(z.reshape(-1, shape[-1]), context)
        return u.reshape(shape), log_det.reshape(shape[:-1])


def build_network(flow: Flow, n_theta: int, n_context: int, seed: int) -> torch.nn.Module:
    """The network with its first weights, a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind = {"zuko_maf": _ZukoMaf, "sbi_maf": _SbiMaf}[flow.network]
        return kind(flow, n_theta, n_context)


@dataclass(frozen=True)
class Draws:
    """Draws from the posteriors of several spectra.

    Arguments:
        theta: draws in theta's own units, NaN past `kept`, shape (objects, n, n_theta).
        log_prob: their log density in `Prior.coordinates`, before the box is cut out of it.
        kept: number of draws inside the prior, at most n, shape (objects,).
        acceptance: share of all draws that lie inside the prior, shape (objects,).
    """

    theta: np.ndarray
    log_prob: np.ndarray
    kept: np.ndarray
    acceptance: np.ndarray


class Posterior:
    """A trained flow with its representation and prior.

    Arguments:
        settings: everything that made the flow, with the settings upstream of it.
        tensors: weights ("network.*") and fitted numbers ("representation.*").
        notice: the sentence that products of a demonstration table carry, or "".
        ssp: the table engine that the representation was fitted with, if it was.
    """

    def __init__(
        self,
        settings: dict,
        tensors: Mapping[str, torch.Tensor],
        notice: str = "",
        ssp: Ssp | None = None,
    ) -> None:
        self.settings, self.notice, self.ssp = settings, notice, ssp
        simulations = settings["training"]["simulations"]
        self.prior = Prior(**simulations["prior"])
        self.grid = Grid(**simulations["grid"])
        self.representation = representations.build(
            settings["representation"], self.prior.names, _under("representation.", tensors), ssp
        )
        self.network = build_network(
            Flow(**settings["flow"]), len(self.prior.names), self.representation.n_context, 0
        )
        self.network.load_state_dict(_under("network.", tensors))
        self.network.eval()
        self.invert = self.network.inverse()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of theta's columns."""
        return self.prior.names

    def usable(self, flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
        """True for spectra that have what the representation needs, shape (n,)."""
        return self.representation.usable(torch.from_numpy(flux), torch.from_numpy(ivar)).numpy()

    @torch.no_grad()
    def log_prob(self, theta: np.ndarray, flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
        """Log density of theta in `Prior.coordinates`, not renormalised to the box, shape (n,).

        Arguments:
            theta: one row per spectrum, own units, shape (n, n_theta).
            flux, ivar: spectra, shape (n, pixels).
        """
        coordinates = torch.as_tensor(self.prior.coordinates(theta), dtype=torch.float32)
        context, shift = self._context(flux, ivar)
        u, log_det = self.representation.to_flow(coordinates, shift)
        return (self.network.log_prob(u, context) + log_det).numpy()

    @torch.no_grad()
    def sample(
        self,
        flux: np.ndarray,
        ivar: np.ndarray,
        n: int,
        seeds: np.ndarray,
        zred: np.ndarray | None = None,
        cap: int = 20,
    ) -> Draws:
        """Draw n parameter vectors inside the prior for each spectrum.

        An object is drawn for until it has n, or cap * n draws were made; one hard object does
        not hold up the others. The numbers depend on the object's seed, not on its batch.

        Arguments:
            flux, ivar: `usable` spectra, shape (objects, pixels).
            n: draws wanted per object.
            seeds: one integer per object.
            zred: redshifts, for priors that bound tage by the age of the Universe.
            cap: draws made at most, in units of n.
        """
        context, shift = self._context(flux, ivar)
        parts = []
        for i in range(0, len(context), OBJECTS):
            rows = slice(i, i + 16)
            z = None if zred is None else np.asarray(zred)[rows]
            parts.append(self._sample(context[rows], shift[rows], n, seeds[rows], z, cap))
        return Draws(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _sample(
        self,
        context: torch.Tensor,
        shift: torch.Tensor,
        n: int,
        seeds: np.ndarray,
        zred: np.ndarray | None,
        cap: int,
    ) -> tuple[np.ndarray, ...]:
        objects, n_theta = len(context), len(self.names)
        generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        theta = np.full((objects, n, n_theta), np.nan, dtype=np.float32)
        log_prob = np.full((objects, n), np.nan, dtype=np.float32)
        kept, inside_all, tried = (np.zeros(objects, dtype=np.int64) for _ in range(3))
        for _ in range(cap):
            todo = np.flatnonzero(kept < n)
            if not len(todo):
                break
            z = torch.stack([torch.randn(n, n_theta, generator=generators[i]) for i in todo], 1)
            new, log_jacobian = self._transform(z, context[todo], shift[todo])
            log_q = (_log_normal(z) - log_jacobian).T.numpy()
            limit = None if zred is None else zred[todo, None]
            inside = self.prior.support(new, limit) & np.isfinite(log_q)
            for j, i in enumerate(todo):
                good = np.flatnonzero(inside[j])
                inside_all[i] += len(good)
                tried[i] += n
                good = good[: n - kept[i]]
                rows = slice(kept[i], kept[i] + len(good))
                theta[i, rows], log_prob[i, rows] = new[j, good], log_q[j, good]
                kept[i] += len(good)
        return theta, log_prob, kept.astype(np.int32), (inside_all / tried).astype(np.float32)

    def transform(
        self, z: np.ndarray, flux: np.ndarray, ivar: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Theta of points in the flow's base space, for proposals other than its standard normal.

        Arguments:
            z: base points, shape (objects, n, n_theta).
            flux, ivar: usable spectra, shape (objects, pixels).

        Returns:
            theta in its own units, which may lie outside the prior, shape (objects, n, n_theta);
            log |d coordinates / d z| with `Prior.coordinates`, shape (objects, n).
        """
        return self.mapping(flux, ivar)(z)

    @torch.no_grad()
    def mapping(
        self, flux: np.ndarray, ivar: np.ndarray
    ) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """`transform` of some spectra as a function of z, which looks at the spectra once."""
        context, shift = self._context(flux, ivar)

        @torch.no_grad()
        def mapped(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            base = torch.as_tensor(z, dtype=torch.float32).movedim(0, 1)
            theta, log_jacobian = self._transform(base, context, shift)
            return theta, log_jacobian.T.numpy()

        return mapped

    def _transform(
        self, z: torch.Tensor, context: torch.Tensor, shift: torch.Tensor
    ) -> tuple[np.ndarray, torch.Tensor]:
        """Theta, object first, and log |d coordinates / d z| of base draws z, its shape."""
        u, log_det = self.invert(z, context)
        coordinates, log_det_box = self.representation.from_flow(u, shift)
        theta = self.prior.theta(coordinates.movedim(0, 1).numpy()).astype(np.float32)
        # Columns that cannot leave the box may round out of it: 0.4 is above 0.4 in float32.
        boxed = np.where(self.representation.free.numpy(), theta, theta.clip(*self._box))
        return boxed, log_det - log_det_box

    @cached_property
    def _box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest float32 inside the prior's bounds, own units, shape (n_theta,)."""
        ends = []
        for bound, inwards in ((self.prior.low, 1), (self.prior.high, -1)):
            exact = self.prior.theta(bound)
            near = exact.astype(np.float32)
            inner = np.nextafter(near, np.float32(inwards * np.inf))
            ends.append(np.where((near - exact) * inwards < 0, inner, near))
        return ends[0], ends[1]

    def _context(self, flux: np.ndarray, ivar: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        flux, ivar = np.asarray(flux, dtype=np.float32), np.asarray(ivar, dtype=np.float32)
        flux = np.where(ivar > 0, flux, 0)  # NaN under a mask would reach every pixel
        # Copies in torch's own memory: products of unaligned ones differ in the last bit.
        return self.representation.context(torch.tensor(flux), torch.tensor(ivar))


def _log_normal(z: torch.Tensor) -> torch.Tensor:
    """Log density of the standard normal, shape (...)."""
    return -0.5 * (z**2).sum(-1) - z.shape[-1] * math.log(math.sqrt(2 * math.pi))


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): torch.as_tensor(values)
        for name, values in tensors.items()
        if name.startswith(prefix)
    }
