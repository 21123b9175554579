"""The part of a release that a referee makes some of its rows again from."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from hpcsbi import __version__
from hpcsbi.errors import BadInput
from hpcsbi.release.checksums import write_checksums
from hpcsbi.release.chosen_rows import chosen_rows
from hpcsbi.release.parquet_table import write_parquet
from hpcsbi.release.pinned_versions import pinned_versions
from hpcsbi.release.referee_readme import referee_readme
from hpcsbi.release.released_table import Released
from hpcsbi.run.folder import FlowFolder, finished_weights
from hpcsbi.run.merges import table_of
from hpcsbi.run.referee_folder import RefereeFolder
from hpcsbi.seeds import generator
from hpcsbi.stages.reproduce import infer_again, refuse_other_rows
from hpcsbi.store.files import load_header, write_atomically
from hpcsbi.store.locks import LOCKS
from hpcsbi.store.machine import machine
from hpcsbi.store.opening import open_complete, refuse_damage
from hpcsbi.store.provenance import code_of
from hpcsbi.store.row_copy import copy_rows
from hpcsbi.store.settings import differences
from hpcsbi.store.store import Store

__all__ = ["Sample", "sample_of", "write_referee"]

SHARD = 16  # spectra that are made at a time, here and by the referee
OPTIONS = ("draws", "cap", "certificate", "seed")  # of infer
SHOWN = ("id", "identity", "zred", "file_row")  # arrays of both stores by which a row is known


@dataclass(frozen=True)
class Sample:
    """Rows of a catalogue, and what they were made of.

    Arguments:
        catalogue, spectra: stores with the same rows.
        flow: that made the one of the other.
        rows: ascending, shape (n,).
        objects, seed: how many of them were chosen at random, and how.
        chains: rows of the catalogue that chains have taken the place of, and that are not chosen.
    """

    catalogue: Store
    spectra: Store
    flow: FlowFolder
    rows: np.ndarray
    objects: int
    seed: int
    chains: int


def sample_of(catalogue: Store, spectra: str, flow: str, objects: int, seed: int) -> Sample:
    """Choose rows of a catalogue, and see that what made it is still there.

    Arguments:
        catalogue: a whole catalogue.zarr.
        spectra: the store of its spectra.
        flow: folder of its flow.
        objects: at random; and one of each flag that none of them has.
        seed: of the choice.

    Raises:
        FileNotFoundError: the spectra or the flow are gone.
        BadInput: they are others than those of the catalogue, or damaged.
    """
    weights = finished_weights(flow)
    _refuse_other("flow", "train", flow, (load_header(weights) or {}).get("settings"), catalogue)
    source = open_complete(spectra, "ingest", verify=False)
    _refuse_other("spectra", "ingest", spectra, source.settings, catalogue)
    columns = pyarrow.parquet.read_schema(table_of(catalogue.path)).names
    names = [name for name in ("flags", "origin") if name in columns]
    table = pyarrow.parquet.read_table(table_of(catalogue.path), columns=names)
    flags = table["flags"].to_numpy()
    inferred = np.ones(len(flags), bool)
    if "origin" in names:
        inferred = np.asarray(pyarrow.compute.not_equal(table["origin"], "mcmc"))
    rows = chosen_rows(flags, inferred, objects, generator(seed, "release"))
    if not len(rows):
        raise BadInput(
            f"release.referee={objects}: all rows of {catalogue.path} are of chains, which infer "
            "does not make again: set release.referee=0."
        )
    refuse_damage(source, "ingest", rows)
    for name in (name for name in SHOWN if name in catalogue.arrays):
        first, second = catalogue.read(name, rows), source.read(name, rows)
        same = (first == second) | ((first != first) & (second != second))
        if not np.all(same):
            raise BadInput(
                f"{spectra}: {name} of row {rows[np.argwhere(~same)[0, 0]]} is another one than in "
                f"{catalogue.path}: name the spectra of the catalogue, release.spectra=..., or run "
                "jobs/infer.py under another name."
            )
    flow_folder = FlowFolder(Path(flow))
    return Sample(catalogue, source, flow_folder, rows, objects, seed, int((~inferred).sum()))


def _refuse_other(
    name: str, maker: str, path: str, settings: Mapping | None, catalogue: Store
) -> None:
    """Raise unless the settings of a product are those that the catalogue was made of."""
    line = next(differences(catalogue.settings[name], settings or {}), "")
    if line:
        line = line.replace("in the store", "in the catalogue").replace("asked", "there")
        raise BadInput(
            f"{path} is not the product of jobs/{maker}.py that {catalogue.path} was made of "
            f"({line}): name that one, release.{name}=..., or set release.referee=0."
        )


def write_referee(to: Path, scratch: Path, sample: Sample, table: Released, notice: str) -> None:
    """Write the folder, when its rows have been made again and agree.

    Arguments:
        to: the folder; it is there whole or not at all.
        scratch: for what is needed on the way; what is in it is removed.
        sample: what is written.
        table: all rows of the catalogue.
        notice: where it is not for science; "" where it is.

    Raises:
        BadInput: the rows do not agree: spectra or flow have changed.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    folder = RefereeFolder(scratch / to.name)
    folder.path.mkdir(parents=True)
    chosen = {"rows": len(sample.rows), "seed": sample.seed}
    settings = {**sample.spectra.settings, "chosen": {**chosen, "of": sample.spectra.digest()}}
    copy_rows(sample.spectra, folder.spectra, sample.rows, settings, SHARD)
    folder.flow.path.mkdir()
    shutil.copyfile(sample.flow.weights, folder.flow.weights)
    if sample.flow.table.exists():
        leftovers = shutil.ignore_patterns(LOCKS, "*.partial")
        shutil.copytree(sample.flow.table, folder.flow.table, ignore=leftovers)
    write_parquet(folder.rows, _some(table, sample.rows))
    about = _about(sample)
    write_atomically(folder.settings, (json.dumps(about, indent=1) + "\n").encode())
    print(f"{to.name}: {len(sample.rows)} rows are made again, to see that they agree.", flush=True)
    made = infer_again(folder, scratch / "again" / "catalogue.zarr")
    refuse_other_rows(
        folder, made,
        "The spectra or the flow have changed since, or the code: run jobs/infer.py under another "
        "name and release that, or set release.referee=0.",
    )  # fmt: skip
    shutil.copyfile(made, folder.rerun)
    versions = pinned_versions("hpcsbi", machine()["libraries"])
    write_atomically(folder.versions, versions.encode())
    write_atomically(folder.readme, referee_readme(about, notice).encode())
    write_checksums(folder.path)
    folder.path.rename(to)
    shutil.rmtree(scratch)


def _about(sample: Sample) -> dict[str, Any]:
    """What the folder says of itself."""
    settings = sample.catalogue.settings
    return {
        "software": f"hpcsbi {__version__}",
        "infer": {name: settings[name] for name in OPTIONS} | {"shard": SHARD},
        "representation": settings["flow"]["representation"],
        "code": {"catalogue": settings["code"], "rerun": code_of("infer")},
        "machine": machine(),
        "chosen": {
            "rows": len(sample.rows), "of": sample.catalogue.rows, "at_random": sample.objects,
            "seed": sample.seed, "chains": sample.chains,
        },
    }  # fmt: skip


def _some(table: Released, rows: np.ndarray) -> Released:
    """Some rows of a table, as a table."""

    def blocks() -> Iterator[pyarrow.RecordBatch]:
        start = 0
        for block in table.blocks():
            first, last = np.searchsorted(rows, (start, start + block.num_rows))
            if last > first:
                yield block.take(pyarrow.array(rows[first:last] - start))
            start += block.num_rows

    return replace(table, rows=len(rows), blocks=blocks)
