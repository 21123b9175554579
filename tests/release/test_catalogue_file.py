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
    assert other.texts("id") == ["a", "b"] and other.texts("N") == ["1", "2"]
    np.testing.assert_array_equal(other.numbers("logm"), [9.5, np.nan])


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
