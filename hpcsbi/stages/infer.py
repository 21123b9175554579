"""Infer: posteriors of survey spectra, one row out for every row in, catalogue.zarr."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import numpy as np
import torch

from hpcsbi.arguments import Count, Natural, OneOf, checked
from hpcsbi.cluster.executors import Cluster
from hpcsbi.errors import BadInput
from hpcsbi.flags import MEANINGS, NOT_INFERRED, Flag, counts, legend
from hpcsbi.inference.columns.catalogue_columns import arrays_of, columns_without_posterior
from hpcsbi.inference.columns.derived_columns import ABOUT
from hpcsbi.inference.columns.line_excess import line_group_names
from hpcsbi.inference.columns.measurement import measure
from hpcsbi.inference.network.devices import DEVICES, device_of
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.run.catalogue import write_catalogue
from hpcsbi.run.flows import load_posterior
from hpcsbi.run.folder import FlowFolder
from hpcsbi.run.readers import instruments
from hpcsbi.seeds import object_seed
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.store.batches import write_batches
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete, open_store, refuse_damage
from hpcsbi.store.provenance import code_of
from hpcsbi.store.schema import store_arrays
from hpcsbi.store.settings import Mismatch, refuse_other_settings
from hpcsbi.store.shards import run_shards
from hpcsbi.store.store import Store
from hpcsbi.survey.record.identity import AXES, NAMES
from hpcsbi.terminal import tell_once

__all__ = ["infer"]

# Of the spectra, where they have it: not in those of earlier versions.
PASSED_ON = ("survey_class", "position", "identity", "file_row")


def _few_kept(draws: int, keep_draws: int) -> None:
    if keep_draws > draws:
        raise BadInput(f"infer.keep_draws={keep_draws} of infer.draws={draws}: keep 0 to all.")


@checked(_few_kept)
def infer(
    out: str,
    flow: str,
    spectra: str,
    draws: Count,
    cap: Count,
    keep_draws: Natural,
    certificate: bool,
    shard: Count,
    seed: Natural,
    cluster: Cluster,
    device: Annotated[str, OneOf(DEVICES)] = "cpu",
) -> None:
    """Draw from the posterior of every spectrum; write quantiles, checks and flags.

    Whoever makes a shard compares the files of its spectra with their checksums.

    With the certificate, quantiles and kept draws are re-weighted to the exact posterior where the
    weights are good (`origin`), and the flow's own quantiles stand beside them (`flow_quantiles`).
    Without it they are the flow's, and its columns are absent.

    Arguments:
        out: the store to write, catalogue.zarr; catalogue.parquet beside it holds the same columns,
            and what converged chains of `fit` say of their rows.
        flow: folder of the trained flow.
        spectra: the store of spectra.
        draws: posterior draws of each spectrum.
        cap: draws made at most of each spectrum, in units of `draws`.
        keep_draws: draws of each spectrum that the store keeps.
        certificate: weight the draws by the exact likelihood; takes the table beside the flow.
        shard: spectra that are made at a time; a file holds more where there are very many.
        seed: seed of the draws; those of an object depend on it and on the object's id only.
        cluster: where to run.
        device: where whoever makes a shard computes: "cpu", "cuda" or "auto", a GPU where this
            process sees one. Base draws are the same on each, and what follows to rounding; a
            search or a rescue that rounding leads elsewhere gives what other draws would.

    Raises:
        Mismatch: the spectra lie on another grid than the flow's, or `out` was begun on another
            device.
        ValueError: more draws to keep than drawn, or a certificate without a table.
        BadInput: no such device.
    """
    where = device_of(device, "infer").type
    _refuse_other_device(out, where)
    posterior, source = load_posterior(flow), open_complete(spectra, "ingest", verify=False)
    if certificate and posterior.ssp is None:
        refuse_without_table(flow)
    refuse_other_settings(
        spectra,
        source.settings["grid"],
        posterior.grid.settings(),
        "Ingest the spectra on the flow's grid (asked), or name another infer.flow.",
    )
    instruments(source, slice(0, 0), posterior.model.noise)  # are there
    if lacking := [name for name in PASSED_ON if name not in source.arrays]:
        print(
            f"{spectra} was made by an older version, without {', '.join(lacking)}: the catalogue "
            "has none; run jobs/ingest.py under another name to have them.",
            flush=True,
        )
    settings = {
        "code": code_of("infer"),
        "flow": posterior.settings,
        "spectra": source.settings,
        "draws": draws,
        "cap": cap,
        "keep_draws": keep_draws,
        "certificate": certificate,
        "seed": seed,
    }
    if where != "cpu":
        settings["device"] = where
    notice = posterior.notice or source.attributes.get("notice", "")
    arrays = _arrays(source.rows, posterior, keep_draws, certificate)
    store = create(out, arrays, settings, shard, {"notice": notice})
    run_shards(partial(_infer_shard, out, flow, spectra), store, cluster, "infer")
    write_catalogue(out)
    _tell(store, notice)


def _device(store: Store) -> str:
    """On which a catalogue is made."""
    return store.settings.get("device", "cpu")


def _refuse_other_device(out: str, device: str) -> None:
    """One catalogue is of one device: the last bits of another one's are others."""
    if Path(out).exists() and (begun := _device(open_store(out, check=False))) != device:
        raise Mismatch(
            f"{out} was begun on {begun}, and this run has {device}: take infer.device={begun} "
            "where there is one, or another name=... (last bits depend on the device)."
        )


