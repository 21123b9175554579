"""Tabulate the simple stellar populations of FSPS, and measure what the table is worth."""

import os
from collections.abc import Mapping
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
from hpcsbi.simulator.dust import FREE_SLOPE, dust_curve
from hpcsbi.simulator.fsps_data import tree_notice
from hpcsbi.simulator.fsps_spectra import (
    OK,
    direct_spectra,
    direct_ssps,
    preflight,
    versions,
)
from hpcsbi.simulator.indices import BANDS, LINES
from hpcsbi.simulator.physics import Physics, check_prior
from hpcsbi.simulator.prior import Prior
from hpcsbi.simulator.ssp_table import ARRAYS, NOTICE, Ssp, check_accuracy
from hpcsbi.store.layout import Array
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
# FSPS interpolates nebular lines between these, and stars between multiples of 0.25.
NEBULAR = (-1.98, -1.5, -0.98, -0.58, -0.39, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2)
WITH_MOMENTS = ("continuum", "lines", "bands")
BITS = (14, 10, 10)  # of the mantissas of the dust moments: 3e-5 of the flux, half the bytes


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

    Raises:
        Mismatch: `out` was made with other settings, or the shipped table is to be copied and is
            for another grid or model.
        FspsError: FSPS cannot run.
        ValueError: the prior's columns do not go with the physics, or the error is larger than
            ACCURACY of hpcsbi.simulator.ssp_table.
    """
    check_prior(prior.columns, physics)
    if takes_shipped(demo):
        _copy_shipped(out, grid, physics, cluster)
        return
    store = _create(out, grid, physics, prior, shard)
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
    return np.unique(np.round([*np.arange(first, last + 1) * STEP, *NEBULAR], 4))


def _create(out: str, grid: Grid, physics: Physics, prior: Prior, shard: int) -> Store:
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
    log_age = np.zeros(1)  # not looked at when the store is there
    if not Path(out).exists() or open_store(out, check=False).damaged_coordinates():
        preflight(grid, physics)
        log_age = direct_ssps([0.0], grid, physics)["log_age"]
    values = {
        "logzsol": nodes,
        "log_age": log_age,
        "wave": grid.wave,
        "dust_curve": dust_curve(grid.wave, physics.dust_type),
    }
    notice = NOTICE if stand_in else ""
    return create(
        out, _arrays(values, physics), settings, shard, {"notice": notice, "accuracy": {}}
    )


def _arrays(values: Mapping[str, np.ndarray], physics: Physics) -> dict[str, Array]:
    dims = {
        "logzsol": len(values["logzsol"]),
        "age": len(values["log_age"]),
        "moment": 3,
        "pixel": len(values["wave"]),
    }
    by_age = {"logzsol": dims["logzsol"], "age": dims["age"]}
    unit = {"units": "solLum / (Angstrom solMass)"}
    text = "pixel mean of F (k_pixel - k)^m / m!, k the dust curve, m the moment"
    lines, bands = (
        np.array(list(names), dtype=np.dtypes.StringDType()) for names in (LINES, BANDS)
    )
    free = physics.dust_type == FREE_SLOPE
    curve = "like those of all slopes" if free else "optical depth for dust2 = 1"
    axes = {
        "logzsol": ("logzsol", {"units": "dex"}),
        "log_age": ("age", {"units": "log10(yr)"}),
        "wave": ("pixel", {"units": "Angstrom", "description": "vacuum, rest frame"}),
        "dust_curve": ("pixel", {"description": curve}),
    }
    return {
        "continuum": Array(dims, "float32", {**unit, "description": f"stars and gas: {text}"}),
        "lines": Array(dims, "float32", {**unit, "description": f"emission lines: {text}"}),
        "surviving_mass": Array(
            by_age, "float32", {"description": "in stars and remnants, of one solar mass formed"}
        ),
        "line_luminosity": Array(
            by_age | {"line": len(lines)}, "float32", {"units": "solLum / solMass"}
        ),
        "bands": Array(
            by_age | {"moment": 3, "band": len(bands)},
            "float32",
            {
                "units": "solLum / (Hz solMass) in the break, else solLum / (Angstrom solMass)",
                "description": f"stars and gas: {text.replace('pixel', 'band')}",
            },
        ),
        "line": Array({"line": len(lines)}, "string", values=lines),
        "band": Array({"band": len(bands)}, "string", values=bands),
        **{
            name: Array({dim: dims[dim]}, "float64", attributes, values[name])
            for name, (dim, attributes) in axes.items()
        },
    }


def _tabulate_shard(path: str, grid: Grid, physics: Physics, shard: int) -> None:
    store = open_store(path)
    nodes = store.read("logzsol")[store.rows_of(shard)]
    ssps = direct_ssps(nodes, grid, physics)
    tables = {name: ssps[name].astype(np.float32) for name in store.sharded}
    store.write(shard, **tables | {name: _rounded(ssps[name]) for name in WITH_MOMENTS})


def _rounded(moments: np.ndarray) -> np.ndarray:
    """Mantissas cut to BITS, so that the store packs to half its size."""
    mantissa, exponent = np.frexp(moments)
    scale = 2.0 ** np.array(BITS)[:, None]
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
    arrays = {name: store.read(name) for name in ARRAYS}
    engine = Ssp(**arrays, prior=prior, physics=physics)
    flux = engine.flux(torch.from_numpy(theta[good]), prior.names).numpy()
    error = np.abs(np.log(flux / direct[good]))
    values = {"median": np.median(error), "p99": np.percentile(error, 99), "max": error.max()}
    return {name: float(f"{value:.1e}") for name, value in values.items()}


def _copy_shipped(out: str, grid: Grid, physics: Physics, cluster: Cluster) -> None:
    shipped = refuse_other_shipped(grid, physics)
    arrays = _arrays({name: shipped.read(name) for name in ARRAYS[2:]}, physics)
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
