"""Anybody's FITS and Parquet are read by column."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from hpcsbi.errors import BadInput
from hpcsbi.release.catalogue_file import CatalogueFile


@pytest.fixture(params=["fits", "parquet"])
def file(request, tmp_path):
    table = Table({"ID": ["a ", "b"], "LOGM": np.array([9.5, np.nan], ">f4"), "N": [1, 2]})
    table["V"] = np.ones((2, 3))
    path = tmp_path / f"x.{request.param}"
    if request.param == "parquet":
        table["LOGM"] = table["LOGM"].astype("f4")
    table.write(path)
    return path


def test_columns_are_found_in_any_case(file):
    """As numbers and as names; an integer may be a name."""
    other = CatalogueFile(file)

    assert other.rows == 2
    assert other.named("id") == "ID" and other.named("key") is None
    assert other.texts("id", [0, 1]) == ["a", "b"] and other.texts("N", [1]) == ["2"]
    np.testing.assert_array_equal(other.numbers("logm"), [9.5, np.nan])


@pytest.mark.parametrize("kind", ["fits", "parquet"])
def test_names_have_the_same_digest_in_every_file(tmp_path, kind, monkeypatch):
    """Over blocks and groups of rows; an empty one has none, and blanks do not count."""
    monkeypatch.setattr("hpcsbi.release.catalogue_file.BLOCK", 3)
    names = ["a", "", "caf\xe9" if kind == "parquet" else "cafe", "a", "d", " ", "f", "a "]
    table = Table({"ID": names, "N": range(8)})
    table.write(tmp_path / f"x.{kind}")
    table[::-1].write(tmp_path / "y.parquet")
    first, second = CatalogueFile(tmp_path / f"x.{kind}"), CatalogueFile(tmp_path / "y.parquet")
    digests = first.name_digests("id")

    np.testing.assert_array_equal(second.name_digests("ID"), digests[::-1])
    assert digests[1] == digests[5] == 0 and digests[0] == digests[3] == digests[7]
    assert len({*digests.tolist()}) == 5
    assert first.texts("ID", [2, 3, 6]) == [names[2], "a", "f"] and first.texts("ID", []) == []
    assert first.texts("n", range(8)) == [str(i) for i in range(8)]


def test_what_is_not_there_is_told(file):
    """With the likely name; vectors and texts are no numbers."""
    other = CatalogueFile(file)

    with pytest.raises(BadInput, match=r"has no column LOG; did you mean LOGM\?"):
        other.numbers("LOG")
    for name in ("V", "ID"):
        with pytest.raises(BadInput, match=f"{name} holds no number"):
            other.numbers(name)


def test_other_files_are_refused(tmp_path):
    """A text, an image, nothing at all."""
    (tmp_path / "x.csv").write_text("a,b")
    fits.PrimaryHDU(np.ones(3)).writeto(tmp_path / "image.fits")

    with pytest.raises(BadInput, match=r"x\.csv is neither FITS nor Parquet"):
        CatalogueFile(tmp_path / "x.csv")
    with pytest.raises(BadInput, match="no table in it"):
        CatalogueFile(tmp_path / "image.fits")
    with pytest.raises(FileNotFoundError, match="not there"):
        CatalogueFile(tmp_path / "nothing.fits")
