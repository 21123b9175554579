"""What fits.zarr holds of each object, and what of it goes into the catalogue."""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi.flags import Flag
from hpcsbi.inference.columns.catalogue_columns import published
from hpcsbi.inference.columns.line_excess import EXCESS, line_group_names
from hpcsbi.inference.columns.observed_lines import OBSERVED
from hpcsbi.inference.columns.row_checks import OF_DRAWS, P_VALUES
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.mcmc.chain import Chain, diagnose
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.schema import Schema

__all__ = [
    "ARRAYS",
    "METHODS",
    "OF_A_POSTERIOR",
    "SPECTRUM",
    "arrays_of",
    "chain_columns",
    "chain_indices",
    "columns_with_chains",
    "kept_draws",
    "names_along",
    "spaced_indices",
]

SPECTRUM = "spectrum"  # coordinate of fits.zarr: row of the spectra and the catalogue
OF_A_POSTERIOR = (
    "quantiles", "prior_share", "derived_quantiles", "derived_prior_share", *OBSERVED, "chi2",
    *P_VALUES,
)  # fmt: skip
METHODS = ("flow", "reweighted", "halves")  # what is compared with the chain; its own two halves

ARRAYS: Schema = {
    "id": (("row",), "string", ""),
    "zred": (("row",), "float64", ""),
    "samples": (("row", "draw", "parameter"), "float32", "draws of the chain"),
    "log_prob": (
        ("row", "draw"),
        "float64",
        "ln of likelihood times prior, in the prior's coordinates",
    ),
    "quantiles": (("row", "level", "parameter"), "float32", ""),
    "derived_quantiles": (("row", "level", "quantity"), "float32", "of what follows from theta"),
    "prior_share": (("row", "parameter"), "float32", "as in the catalogue"),
    "derived_prior_share": (("row", "quantity"), "float32", "as in the catalogue"),
    **OBSERVED,
    # NaN where a column is given, as all that compares columns with the chain
    "tau": (("row", "parameter"), "float32", "integrated autocorrelation time in steps"),
    "rhat": (("row", "parameter"), "float32", "split R-hat over the walkers"),
    "ess": (("row", "parameter"), "float32", "independent draws in the whole chain"),
    "n_steps": (("row",), "int32", "steps after burn-in; 0: not fitted"),
    "acceptance": (("row",), "float32", "share of moves accepted"),
    "converged": (("row",), "bool", "50 autocorrelation times, R-hat < 1.01"),
    "chi2": (("row",), "float32", "chi squared per valid pixel of the chain, floor included"),
    **{name: (("row",), "float32", "of the chain, as in the catalogue") for name in P_VALUES},
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
        "distance to the chain in its sd, in the prior's coordinates; of the chain's two halves",
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


def names_along(posterior: Posterior) -> dict[str, Sequence]:
    """Names and numbers along every dimension but rows and draws."""
    names = {"parameter": posterior.names, "quantity": posterior.derived.names}
    names |= line_group_names(posterior.likelihood)
    return names | {"level": [*QUANTILES.values()], "method": METHODS, "blend": [*BLENDS]}


def arrays_of(sizes: Mapping[str, int]) -> Schema:
    """The arrays that the chains of a flow have; there may be no groups of lines among the sizes.

    Arguments:
        sizes: dimension -> length.
    """
    return ARRAYS | (EXCESS if "line_group" in sizes else {})


def chain_columns(
    chain: Chain, prior: Prior, draws: int, zred: float | None = None
) -> dict[str, np.ndarray]:
    """Columns of one object that need its chain alone.

    Arguments:
        chain: at its end.
        prior: gives theta in its own units.
        draws: number of draws kept.
        zred: redshift, where a column is given by it.
    """
    convergence, join = diagnose(chain), prior.given.join
    flat = chain.past.reshape(-1, chain.past.shape[-1])
    theta = prior.theta(join(flat, prior.given.at(zred)), np.float32)
    chosen = chain_indices(*chain.past.shape[:2], draws)
    return {
        "samples": theta[chosen],
        "log_prob": chain.past_log_prob.reshape(-1)[chosen],
        "quantiles": np.quantile(theta, list(QUANTILES.values()), axis=0),
        "tau": join(convergence.tau, np.nan),
        "rhat": join(convergence.rhat, np.nan),
        "ess": join(convergence.ess, np.nan),
        "n_steps": chain.steps,
        "acceptance": convergence.acceptance,
        "converged": convergence.converged,
    }


def kept_draws(chain: Chain, draws: int) -> np.ndarray:
    """The draws that are kept of a chain, as in its past, shape (draws, n_dim)."""
    steps, walkers, n_dim = chain.past.shape
    return chain.past.reshape(-1, n_dim)[chain_indices(steps, walkers, draws)]


def columns_with_chains(
    columns: Mapping[str, np.ndarray],
    fits: Mapping[str, np.ndarray],
    along: Mapping[str, Sequence[str]],
) -> dict[str, np.ndarray]:
    """Columns of a catalogue, with what converged chains say.

    Flags about the spectrum and about how the flow drew stay; what says that there is no posterior,
    or an unchecked one, goes.

    Arguments:
        columns: those of the catalogue, which stay as they are.
        fits: arrays of the converged rows of fits.zarr.
        along: names of the parameters, and of the quantities and blends if the catalogue has any.
    """
    rows, n = fits["spectrum"], len(columns["flags"])
    columns = {name: np.array(values) for name, values in columns.items()}
    new = {}
    for name in (*OF_A_POSTERIOR, *(name for name in EXCESS if name in fits)):
        new |= published(name, fits[name], along)
    for name, values in new.items():
        columns[name][rows] = values
    columns["origin"] = np.array(columns.get("origin", ["flow"] * n), dtype=object)
    columns["origin"][rows] = "mcmc"
    columns["flags"][rows] &= ~int(OF_DRAWS | Flag.WEAK_WEIGHTS | Flag.NO_POSTERIOR)
    columns["flags"][rows] |= fits["flags"]
    return columns


def spaced_indices(n: int, wanted: int) -> np.ndarray:
    """Equally spaced indices, first and last among them."""
    return np.linspace(0, n - 1, wanted).astype(int)


def chain_indices(steps: int, walkers: int, wanted: int) -> np.ndarray:
    """Indices of a chain's draws, one step after the other, that depend on each other least.

    They are equally spaced along the walkers put end to end. Along the steps put end to end equal
    spaces meet the same few walkers again and again.

    Arguments:
        steps, walkers: shape of the chain.
        wanted: number of draws.
    """
    walker, step = np.divmod(spaced_indices(steps * walkers, wanted), steps)
    return np.sort(step * walkers + walker)
