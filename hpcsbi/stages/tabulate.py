"""Tabulate the simple stellar populations of FSPS, and measure what the table is worth."""

import os
from dataclasses import asdict
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from hpcsbi.arguments import Count, Natural, checked
from hpcsbi.cluster.executors import Cluster, Serial, cores
from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.seeds import generator
from hpcsbi.simulator.direct.fsps_data import resolution_notice, tree_notice
from hpcsbi.simulator.direct.fsps_spectra import (
    OK,
    direct_gas,
    direct_gas_ages,
    direct_spectra,
    direct_ssps,
    preflight,
    versions,
)
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.free_gas import LOGZ, is_free
from hpcsbi.simulator.galaxy.kinematics import Dispersions, Kinematics
from hpcsbi.simulator.galaxy.physics import Physics, check_prior
from hpcsbi.simulator.observation.instruments import WIDEST
from hpcsbi.simulator.observation.noise import Noise
from hpcsbi.simulator.table.ssp_arrays import (
    ARRAYS,
    NOTICE,
    check_accuracy,
    table_arrays,
    table_layout,
)
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import create, open_complete, open_store
from hpcsbi.store.provenance import code_of
from hpcsbi.store.settings import Mismatch, differences
from hpcsbi.store.shards import run_shards
from hpcsbi.store.store import Store
from hpcsbi.terminal import tell_once

__all__ = ["SHIPPED", "metallicities", "refuse_other_shipped", "tabulate", "takes_shipped"]

SHIPPED = Path(str(files("hpcsbi") / "data" / "ssp_demo.zarr"))
SPAN = (-2.0, 0.4)  # of logzsol, and further where the prior goes
STEP = 0.05
WITH_MOMENTS = (
    "continuum", "lines", "bands", "stars", "star_bands", "gas_continuum", "gas_lines", "gas_bands",
)  # fmt: skip
BITS = (14, 10, 10)  # of the mantissas of the dust moments: 3e-5 of the flux, half the bytes
BITS_FURTHER = (12, 8)  # of those of further degrees in the dispersion


@checked()
def tabulate(
    out: str,
    grid: Grid,
    physics: Physics,
    prior: Prior,
    draws: Natural,
    shard: Count,
    seed: Natural,
    cluster: Cluster,
    demo: bool | None = None,
    noise: Noise | None = None,
) -> None:
    """Write the table of SSPs and its error against direct predictions.

    Arguments:
        out: store to write.
        grid, physics: what the table is for.
        prior: its draws measure the error; its logzsol may reach beyond -2 to 0.4.
        draws: number of direct predictions to compare with.
        shard: metallicities in a shard.
        seed: of the draws.
        cluster: where to run.
        demo: True copies the shipped demonstration table, False makes one by FSPS; None copies only
            where SPS_HOME is not set.
        noise: whose instruments widen the prior's dispersions; None for none.

    Raises:
        Mismatch: `out` was made with other settings, or the shipped table is to be copied and is
            for another grid or model.
        FspsError: FSPS cannot run.
        ValueError: the prior's columns do not go with the physics, or the error is larger than
            ACCURACY of hpcsbi.simulator.table.ssp_table.
    """
    check_prior(prior.columns, physics)
    if takes_shipped(demo):
        _copy_shipped(out, grid, physics, cluster)
        return
    if notice := resolution_notice(grid):
        tell_once(notice)
    widest = WIDEST if noise is not None and noise.instrument else 0.0
    store = _create(out, grid, physics, prior, shard, widest)
    function = partial(_tabulate_shard, out, grid, physics)
    run_shards(function, store, cluster, "tabulate", threads=True)
    wanted = {"draws": draws, "seed": seed, "prior": prior.settings()}
    known = store.attributes["accuracy"]
    if any(known.get(name) != value for name, value in wanted.items()):
        # Here, and not on other nodes: no more processes than this one may use.
        processes = min(cluster.workers, cores())
        measured = _measure(store, grid, physics, prior, draws, seed, processes)
        known = {**wanted, **measured}
        store.group.attrs["accuracy"] = known
    print(
        f"{out}: |d ln flux| against Prospector on {draws} draws of the prior: "
        f"median {known['median']:.1e}, 99 % {known['p99']:.1e}, max {known['max']:.1e}."
    )
    check_accuracy(out, known)


def takes_shipped(demo: bool | None) -> bool:
    """Whether `tabulate` copies the shipped table."""
    return not os.environ.get("SPS_HOME") if demo is None else demo


def refuse_other_shipped(grid: Grid, physics: Physics) -> Store:
    """The shipped table.

    Raises:
        Mismatch: it is for another grid or model.
    """
    shipped = open_complete(SHIPPED, "tabulate")
    asked = {"grid": grid.settings(), "physics": physics.settings()}
    existing = {name: shipped.settings[name] for name in asked}
    if lines := list(differences(existing, asked)):
        raise Mismatch(
            "the demonstration table (tabulate.demo=true, or SPS_HOME is not set) is for another "
            "grid or model:\n  "
            + "\n  ".join(lines)
            + "\nSet SPS_HOME to an FSPS data tree to make a table of your own."
        )
    return shipped


