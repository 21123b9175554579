"""A catalogue of as many objects as one asks for, and its spectra: made of draws of the prior."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tiny

from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create

GRID, ModelFlux = Grid(), Callable[[np.ndarray], np.ndarray]
PRIOR = Prior(tiny.columns("survey"), bound_age=True)
FARTHEST = 0.4
HIGHEST = PRIOR.upper(np.array([FARTHEST]))[0]  # theta that is possible for all
DRAWS, NOISE, BUMP = 16, 0.03, 0.02  # of the flux; BUMP is what the model misses at 6700 Angstrom
WIDTH = np.array([-1.96, -1, 0, 1, 1.96])[:, None] * 0.02
KINDS = {
    "id": "string",
    "origin": "string",
    "n_draws": "int32",
    "n_weights": "int32",
    "flags": "int32",
    "zred": "float64",
}


def bump(wave: np.ndarray) -> np.ndarray:
    return BUMP * np.exp(-0.5 * ((wave - 6700) / 100) ** 2)


def make(folder: Path, rows: int, shard: int, model_flux: ModelFlux) -> dict[str, str]:
    """catalogue.zarr and spectra.zarr of so many objects, by name of the argument of `report`.

    Every hundredth has no posterior; the first has the worst p-value, the second the weakest
    weights; spectra have a bump that no theta makes.

    Arguments:
        folder: where they are written.
        rows, shard: objects, and objects in a shard.
        model_flux: makes spectra (n, pixels) of theta (n, n_theta), L_sun / Angstrom.
    """
    model = Model(PRIOR, GRID, Physics(), SurveyNoise()).settings()
    training = {"simulations": model, "noise": model["noise"]}
    settings = {"flow": {"training": training}, "draws": 100}
    stores = {}
    for name, at in (("catalogue", 0), ("spectra", 1)):
        first = next(_shards(min(rows, 2), 2, model_flux))[at]
        arrays = {
            each: Array(
                {"row": rows, **{f"{each}_{i}": n for i, n in enumerate(values.shape[1:])}},
                KINDS.get(each, "float32"),
            )
            for each, values in first.items()
        }
        beside = {"wave": Array({"wave": GRID.pixels}, "float64", values=GRID.wave)}
        own = settings if name == "catalogue" else {"survey": {"name": "sdss"}}
        arrays |= beside if name == "spectra" else {}
        stores[name] = create(folder / f"{name}.zarr", arrays, own, shard, {"notice": ""})
    for i, (catalogue, spectra) in enumerate(_shards(rows, shard, model_flux)):
        stores["catalogue"].write(i, **catalogue)
        stores["spectra"].write(i, **spectra)
    return {name: str(store.path) for name, store in stores.items()}


def _shards(rows: int, shard: int, model_flux: ModelFlux) -> Iterator[tuple[dict, dict]]:
    for start in range(0, rows, shard):
        n, rng = min(shard, rows - start), np.random.default_rng(start)
        number = start + np.arange(n)
        zred = rng.uniform(0.01, FARTHEST, n)
        theta = PRIOR.sample(n, rng)
        theta[:, PRIOR.names.index("logmass")] = rng.normal(10.5, 0.5, n)
        theta[:, PRIOR.names.index("tage")] *= 0.5
        coordinates = PRIOR.coordinates(theta)
        middle = np.clip(coordinates, PRIOR.low + 0.1, HIGHEST - 0.1)
        theta = PRIOR.theta(middle, np.float32)
        flux = model_flux(theta)
        sigma = NOISE * flux
        flux = flux * (1 + bump(GRID.wave)) + sigma * rng.normal(size=flux.shape)
        drawn = number % 100 != 99
        draws = middle[:, None] + 0.02 * rng.normal(size=(n, DRAWS, len(PRIOR.names)))
        draws = PRIOR.theta(np.clip(draws, PRIOR.low, HIGHEST))
        quantiles = PRIOR.theta(middle[:, None] + WIDTH)
        mass = theta[:, 0]
        medians = rng.lognormal(size=(n, len(QUANTITIES)))
        for name, values in {
            "logmass_surviving": mass - 0.2,
            "sfr_100myr": 10 ** (mass - 10 + 0.3 * rng.normal(size=n)),
            "mass_weighted_age": 0.7 * theta[:, PRIOR.names.index("tage")],
            "halpha_ew": rng.lognormal(1, 1, n),
        }.items():
            medians[:, [each.name for each in QUANTITIES].index(name)] = values
        catalogue = {
            "id": np.array([f"object {i}" for i in number], dtype=np.dtypes.StringDType()),
            "zred": zred,
            "flags": np.where(drawn, 0, int(Flag.NO_POSTERIOR)),
            "n_draws": np.where(drawn, DRAWS, 0),
            "chi2": rng.normal(1, 0.1, n),
            "predictive_p": np.where(number == 0, 1e-4, rng.uniform(0.01, 1, n)),
            "n_weights": np.full(n, 100),
            "origin": np.where(drawn, "reweighted", "").astype(np.dtypes.StringDType()),
            "ess": rng.uniform(150, 900, n),
            "pareto_k": np.where(number == 1, 2.0, rng.normal(0.3, 0.1, n)),
            "quantiles": quantiles,
            "derived_quantiles": medians[:, None] * (1 + WIDTH),
            "derived_prior_share": np.full((n, len(QUANTITIES)), 0.2),
            "observed_luminosity": np.full((n, len(BLENDS)), 1e6),
            "observed_luminosity_error": np.full((n, len(BLENDS)), 1e5),
            "observed_ew": np.full((n, len(BLENDS)), 3.0),
            "samples": np.where(drawn[:, None, None], draws, np.nan),
        }
        for name in ("chi2", "predictive_p", "quantiles", "derived_quantiles"):
            catalogue[name][~drawn] = np.nan
        ivar = np.where(rng.random(flux.shape) < 0.05, 0, sigma**-2.0)
        yield catalogue, {"flux": flux, "ivar": ivar}
