"""Reproduce: chosen rows of a release made again from their spectra, and compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from hpcsbi.arguments import checked
from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput
from hpcsbi.release.checksums import refuse_changed
from hpcsbi.release.comparison_words import comparison_lines, comparison_table, few, verdict
from hpcsbi.release.row_comparison import ComparedColumn, compare_rows
from hpcsbi.run.merges import table_of
from hpcsbi.run.referee_folder import RefereeFolder, referee_folder
from hpcsbi.stages.infer import infer
from hpcsbi.store.files import read_object, write_atomically
from hpcsbi.store.machine import machine_difference
from hpcsbi.store.provenance import code_of

__all__ = ["infer_again", "refuse_other_rows", "reproduce"]

Columns = Mapping[str, np.ndarray]


@checked()
def reproduce(out: str, release: str) -> bool:
    """Infer the spectra of a release's folder for referees, and compare with the released rows.

    Arguments:
        out: folder to write: the catalogue of these spectra, and columns.csv with what was
            compared.
        release: folder of the release, or the part of it for a referee.

    Returns:
        Whether the rows agree.

    Raises:
        FileNotFoundError: the release has no such part.
        BadInput: its files are not those of its list.
    """
    folder, place = referee_folder(release), Path(out)
    refuse_changed(folder.path)
    made = infer_again(folder, place / "catalogue.zarr")
    released, rerun = _columns(folder.rows), _columns(made)
    columns, keys = _compared(folder, released, rerun), released["key"]
    write_atomically(place / "columns.csv", comparison_table(columns, keys))
    print(f"{place / 'columns.csv'}: {len(keys)} objects, {len(columns)} columns.")
    bits, where = _compared(folder, _columns(folder.rerun), rerun), _elsewhere(folder)
    for line in (_last_bits(bits), *where, *comparison_lines(columns, released, rerun)):
        print(f"  {line}")
    told = verdict(columns, keys)
    if told == "agrees" and not where and (other := _other_bits(bits)):
        told = f"does not agree: other last bits on the same type of processor in {few(other)}"
    print(told)
    return told == "agrees"


def infer_again(folder: RefereeFolder, catalogue: Path) -> Path:
    """Make the rows of a folder again; the Parquet file that holds them."""
    options = read_object(folder.settings)["infer"]
    infer(
        str(catalogue),
        str(folder.flow.path),
        str(folder.spectra),
        keep_draws=0,
        cluster=Serial(),
        **options,
    )
    return table_of(catalogue)


def refuse_other_rows(folder: RefereeFolder, made: Path, mend: str) -> None:
    """Raise unless rows that were made again agree with the released ones.

    Raises:
        BadInput: they do not.
    """
    released, rerun = _columns(folder.rows), _columns(made)
    told = verdict(_compared(folder, released, rerun), released["key"])
    if told != "agrees":
        raise BadInput(f"made again from its spectra and flow, the catalogue {told}. {mend}")


def _compared(folder: RefereeFolder, released: Columns, rerun: Columns) -> list[ComparedColumn]:
    """Columns of the same objects, compared.

    Raises:
        BadInput: they are not the same objects.
    """
    if released["key"].tolist() != rerun["key"].tolist():
        raise BadInput(f"{folder.path}: {folder.rows.name} and its spectra are of other objects.")
    searched = read_object(folder.settings)["representation"] == "optimum"
    return compare_rows(released, rerun, searched)


def _other_bits(columns: Sequence[ComparedColumn]) -> list[str]:
    """Columns that differ in something."""
    return [column.name for column in columns if column.equal < column.count]


def _last_bits(columns: Sequence[ComparedColumn]) -> str:
    other = _other_bits(columns)
    if not other:
        return "to the last bit what this folder gave when it was released"
    return f"not to the last bit what this folder gave when it was released: {few(other)}"


def _elsewhere(folder: RefereeFolder) -> list[str]:
    """Why last bits may be others than where the folder was made; nothing where they may not."""
    about = read_object(folder.settings)
    lines = [line for line in [machine_difference(about["machine"])] if line]
    if about["code"]["rerun"] != code_of("infer"):
        lines.append("the code of infer is another one than that of the release")
    return lines


def _columns(path: Path) -> dict[str, np.ndarray]:
    """Columns of a Parquet file by name."""
    table = pyarrow.parquet.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}
