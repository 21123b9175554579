"""Augment: noise-free spectra -> pairs of theta and noisy spectrum, training.zarr."""

from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from hpcsbi.arguments import Count, Natural, OneOf, checked
from hpcsbi.cluster.executors import Cluster
from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.run.flows import load_engine
from hpcsbi.run.noise_banks import bank_arrays, stored_bank, with_bank
from hpcsbi.seeds import generator, torch_generator
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.nearest_labels import LABELS, NearestLabels
from hpcsbi.simulator.observation.instruments import line_spreads
from hpcsbi.simulator.observation.noise import Noise
from hpcsbi.simulator.pairs import SPLITS, PairPlan
from hpcsbi.simulator.table.pixel_dispersions import check_instrument
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.store.batches import write_batches
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete, open_store, refuse_damage
from hpcsbi.store.provenance import code_of
from hpcsbi.store.shards import run_shards
from hpcsbi.store.store import Store
from hpcsbi.survey.record.line_spread import KNOTS, knots

__all__ = ["augment"]


@checked()
def augment(
    out: str,
    simulations: str,
    noise: Noise,
    labels: Annotated[str, OneOf(LABELS)],
    copies: Natural,
    validation: Natural,
    test: Natural,
    shard: Count,
    seed: Natural,
    cluster: Cluster,
    table: str | None = None,
) -> None:
    """Draw noise for every simulated spectrum and say which pairs training may see.

    Arguments:
        out: the store to write, training.zarr.
        simulations: the store of noise-free spectra.
        noise: the noise model.
        labels: "own", or "nearest": of training pairs what the authors' code gave them, see
            `nearest_labels`; held-out ones keep their own.
        copies: noisy copies of each training spectrum; 0 when training makes its own pairs
            (`train.source=fresh`), so that only the held-out pairs are stored.
        validation, test: base spectra held out, one noisy copy each.
        shard: rows that are made at a time; a file holds more where there are very many.
        seed: seed of noise and split.
        cluster: where to run.
        table: the SSP table, for noise with instruments: it makes spectra as wide as they do, in
            place of those of the simulations, which are as wide as their galaxies.

    Raises:
        ValueError: more spectra held out than there are, no row left, or instruments and a table
            or simulations that do not suit them; a bank of noise that is none; nearest labels of a
            prior that depends on the redshift.
    """
    source = open_complete(simulations, "simulate", verify=False)
    refuse_damage(source, "simulate", slice(0, source.rows), ("status",))
    marks = source.digest()
    noise = with_bank(noise, Grid(**source.settings["grid"]))
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
    if labels == "nearest":
        settings["labels"] = labels
        _labels(simulations, marks, (copies, validation, test, seed))
    if noise.instrument:
        settings["table"] = _check_table(table, source, noise)
    store = _create(Path(out), source, settings, len(plan), shard, bank_arrays(noise))
    task = partial(_augment_shard, out, simulations, marks, table)
    run_shards(task, store, cluster, "augment")


def _check_table(table: str | None, source: Store, noise: Noise) -> dict:
    """Settings of the table that makes spectra through instruments."""
    if source.settings["source"] != "table" or table is None:
        raise BadInput(
            "noise.instrument=true makes spectra as wide as instruments by the table: take "
            "simulate.source=table, and name augment.table."
        )
    prior = Model.of(source.settings).prior
    check_instrument(noise, prior.columns, load_engine(table, prior).kinematics)
    return open_complete(table, "tabulate").settings


def _create(
    out: Path, source: Store, settings: dict, rows: int, shard: int, bank: dict[str, Array]
) -> Store:
    model = Model.of(settings)
    names = model.prior.names
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
    if model.noise.instrument:
        of_each = {"row": rows, "knot": KNOTS}
        about = {"units": "km/s", "description": "dispersion that the instrument adds at knots"}
        arrays["instrument"] = Array(of_each, "float32", about)
        arrays["knot"] = Array({"knot": KNOTS}, "float64", {"units": "Angstrom"}, knots(wave))
    return create(out, arrays | bank, settings, shard, {"notice": source.attributes["notice"]})


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


@lru_cache(maxsize=1)
def _labels(simulations: str, marks: str, sizes: tuple[int, int, int, int]) -> NearestLabels:
    """Made once in each process; see `_plan`."""
    source = open_store(simulations)
    theta = source.read("theta", _plan(simulations, marks, sizes).training)
    return NearestLabels(Model.of(source.settings).prior, theta)


@lru_cache(maxsize=1)
def _engine(table: str, simulations: str, marks: str) -> Ssp:
    """Made once in each process; see `_plan`."""
    return load_engine(table, Model.of(open_store(simulations).settings).prior)


def _augment_shard(out: str, simulations: str, marks: str, table: str | None, shard: int) -> int:
    store, source = Store(Path(out)), open_store(simulations)
    sizes = tuple(store.settings[name] for name in ("copies", "validation", "test", "seed"))
    plan, rows = _plan(simulations, marks, sizes), store.rows_of(shard)
    labels = _labels(simulations, marks, sizes) if "labels" in store.settings else None
    lenders = plan.training if labels else plan.training[:0]
    refuse_damage(source, "simulate", np.append(plan.base(rows), lenders))
    through = "table" in store.settings
    engine = _engine(table, simulations, marks) if through else None
    write_batches(store, shard, partial(_augmented, store, source, plan, labels, engine))
    return rows.stop - rows.start


def _augmented(
    store: Store,
    source: Store,
    plan: PairPlan,
    labels: NearestLabels | None,
    engine: Ssp | None,
    rows: slice,
) -> dict[str, np.ndarray]:
    """All arrays of some pairs."""
    settings = store.settings
    base, split = plan.base(rows), plan.split(rows)
    rng = generator(settings["seed"], "augment", rows.start // store.batch)
    seed = int(rng.integers(2**62))
    if labels is not None:
        of_training = split == SPLITS["train"]
        drawn, lenders = labels.draw(of_training.sum(), rng)
        base[of_training] = plan.training[lenders]
    wanted, back = np.unique(base, return_inverse=True)
    theta, flux = (source.read(name, wanted)[back] for name in ("theta", "flux"))
    model = Model.of(settings)
    noise = stored_bank(model.noise, store)
    column = dict(zip(model.prior.names, torch.from_numpy(theta).float().T, strict=True))
    told = model.prior.given.redshift(theta)
    told = None if told is None else torch.from_numpy(told).float()
    wave, draws = torch.from_numpy(source.read("wave")).float(), torch_generator(seed)
    added, signal = line_spreads(noise, len(base), wave, draws, told), torch.from_numpy(flux)
    if added is not None:
        signal = engine.flux(torch.from_numpy(theta).float(), model.prior.names, added)
    floor, error = column.get("noise_floor"), column.get("model_error")
    noisy, ivar, zred = noise(signal, wave, floor, draws, told, error)
    instrument = {} if added is None else {"instrument": added.numpy()}
    if labels is not None:
        theta[of_training] = drawn
    return instrument | {
        "theta": theta,
        "flux": noisy.numpy(),
        "ivar": ivar.numpy(),
        "base": base,
        "split": split,
        "zred": zred.numpy(),
    }