def metallicities(prior: Prior) -> np.ndarray:
    """The table's nodes in logzsol: every 0.05 and those of the nebular tables, ascending."""
    column = prior.columns["logzsol"]
    low, high = min(SPAN[0], column.low), max(SPAN[1], column.high)
    first, last = np.floor(low / STEP + 1e-9), np.ceil(high / STEP - 1e-9)
    # FSPS interpolates lines between nodes of their own, and stars between multiples of 0.25.
    return np.unique(np.round([*np.arange(first, last + 1) * STEP, *LOGZ], 4))


def _create(
    out: str, grid: Grid, physics: Physics, prior: Prior, shard: int, widest: float
) -> Store:
    """The store, empty or as an earlier run left it; FSPS is tried only when it is needed."""
    nodes = metallicities(prior)
    stand_in = bool(tree_notice(os.environ["SPS_HOME"]))
    settings = {
        "code": code_of("tabulate"),
        "grid": grid.settings(),
        "physics": physics.settings(),
        "versions": versions(),
        "logzsol": [nodes[0], nodes[-1]],
        "demonstration": stand_in,
    }
    log_age, age_basis = np.zeros(1), []  # not looked at when the store is there
    free = is_free(prior.names)
    if free:
        settings["gas"] = "free"
        age_basis = [np.zeros((1, 1))] * 2
    dispersions = Kinematics.table(prior.columns, grid, widest)
    if dispersions:
        settings["kinematics"] = asdict(dispersions)
    if not Path(out).exists() or open_store(out, check=False).damaged_coordinates():
        preflight(grid, physics)
        log_age = direct_ssps([0.0], grid, physics)["log_age"]
        age_basis = direct_gas_ages(grid, physics) if free else []
    values = {
        "logzsol": nodes,
        "log_age": log_age,
        "wave": grid.wave,
        "dust_curve": dust_curve(grid.wave, physics.dust_type),
    }
    notice = NOTICE if stand_in else ""
    if free:
        values |= dict(zip(("age_onto", "age_of"), age_basis, strict=True))
    if dispersions:
        values["sigma_nodes"] = dispersions.nodes
    return create(
        out, table_layout(values, physics), settings, shard, {"notice": notice, "accuracy": {}}
    )


def _tabulate_shard(path: str, grid: Grid, physics: Physics, shard: int) -> None:
    store = open_store(path)
    nodes = store.read("logzsol")[store.rows_of(shard)]
    kinematics = store.settings.get("kinematics")
    free = Dispersions(**kinematics) if kinematics else None
    ssps = direct_ssps(nodes, grid, physics, free=free)
    if "age_of" in store.arrays:
        ssps |= direct_gas(nodes, store.read("age_of"), grid, physics, free=free)
    tables = {name: ssps[name].astype(np.float32) for name in store.sharded}
    moments = {name: _rounded(ssps[name]) for name in WITH_MOMENTS if name in tables}
    store.write(shard, **tables | moments)


def _rounded(moments: np.ndarray) -> np.ndarray:
    """Mantissas cut to BITS, so that the store packs to half its size."""
    mantissa, exponent = np.frexp(moments)
    further = (moments.shape[-2] - len(BITS)) // len(BITS_FURTHER)
    scale = 2.0 ** np.array(BITS + BITS_FURTHER * further)[:, None]
    return np.ldexp(np.round(mantissa * scale) / scale, exponent).astype(np.float32)


def _measure(
    store: Store,
    grid: Grid,
    physics: Physics,
    prior: Prior,
    draws: int,
    seed: int,
    processes: int,
) -> dict[str, float]:
    """|d ln flux| of the engine against direct predictions, two digits."""
    theta = prior.sample(draws, generator(seed, "tabulate"))
    direct, status = direct_spectra(theta, prior.names, grid, physics, processes)
    good = status == OK
    if good.sum() < 0.9 * draws:
        raise BadInput(f"{store.path}: FSPS made only {good.sum()} of {draws} spectra to compare.")
    engine = Ssp(**table_arrays(store, prior.names), prior=prior, physics=physics)
    flux = engine.flux(torch.from_numpy(theta[good]), prior.names).numpy()
    error = np.abs(np.log(flux / direct[good]))
    values = {"median": np.median(error), "p99": np.percentile(error, 99), "max": error.max()}
    return {name: float(f"{value:.1e}") for name, value in values.items()}


def _copy_shipped(out: str, grid: Grid, physics: Physics, cluster: Cluster) -> None:
    shipped = refuse_other_shipped(grid, physics)
    arrays = table_layout({name: shipped.read(name) for name in ARRAYS[2:]}, physics)
    attributes = {name: shipped.attributes[name] for name in ("notice", "accuracy")}
    store = create(out, arrays, shipped.settings, shipped.shard, attributes)
    # Copying is not worth the start of processes; parts of an array stay what they are.
    where = cluster if cluster.part() else Serial()
    run_shards(partial(_copy_shard, out), store, where, "tabulate")
    tell_once(NOTICE)


def _copy_shard(path: str, shard: int) -> None:
    shipped = open_store(SHIPPED)
    rows = shipped.rows_of(shard)
    open_store(path).write(shard, **{name: shipped.read(name, rows) for name in shipped.sharded})
