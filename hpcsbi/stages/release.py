"""Release: the catalogue as files for others, in a folder that is there whole or not at all."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import pyarrow
import pyarrow.compute

from hpcsbi.arguments import Natural, OneOf, checked
from hpcsbi.errors import BadInput
from hpcsbi.flags import legend
from hpcsbi.inference.columns.catalogue_descriptions import described_columns, described_draws
from hpcsbi.release.checksums import write_checksums
from hpcsbi.release.fits_table import write_fits
from hpcsbi.release.hats_folder import refuse_without_library, write_hats
from hpcsbi.release.keys_and_gaps import Checked, check_rows
from hpcsbi.release.origin import cards, headers, provenance
from hpcsbi.release.parquet_table import write_parquet
from hpcsbi.release.readme import readme
from hpcsbi.release.released_table import Released, blocks_of_file
from hpcsbi.run.catalogue import refuse_old
from hpcsbi.run.merges import MADE_OF, is_behind, table_of
from hpcsbi.run.posterior_draws import draw_blocks, refuse_few_draws
from hpcsbi.run.referee_folder import REFEREE
from hpcsbi.stages.release_referee import Sample, sample_of, write_referee
from hpcsbi.store.files import read_object, read_parquet_header, write_atomically
from hpcsbi.store.locks import holders, locked
from hpcsbi.store.machine import machines_of
from hpcsbi.store.opening import open_complete
from hpcsbi.store.provenance import code_of
from hpcsbi.store.settings import refuse_other_settings
from hpcsbi.store.store import Store
from hpcsbi.terminal import tell_once

__all__ = ["release"]

FORMATS = ("fits", "parquet", "hats")
ORIGIN = "provenance.json"
WRITERS = {"fits": ("astropy",), "parquet": ("astropy", "pyarrow"), "hats": ("hats-import", "hats")}


def _some_format(formats: Sequence[str]) -> None:
    if not formats or len({*formats}) < len(formats):
        raise BadInput(f"release.formats is {[*formats]}: name each of {', '.join(FORMATS)} once.")
    if "hats" in formats:
        refuse_without_library()


@checked(_some_format)
def release(
    out: str,
    catalogue: str,
    formats: tuple[Annotated[str, OneOf(FORMATS)], ...],
    draws: Natural,
    referee: Natural = 0,
    spectra: str = "",
    flow: str = "",
    seed: Natural = 0,
) -> None:
    """Write a finished catalogue as files that explain themselves, with their digests.

    A block of rows is in memory at a time. A writer that was killed is gone on from, file by file;
    the same catalogue gives the same bytes.

    Arguments:
        out: the folder to write.
        catalogue: the store of the catalogue, with its Parquet file beside it.
        formats: of FORMATS.
        draws: of each posterior, in files of their own; 0 for none.
        referee: rows that anybody can make again: chosen at random, with one of each flag that none
            of them has, they go with their spectra and the flow into a folder; 0 for none.
        spectra, flow: what the catalogue was made of; for a referee.
        seed: of the choice.

    Raises:
        BadInput: keys that are not unique, numbers that lack where they must not, fewer draws than
            asked for, a catalogue that an older version made, or, for a referee, spectra or a flow
            that do not give its rows.
        FileNotFoundError: they are gone.
        Mismatch: the folder is there, and is of another catalogue or other options.
    """
    store = open_complete(catalogue, "infer", verify=False)
    _refuse_unfit(store, draws)
    made_of = read_parquet_header(table_of(store.path))[MADE_OF]
    facts = provenance(store.settings, made_of, machines_of(store.path))
    facts |= {"release": {"code": code_of("release"), "formats": [*formats], "draws": draws}}
    facts["release"]["written_by"] = _versions(formats)
    if referee:
        facts["release"]["referee"] = {"objects": referee, "seed": seed}
    facts = json.loads(json.dumps(facts))  # as it is read again
    folder = Path(out)
    work = folder.with_name(f"{folder.name}.partial")
    if folder.exists():
        refuse_other_settings(
            folder, read_object(folder / ORIGIN), facts, "Remove it, or name another release.out."
        )
        if not holders(work):  # its writer was killed after the last step
            shutil.rmtree(work, ignore_errors=True)
        print(f"{folder} is there already.")
        return
    sample = sample_of(store, spectra, flow, referee, seed) if referee else None
    work.mkdir(parents=True, exist_ok=True)
    try:
        with locked(work):
            if not folder.exists():  # another driver may just have made it
                _write(work, store, facts, sample)
                (work / "files").rename(folder)
    except BadInput:  # what is refused leaves nothing
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)
    _tell(folder, store)


def _refuse_unfit(store: Store, draws: int) -> None:
    """What can be wrong with the catalogue and is told without a look at its rows."""
    refuse_old(store)
    if "identity" not in store.arrays or "position" not in store.arrays:
        raise BadInput(
            f"{store.path} has no keys and positions: its spectra were read by an older version; "
            "run jobs/ingest.py and jobs/infer.py under another name."
        )
    if is_behind(store.path):
        raise BadInput(
            f"{table_of(store.path)} is not of the stores that are there: run jobs/infer.py again, "
            "which writes it."
        )
    refuse_few_draws(store, draws)


def _versions(formats: Sequence[str]) -> dict[str, str]:
    """Libraries whose choices are in the bytes."""
    names = {name for each in formats for name in WRITERS[each]}
    return {name: version(name) for name in sorted(names)}


def _write(work: Path, store: Store, facts: Mapping[str, Any], sample: Sample | None) -> None:
    """All files of a release, those left out that are there."""
    files = work / "files"
    if not files.exists() or not _is_of(files / ORIGIN, facts):
        shutil.rmtree(files, ignore_errors=True)
        write_atomically(files / ORIGIN, (json.dumps(facts, indent=1) + "\n").encode())
    for half in files.glob("*.partial"):  # of a killed writer, as there is no other one
        half.unlink()
    notice = store.attributes.get("notice", "")
    table, told = _table_of(store, headers(notice, legend()["comment"], facts))
    steps = _steps(work, store, table, told, facts)
    if sample is not None:  # first, as it may refuse
        write = partial(
            write_referee, scratch=work / REFEREE, sample=sample, table=table, notice=notice
        )
        steps = {REFEREE: write, **steps}
    for name, step in steps.items():
        if not (files / name).exists():
            step(files / name)
    names = [*steps, ORIGIN, "README.md", "SHA256SUMS"]
    text = readme(table.columns, told.counts, names, notice, facts)
    write_atomically(files / "README.md", text.encode())
    write_checksums(files)


def _table_of(store: Store, header: Mapping[str, str]) -> tuple[Released, Checked]:
    """The catalogue, every row of it looked at."""
    path = str(table_of(store.path))
    along = {
        dim: [str(name) for name in store.read(dim)]
        for dim in ("parameter", "quantity", "blend", "line_group")
        if dim in store.arrays
    }
    columns, blocks = described_columns(store.sharded, along), blocks_of_file(path)
    told = check_rows(path, columns, blocks)
    return Released(columns, told.rows, blocks, header, told.widths), told


def _steps(
    work: Path, store: Store, table: Released, told: Checked, facts: Mapping[str, Any]
) -> dict[str, Callable[[Path], None]]:
    """Name of each product of a format -> what writes it to a path, in order."""
    formats, draws = facts["release"]["formats"], facts["release"]["draws"]
    header_cards = cards(store.attributes.get("notice", ""), facts)
    tables = {"catalogue": table}
    if draws:
        tables["draws"] = _draws_table(store, table, draws)
    steps: dict[str, Callable[[Path], None]] = {}
    for name, each in tables.items():
        if "fits" in formats:
            steps[f"{name}.fits"] = partial(
                write_fits, name=name.upper(), table=each, cards=header_cards
            )
        if "parquet" in formats:
            steps[f"{name}.parquet"] = partial(write_parquet, table=each)
    if "hats" in formats:
        steps["hats"] = partial(_write_hats, work=work, table=table, placed=told.placed)
    return steps


def _is_of(path: Path, facts: Mapping[str, Any]) -> bool:
    return path.exists() and read_object(path) == facts


def _draws_table(store: Store, table: Released, draws: int) -> Released:
    names = [str(name) for name in store.read("parameter")]
    widths = {"key": table.widths["key"], "origin": len("reweighted")}
    columns = described_draws(names, draws)
    return Released(columns, table.rows, draw_blocks(store, draws), table.header, widths)


def _write_hats(to: Path, work: Path, table: Released, placed: int) -> None:
    """Rows that have a place on the sky."""
    if not placed:
        raise BadInput(
            "release.formats has hats, which is partitioned on the sky, and no spectrum has a "
            "position (RA, DEC): leave hats out, or give positions to jobs/ingest.py."
        )

    def blocks() -> Iterator[pyarrow.RecordBatch]:
        for block in table.blocks():
            good = [pyarrow.compute.is_finite(block.column(name)) for name in ("ra", "dec")]
            yield block.filter(pyarrow.compute.and_(*good))

    source = work / "placed.parquet"
    write_parquet(source, replace(table, blocks=blocks, rows=placed))
    write_hats(to, source, placed, work / "hats")
    source.unlink()


def _tell(folder: Path, store: Store) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"{folder}: {store.rows} spectra, {len(files)} files, {size / 1e6:.1f} MB.")
    if notice := store.attributes.get("notice", ""):
        tell_once(notice)