def refuse_without_table(flow: str) -> NoReturn:
    """A flow that took no table along cannot certify."""
    raise BadInput(
        f"infer.certificate=true takes the table, and {FlowFolder(Path(flow)).table} is not there: "
        "run jobs/tabulate.py and train again, or set infer.certificate=false."
    )


def _arrays(
    rows: int, posterior: Posterior, keep_draws: int, certificate: bool
) -> dict[str, Array]:
    sizes = _sizes(rows, posterior, keep_draws)
    about = {
        "units": "see description",
        "description": posterior.prior.units,
        "nuisance": list(posterior.prior.nuisance),
    }
    attributes = {name: about for name in ("quantiles", "flow_quantiles", "samples")}
    attributes |= {"flags": legend(), "derived_quantiles": ABOUT}
    coordinates = {"parameter": posterior.names, "level": [*QUANTILES.values()]}
    coordinates |= {"axis": AXES, "name": NAMES}
    if posterior.derived is not None:
        coordinates |= {"quantity": posterior.derived.names, "blend": [*BLENDS]}
    coordinates |= line_group_names(posterior.likelihood)
    schema = arrays_of(certificate, posterior.derived is not None, sizes)
    return store_arrays(schema, sizes, coordinates, attributes)


def _sizes(rows: int, posterior: Posterior, keep_draws: int) -> dict[str, int]:
    """Length of every dimension."""
    return {dim: len(names) for dim, names in line_group_names(posterior.likelihood).items()} | {
        "row": rows,
        "level": len(QUANTILES),
        "parameter": len(posterior.names),
        "quantity": len(QUANTITIES),
        "blend": len(BLENDS),
        "draw": keep_draws,
        "axis": len(AXES),
        "name": len(NAMES),
    }


def _infer_shard(out: str, flow: str, spectra: str, shard: int) -> int:
    store, source = Store(Path(out)), open_store(spectra)
    device, rows = device_of(_device(store), "infer"), store.rows_of(shard)
    refuse_damage(source, "ingest", rows)
    try:
        posterior = load_posterior(flow, device)
        write_batches(store, shard, partial(_inferred, store.settings, source, posterior))
    except torch.OutOfMemoryError as error:
        raise BadInput(
            f"{out}: the memory of the {device.type} device does not hold "
            f"infer.shard={store.batch}: let fewer processes share it, or take "
            f"infer.shard={max(store.batch // 2, 1)} and another name=... (a catalogue has one)."
        ) from error
    return rows.stop - rows.start


def _inferred(
    settings: dict, source: Store, posterior: Posterior, rows: slice
) -> dict[str, np.ndarray]:
    """All arrays of some rows."""
    names = ("id", "zred", "flux", "ivar", "flags")
    ids, zred, flux, ivar, flags = (source.read(name, rows) for name in names)
    sizes = _sizes(len(ids), posterior, settings["keep_draws"])
    derived = posterior.derived is not None
    columns = columns_without_posterior(sizes, settings["certificate"], derived)
    for name in (name for name in PASSED_ON if name in source.arrays):
        columns[name] = source.read(name, rows)
    columns |= {"id": ids, "zred": zred, "n_pixels": (ivar > 0).sum(1, dtype=np.int32)}
    wanted, covered = flags & NOT_INFERRED == 0, posterior.prior.given.covers(zred)
    added, known = instruments(source, rows, posterior.model.noise)
    good = posterior.usable(flux, ivar) & wanted & covered & known
    if good.any():
        seeds = np.array([object_seed(settings["seed"], str(name)) for name in ids])
        batch = Batch(flux, ivar, seeds, zred, added)[good]
        options = (settings[name] for name in ("draws", "cap", "certificate", "keep_draws"))
        for name, values in measure(posterior, batch, *options).columns.items():
            columns[name][good] = values
    columns["flags"] |= flags
    columns["flags"][wanted & ~covered] |= Flag.GIVEN_RANGE
    columns["flags"][wanted & ~known] |= Flag.NO_INSTRUMENT
    return columns


def _tell(store: Store, notice: str) -> None:
    inferred, flagged = 0, Counter()
    for rows in map(store.rows_of, store.shards):
        inferred += int((store.read("n_draws", rows) > 0).sum())
        flagged.update(counts(store.read("flags", rows)))
    print(f"{store.path}: {inferred} of {store.rows} spectra have a posterior.")
    for name in (flag.name for flag in MEANINGS if flagged[flag.name]):
        print(f"  {name}: {flagged[name]}")
    if notice:
        tell_once(notice)
