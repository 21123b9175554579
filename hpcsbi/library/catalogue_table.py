"""A finished catalogue as a table of pandas, and its flags by name and in words."""

from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag, meanings
from hpcsbi.inference.columns.catalogue_descriptions import descriptions_of
from hpcsbi.store.files import read_parquet_header

__all__ = ["flags_in_words", "has_flag", "load_catalogue"]


def load_catalogue(path: str | Path) -> pd.DataFrame:
    """The catalogue of a run, one row for each spectrum.

    Its `attrs` hold `notice`, which says where a catalogue is not for science, `flags`, the legend
    of that column, and `unit`, that of each column which has one. The column itself is
    `catalogue["flags"]`: `catalogue.flags` is something of pandas.

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
    told = descriptions_of([*catalogue.columns]).items()
    catalogue.attrs["unit"] = {name: column.unit for name, column in told if column.unit}
    return catalogue


def has_flag(flags: ArrayLike, name: str) -> ArrayLike:
    """True where a flag is set, by its name.

    Arguments:
        flags: the column `flags`, or one value: integers of any shape, as an array, a Series or a
            column of a table.
        name: such as "EDGE"; docs/flags.md lists them.

    Returns:
        bool, in the shape and kind of `flags`.

    Raises:
        BadInput: no flag has this name, or `flags` are no integers.

    Example:
        >>> has_flag(np.array([1 << 10, 0]), "NO_EBV").tolist()
        [True, False]
    """
    if name not in Flag.__members__:
        near = get_close_matches(str(name).upper(), Flag.__members__, n=1)
        mend = f"did you mean {near[0]}?" if near else f"choose from {', '.join(Flag.__members__)}."
        raise BadInput(f"no flag is called {name!r}: {mend}")
    values = flags if hasattr(flags, "dtype") else np.asarray(flags)
    if values.dtype.kind not in "iu":
        raise BadInput(f"flags are {values.dtype}: they are the integers of the column flags.")
    return (values & int(Flag[name])) != 0


def flags_in_words(value: int) -> dict[str, str]:
    """Name and meaning of each flag that is set in one value of the column `flags`.

    Raises:
        BadInput: a number with bits that no flag has, or several numbers.

    Example:
        >>> flags_in_words(1 << 10)
        {'NO_EBV': 'no Galactic E(B-V) is known: none is corrected'}
    """
    if np.ndim(value):
        raise BadInput("flags_in_words takes one value: a column is column.map(flags_in_words).")
    if unknown := int(value) & ~int(Flag(sum(Flag))):
        raise BadInput(f"flags={value}: no flag has the bits {unknown:#x}.")
    return meanings(value)
