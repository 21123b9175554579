"""What fits.zarr holds of each object: the chain, and how far the flow is from it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hpcsbi.certificate import QUANTILES, Certificate, certify
from hpcsbi.chain import Chain, diagnose
from hpcsbi.checks import posterior_flags, predicted
from hpcsbi.distances import c2st, wasserstein, width_ratio
from hpcsbi.flow import Draws, Posterior
from hpcsbi.likelihood import Likelihood
from hpcsbi.predictive import N_DRAWS, p_value

__all__ = [
    "ARRAYS",
    "CAP",
    "METHODS",
    "Object",
    "checked",
    "compared",
    "nothing",
    "of_chain",
    "weighted",
]

METHODS = ("flow", "reweighted", "halves")  # what is compared with the chain; its own two halves
CAP = 20  # draws of the flow made at most, in units of those wanted
RULERS = 50000  # points of the chain that distances look at
SHOWN = 1000  # draws of each that the classifier looks at

# name -> dimensions, type, and what it is.
ARRAYS = {
    "id": (("row",), "string", ""),
    "spectrum": (("row",), "int64", "row of the spectra and the catalogue"),
    "zred": (("row",), "float64", ""),
    "samples": (("row", "draw", "parameter"), "float32", "draws of the chain"),
    "log_prob": (
        ("row", "draw"),
        "float64",
        "ln of likelihood times prior, where the prior is flat",
    ),
    "quantiles": (("row", "level", "parameter"), "float32", ""),
    "tau": (("row", "parameter"), "float32", "integrated autocorrelation time in steps"),
    "rhat": (("row", "parameter"), "float32", "split R-hat over the walkers"),
    "ess": (("row", "parameter"), "float32", "independent draws in the whole chain"),
    "n_steps": (("row",), "int32", "steps after burn-in; 0: not fitted"),
    "acceptance": (("row",), "float32", "share of moves accepted"),
    "converged": (("row",), "bool", "50 autocorrelation times, R-hat < 1.01"),
    "chi2": (("row",), "float32", "chi squared per valid pixel of the chain, floor included"),
    "predictive_p": (("row",), "float32", "posterior predictive p-value of the chain"),
    "flags": (("row",), "int32", "those of the catalogue that depend on the posterior"),
    "flow_samples": (("row", "draw", "parameter"), "float32", "draws of the flow"),
    "reweighted_samples": (
        ("row", "draw", "parameter"),
        "float32",
        "weighted proposals made equal, NaN where their weights are weak",
    ),
    "wasserstein": (
        ("row", "method", "parameter"),
        "float32",
        "distance to the chain in its sd, where the prior is flat; of the chain's two halves",
    ),
    "width_ratio": (
        ("row", "method", "parameter"),
        "float32",
        "width from 16 to 84 % over the chain's; second half over first",
    ),
    "c2st": (("row", "method"), "float32", "accuracy of a classifier that looks; 0.5: it cannot"),
    "pareto_k": (
        ("row", "method"),
        "float32",
        "tail of the weights: of the flow's own draws; of those in the end",
    ),
    "weights_ess": (("row", "method"), "float32", "effective number of weighted draws"),
    "n_weights": (("row", "method"), "int32", "draws behind the weights"),
}


@dataclass(frozen=True)
class Object:
    """A spectrum: flux and ivar of shape (pixels,), redshift, and a seed of its own."""

    flux: np.ndarray
    ivar: np.ndarray
    zred: float
    seed: int

    @property
    def batch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """flux, ivar and zred with a first dimension of one."""
        return self.flux[None], self.ivar[None], np.array([self.zred])


def nothing(sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Columns of rows that are not fitted.

    Arguments:
        sizes: dimension -> length.
    """
    columns = {}
    for name, (dims, kind, _) in ARRAYS.items():
        kind = object if kind == "string" else kind
        empty = np.nan if np.dtype(kind).kind == "f" else 0
        columns[name] = np.full([sizes[dim] for dim in dims], empty, kind)
    return columns


def of_chain(chain: Chain, posterior: Posterior, draws: int) -> dict[str, np.ndarray]:
    """Columns of one object that need its chain alone.

    Arguments:
        chain: at its end.
        posterior: gives the prior.
        draws: number of draws kept.
    """
    found = diagnose(chain)
    coordinates = chain.past.reshape(-1, chain.past.shape[-1])
    theta = posterior.prior.theta(coordinates)
    chosen = _spread(len(theta), draws)
    return {
        "samples": theta[chosen],
        "log_prob": chain.past_log_prob.reshape(-1)[chosen],
        "quantiles": np.quantile(theta, list(QUANTILES.values()), axis=0),
        "tau": found.tau,
        "rhat": found.rhat,
        "ess": found.ess,
        "n_steps": chain.steps,
        "acceptance": found.acceptance,
        "converged": found.converged,
    }


