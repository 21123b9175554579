"""A FITS table of a user's own spectra: what is wrong in it is told by name."""

import gzip
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.formats import Survey
from hpcsbi.survey.record.source import Source

TABLE = Survey("table")
SHIPPED = Path(str(files("hpcsbi"))) / "data" / "sdss_nuclei.fits.gz"


@pytest.fixture
def raw() -> bytes:
    """The table that ships, unpacked."""
    return gzip.decompress(SHIPPED.read_bytes())


@pytest.mark.filterwarnings("ignore")
def test_any_byte_of_the_headers_may_be_wrong(raw, tmp_path):
    """The file is read, or refused in a line with its name, and astropy's error is none of ours."""
    path, refused = tmp_path / "own.fits", 0
    last = raw.rindex(b"EXTNAME")
    marks = [raw.index(word) for word in (b"XTENSION", b"TTYPE1", b"TTYPE3", b"TFORM2", b"TUNIT5")]

    for place in (*range(0, last, 61), *marks, *(mark + 1 for mark in marks)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        try:
            rows, _ = TABLE.look(Source(str(path)))
            list(TABLE.read(Source(str(path), rows=rows), slice(0, rows)))
        except BadInput as error:
            refused += 1
            assert "own.fits" in str(error) and "\n" not in str(error)
    assert refused > 5


def test_a_column_without_a_name_is_told(tmp_path):
    """FITS allows it, and astropy reads no row of such a table."""
    path = tmp_path / "own.fits"
    with fits.open(SHIPPED) as hdus:
        columns = [*hdus[1].columns, fits.Column("SPARE", "D", array=np.zeros(3))]
        fits.BinTableHDU.from_columns(columns).writeto(path)
    place = path.read_bytes().index(b"'SPARE")
    card = path.read_bytes()[:place].rindex(b"TTYPE")
    path.write_bytes(path.read_bytes()[:card] + b"COMMENT " + path.read_bytes()[card + 8 :])

    with pytest.raises(BadInput, match=rf"own\.fits: .*column {len(columns)} has no name: write"):
        TABLE.look(Source(str(path)))
