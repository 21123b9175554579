"""A finished catalogue as a table of pandas, and its flags in words."""

from pathlib import Path

import pandas as pd

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag, meanings
from hpcsbi.store.files import read_parquet_header

__all__ = ["flags_in_words", "load_catalogue"]


def load_catalogue(path: str | Path) -> pd.DataFrame:
    """The catalogue of a run, one row for each spectrum.

    Its `attrs` hold `notice`, which says where a catalogue is not for science, and `flags`, the
    legend of that column.

    Arguments:
        path: catalogue.parquet, or the folder of the run that holds it.

    Raises:
        FileNotFoundError: there is none.
        BadInput: the file is no catalogue.

    Example:
        >>> catalogue = load_catalogue("runs/demo")
        >>> catalogue.loc[catalogue["flags"] == 0, ["id", "tage_p50"]].columns.tolist()
        ['id', 'tage_p50']
        >>> len(catalogue), "DEMONSTRATION" in catalogue.attrs["notice"].upper()
        (3, True)
    """
    path = Path(path)
    table = path / "catalogue.parquet" if path.is_dir() else path
    if not table.is_file():
        raise FileNotFoundError(
            f"{table} does not exist: run jobs/infer.py first, or name another catalogue."
        )
    header = read_parquet_header(table)
    if "flags" not in header:
        raise BadInput(f"{table} is no catalogue: name the catalogue.parquet that infer made.")
    catalogue = pd.read_parquet(table)
    catalogue.attrs = {name: header.get(name, "") for name in ("notice", "flags")}
    return catalogue


def flags_in_words(value: int) -> dict[str, str]:
    """Name and meaning of each flag that is set in one value of the column `flags`.

    Raises:
        BadInput: a number with bits that no flag has.

    Example:
        >>> flags_in_words(1 << 10)
        {'NO_EBV': 'no Galactic E(B-V) is known: none is corrected'}
    """
    if unknown := int(value) & ~int(Flag(sum(Flag))):
        raise BadInput(f"flags={value}: no flag has the bits {unknown:#x}.")
    return meanings(value)
