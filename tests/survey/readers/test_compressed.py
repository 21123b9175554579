"""Files are known by their first bytes, and read packed or not."""

import bz2
import gzip
import lzma

import numpy as np
import pytest
from survey_files import configured, make, read

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.compressed import kind, open_contents, path_or_contents
from hpcsbi.survey.record.source import Source

PACKED = {
    "plain.fits": gzip.compress, "UPPER.FITS.GZ": gzip.compress, "own.fits.bz2": bz2.compress,
    "own.fits.xz": lzma.compress,
}  # fmt: skip


@pytest.mark.parametrize("name", list(PACKED))
@pytest.mark.parametrize("survey", ["table", "manga", "desi"])
def test_compressed_files_are_read_whatever_their_name(name, survey, tmp_path):
    """gzip, bzip2 and xz are known by their first bytes; cut ones are called cut."""
    path = make(survey, tmp_path)
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    expected = read(configured(survey), path)
    packed = tmp_path / name if survey != "desi" else path
    packed.write_bytes(PACKED[name](raw))

    found = read(configured(survey), packed)

    np.testing.assert_array_equal(found[0].flux, expected[0].flux)
    packed.write_bytes(packed.read_bytes()[:-4000])
    with pytest.raises(BadInput, match="not a whole file"):
        configured(survey).count(configured(survey).sources([packed])[0])


def test_what_cannot_be_unpacked_is_said(tmp_path):
    """zstd is named, not called cut short."""
    path = tmp_path / "own.fits.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))

    with pytest.raises(BadInput, match="zstd"):
        configured("table").count(Source(str(path)))


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"SIMPLE  =", "fits"),
        (b"PAR1", "parquet"),
        (b"PK\x03\x04", "npz"),
        (b"wave,flux", ""),
        (b"", ""),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_kind_is_told_by_the_contents(head, name, pack, tmp_path):
    """Packed or not, and whatever the file is called."""
    path = tmp_path / "own.txt"
    path.write_bytes(pack(head))

    assert kind(path) == name


def test_what_is_packed_is_unpacked_once(tmp_path):
    """A plain file is given by its path, so that nobody holds it in memory."""
    plain, packed = tmp_path / "a.npz", tmp_path / "b.npz"
    plain.write_bytes(b"PK\x03\x04 and more")
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert path_or_contents(plain) == plain
    assert path_or_contents(packed) == plain.read_bytes()
    with open_contents(packed) as file:
        assert file.read() == plain.read_bytes()
