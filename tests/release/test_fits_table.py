"""FITS as astropy itself would write it, without the whole table in memory."""

from dataclasses import replace

import numpy as np
import pyarrow
import pytest
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.inference.columns.catalogue_descriptions import DescribedColumn
from hpcsbi.release.fits_table import SIZE, write_fits
from hpcsbi.release.released_table import Released

N, DRAWS = 1001, 3
KINDS = {"s": "string", "i": "int32", "e": "float32", "d": "float64"}
COLUMNS = [
    DescribedColumn(name, kind, "Gyr" if kind == "float32" else "", "time.age", f"a {kind}", "", "")
    for name, kind in KINDS.items()
]
COLUMNS.append(replace(COLUMNS[2], name="v", length=DRAWS))
LONG = "a prior " * 40


def values():
    rng = np.random.default_rng(1)
    return {
        "s": [f"galaxy {i}" for i in range(N)],
        "i": rng.integers(-5, 5, N).astype(np.int32),
        "e": rng.normal(size=N).astype(np.float32),
        "d": rng.normal(size=N),
        "v": rng.normal(size=(N, DRAWS)).astype(np.float32),
    }


def table(size=64):
    made = values()
    vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(made["v"].ravel()), DRAWS)
    rows = pyarrow.table({**{n: pyarrow.array(each) for n, each in made.items() if n != "v"}}
                         | {"v": vectors})  # fmt: skip
    return Released(COLUMNS, N, lambda: iter(rows.to_batches(size)), {}, {"s": 11})


@pytest.fixture
def file(tmp_path):
    cards = {"PRIOR": (LONG, "told"), "SHORT": ("caf\xe9", "what it is")}
    write_fits(tmp_path / "x.fits", "X", table(), cards)
    return tmp_path / "x.fits"


def test_numbers_come_back(file):
    """To the last bit, by memory map, and the file verifies."""
    with fits.open(file, memmap=True) as hdus:
        hdus.verify("exception")
        for name, each in values().items():
            np.testing.assert_array_equal(hdus["X"].data[name], each)
    assert file.stat().st_size % SIZE == 0


def test_the_bytes_are_those_of_astropy(file, tmp_path):
    """Of the rows: the same as those of a table that is in memory as a whole."""
    made = values()
    kinds = {"s": "11A", "i": "J", "e": "E", "d": "D", "v": f"{DRAWS}E"}
    whole = fits.BinTableHDU.from_columns(
        [fits.Column(name, kinds[name], array=each) for name, each in made.items()]
    )
    whole.writeto(tmp_path / "whole.fits")
    data = [
        path.read_bytes()[info["datLoc"] : info["datLoc"] + info["datSpan"]]
        for path in (file, tmp_path / "whole.fits")
        for info in [fits.open(path)[1].fileinfo()]
    ]

    assert data[0] == data[1]


def test_the_size_of_a_block_decides_nothing(file, tmp_path):
    """Equal bytes in one block and in many."""
    cards = {"PRIOR": (LONG, "told"), "SHORT": ("caf\xe9", "what it is")}
    write_fits(tmp_path / "other.fits", "X", table(7), cards)

    assert (tmp_path / "other.fits").read_bytes() == file.read_bytes()


def test_headers_tell_what_columns_are(file):
    """Unit, UCD and words; long texts whole; no date."""
    header = fits.getheader(file, "X")

    assert [header[f"{word}3"] for word in ("TUNIT", "TUCD", "TCOMM")] == [
        "Gyr", "time.age", "a float32",
    ]  # fmt: skip
    assert "TUNIT1" not in header
    assert header["PRIOR"] == LONG.rstrip() and header["SHORT"] == "caf\\xe9"
    assert header.comments["SHORT"] == "what it is"
    assert "DATE" not in header


def test_more_columns_than_fits_has_are_refused(tmp_path):
    """Readers would take other columns for those behind the last number."""
    many = [replace(COLUMNS[1], name=f"i{i}") for i in range(1000)]

    with pytest.raises(BadInput, match="FITS holds 999 columns, and there are 1000"):
        write_fits(tmp_path / "x.fits", "X", replace(table(), columns=many), {})
