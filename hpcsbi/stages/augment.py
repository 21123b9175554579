"""Augment: noise-free spectra -> pairs of theta and noisy spectrum, training.zarr."""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from hpcsbi.arguments import Count, Natural, checked
from hpcsbi.cluster.executors import Cluster
from hpcsbi.seeds import generator, torch_generator
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.noise import Noise
from hpcsbi.simulator.pairs import SPLITS, PairPlan
from hpcsbi.store.batches import write_batches
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete, open_store, refuse_damage
from hpcsbi.store.provenance import code_of
from hpcsbi.store.shards import run_shards
from hpcsbi.store.store import Store

__all__ = ["augment"]


@checked()
def augment(
    out: str,
    simulations: str,
    noise: Noise,
    copies: Natural,
    validation: Natural,
    test: Natural,
    shard: Count,
    seed: Natural,
    cluster: Cluster,
) -> None:
    """Draw noise for every simulated spectrum and say which pairs training may see.

    Arguments:
        out: the store to write, training.zarr.
        simulations: the store of noise-free spectra.
        noise: the noise model.
        copies: noisy copies of each training spectrum; 0 when training makes its own pairs
            (`train.source=fresh`), so that only the held-out pairs are stored.
        validation, test: base spectra held out, one noisy copy each.
        shard: rows that are made at a time; a file holds more where there are very many.
        seed: seed of noise and split.
        cluster: where to run.

    Raises:
        ValueError: more spectra held out than there are, or no row left.
    """
    source = open_complete(simulations, "simulate", verify=False)
    refuse_damage(source, "simulate", slice(0, source.rows), ("status",))
    marks = source.digest()
    plan = _plan(simulations, marks, (copies, validation, test, seed))
    settings = {
        "code": code_of("augment"),
        "simulations": source.settings,
        "noise": noise.settings(),
        "copies": copies,
        "validation": validation,
        "test": test,
        "seed": seed,
    }
    store = _create(Path(out), source, settings, len(plan), shard)
    task = partial(_augment_shard, out, simulations, marks)
    run_shards(task, store, cluster, "augment")


def _create(out: Path, source: Store, settings: dict, rows: int, shard: int) -> Store:
    names = Model.of(settings).prior.names
    wave = source.read("wave")
    pixels = {"row": rows, "pixel": len(wave)}
    unit = "solar luminosities per Angstrom"
    arrays = {
        "theta": Array({"row": rows, "parameter": len(names)}, "float64"),
        "flux": Array(pixels, "float32", {"units": unit}),
        "ivar": Array(pixels, "float32", {"units": f"({unit})^-2", "comment": "0 is masked"}),
        "base": Array({"row": rows}, "int64", {"long_name": "row of simulations.zarr"}),
        "split": Array(
            {"row": rows},
            "int8",
            {"flag_values": list(SPLITS.values()), "flag_meanings": " ".join(SPLITS)},
        ),
        "zred": Array({"row": rows}, "float32", {"long_name": "redshift of the observation"}),
        "wave": Array({"pixel": len(wave)}, "float64", {"units": "Angstrom"}, values=wave),
        "parameter": Array({"parameter": len(names)}, "string", values=np.array(names)),
    }
    return create(out, arrays, settings, shard, {"notice": source.attributes["notice"]})


def _usable(source: Store) -> np.ndarray:
    """Rows that have a spectrum, shape (n,)."""
    return np.concatenate(
        [
            rows.start + np.flatnonzero(source.read("status", rows) == 0)
            for rows in map(source.rows_of, source.shards)
        ]
    )


@lru_cache(maxsize=1)
def _plan(simulations: str, marks: str, sizes: tuple[int, int, int, int]) -> PairPlan:
    """Made once in each process: in each task it would travel with all its rows.

    `marks` is the digest of the simulations: others of that name have another plan.
    """
    return PairPlan(_usable(open_store(simulations)), *sizes)


def _augment_shard(out: str, simulations: str, marks: str, shard: int) -> int:
    store, source = Store(Path(out)), open_store(simulations)
    sizes = tuple(store.settings[name] for name in ("copies", "validation", "test", "seed"))
    plan, rows = _plan(simulations, marks, sizes), store.rows_of(shard)
    refuse_damage(source, "simulate", plan.base(rows))
    write_batches(store, shard, partial(_augmented, store, source, plan))
    return rows.stop - rows.start


def _augmented(store: Store, source: Store, plan: PairPlan, rows: slice) -> dict[str, np.ndarray]:
    """All arrays of some pairs."""
    settings = store.settings
    base = plan.base(rows)
    wanted, back = np.unique(base, return_inverse=True)
    theta, flux = (source.read(name, wanted)[back] for name in ("theta", "flux"))
    model = Model.of(settings)
    rng = generator(settings["seed"], "augment", rows.start // store.batch)
    seed = int(rng.integers(2**62))
    column = dict(zip(model.prior.names, torch.from_numpy(theta).float().T, strict=True))
    told = model.prior.given.redshift(theta)
    noisy, ivar, zred = model.noise(
        torch.from_numpy(flux),
        torch.from_numpy(source.read("wave")).float(),
        column.get("noise_floor"),
        torch_generator(seed),
        None if told is None else torch.from_numpy(told).float(),
        column.get("model_error"),
    )
    return {
        "theta": theta,
        "flux": noisy.numpy(),
        "ivar": ivar.numpy(),
        "base": base,
        "split": plan.split(rows),
        "zred": zred.numpy(),
    }