def checked(
    samples: np.ndarray, posterior: Posterior, likelihood: Likelihood, seen: Object
) -> dict[str, np.ndarray]:
    """Columns chi2, predictive_p and flags of one object, made as `infer` makes them.

    Arguments:
        samples: draws of the chain, shape (draws, n_theta).
        posterior: gives prior and table.
        likelihood: its sigma is that of the p-value, as in a certificate.
        seen: the object.
    """
    flux, ivar, zred = seen.batch
    # Neighbours in the chain resemble each other, and the checks look at the first draws.
    order = _spread(len(samples), min(N_DRAWS, len(samples)))
    order = np.append(order, np.setdiff1d(np.arange(len(samples)), order))
    theta = samples[None, order].astype(np.float32)
    drawn = Draws(theta, np.zeros(theta.shape[:2]), np.array([len(samples)]), np.ones(1))
    chi2 = _chi2(likelihood, theta[:, :N_DRAWS], flux, ivar)
    p = p_value(chi2, int((ivar > 0).sum()))
    floor = None
    if "noise_floor" in posterior.names:
        floor = np.median(theta[..., posterior.names.index("noise_floor")], axis=1)
    return {
        "chi2": predicted(posterior, drawn, flux, ivar)["chi2"][0],
        "predictive_p": p,
        "flags": posterior_flags(posterior, drawn, np.array([p]), floor, zred)[0],
    }


def weighted(
    posterior: Posterior, likelihood: Likelihood, drawn: Draws, seen: Object
) -> tuple[Certificate, Certificate]:
    """Certificates of the flow's own draws, and after the rescue where these are weak.

    Arguments:
        posterior: the flow.
        likelihood: that of the chain.
        drawn: `posterior.sample` of the object.
        seen: the object.
    """
    flux, ivar, zred = seen.batch
    arguments = (posterior, likelihood, drawn, flux, ivar, zred, np.array([seen.seed]))
    levels = list(QUANTILES.values())
    own = certify(*arguments, levels, rescue=())
    return own, own if own.reweighted[0] else certify(*arguments, levels)


def compared(
    chain: Chain,
    posterior: Posterior,
    drawn: Draws | None,
    certificates: tuple[Certificate, Certificate] | None,
    draws: int,
) -> dict[str, np.ndarray]:
    """Columns of one object that compare the flow with the chain.

    Arguments:
        chain: at its end.
        posterior: the flow.
        drawn: its draws; None where it cannot be used.
        certificates: of these draws, see `weighted`; None where there are none.
        draws: number of draws kept.
    """
    prior, past = posterior.prior, chain.past.reshape(-1, chain.past.shape[-1])
    ruler = past[_spread(len(past), min(len(past), RULERS))]
    half = len(ruler) // 2
    sets = {"halves": (ruler[:half], ruler[half:], None, ruler[half:])}
    columns = {}
    if drawn is not None and drawn.kept[0] > 1 and certificates is not None:
        own, best = certificates
        theta = drawn.theta[0, : drawn.kept[0]]
        columns["flow_samples"] = _first(theta, draws)
        flow = prior.coordinates(theta)
        sets["flow"] = (ruler, flow, None, flow)
        if best.reweighted[0]:
            equal = best.draws.theta[0]
            columns["reweighted_samples"] = _first(equal, draws)
            proposals, weights = best.weighted[0]
            proposals = prior.coordinates(np.nan_to_num(proposals, nan=1.0))
            sets["reweighted"] = (ruler, proposals, weights, prior.coordinates(equal))
        columns |= _numbers(own, best)
    far = np.full((2, len(METHODS), past.shape[1]), np.nan)
    seen = np.full(len(METHODS), np.nan)
    for name, (ours, others, weights, equal) in sets.items():
        i = METHODS.index(name)
        far[:, i] = wasserstein(ours, others, weights), width_ratio(ours, others, weights)
        seen[i] = _told_apart(ours, equal)
    return columns | {"wasserstein": far[0], "width_ratio": far[1], "c2st": seen}


def _numbers(own: Certificate, best: Certificate) -> dict[str, np.ndarray]:
    """Tail, effective number and number of the weights, for each of METHODS."""
    columns = {"pareto_k": "pareto_k", "weights_ess": "ess", "n_weights": "n_weights"}
    empty = {"pareto_k": np.nan, "weights_ess": np.nan, "n_weights": 0}
    return {
        column: np.array([own.numbers[name][0], best.numbers[name][0], empty[column]])
        for column, name in columns.items()
    }


def _told_apart(ours: np.ndarray, others: np.ndarray) -> float:
    """`c2st` of as many draws of each, which keep their order."""
    n = min(SHOWN, len(ours), len(others))
    return c2st(ours[_spread(len(ours), n)], others[_spread(len(others), n)])


def _chi2(
    likelihood: Likelihood, theta: np.ndarray, flux: np.ndarray, ivar: np.ndarray
) -> np.ndarray:
    """Chi squared of draws of one object under the likelihood's own sigma, shape (draws,)."""
    with torch.no_grad():
        arguments = (torch.tensor(one, dtype=torch.float32) for one in (flux, ivar, theta))
        return likelihood.evaluate(*arguments)[1][0].numpy()


def _spread(n: int, wanted: int) -> np.ndarray:
    """Equally spaced indices, first and last among them."""
    return np.linspace(0, n - 1, wanted).astype(int)


def _first(theta: np.ndarray, draws: int) -> np.ndarray:
    """So many draws, NaN past the last, shape (draws, n_theta)."""
    padded = np.full((draws, theta.shape[1]), np.nan, np.float32)
    padded[: len(theta)] = theta[:draws]
    return padded
