"""Maps from a catalogue: the rows of one cube among others, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import survey_files
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.run.maps import write_cube_maps

BINS = np.array([[-1, 0, 0, 4], [2, 0, 2, 4], [2, -1, -1, 4]])


def catalogue(path, files, rows, **columns):
    """A table with a number of each row, and texts that are no map."""
    table = {"id": ["g"] * len(rows), "file": files, "file_row": np.array(rows, "i4"),
             "ra": np.zeros(len(rows)), "flags": np.arange(len(rows), dtype="i4"),
             "tage_p50": 10.0 * np.arange(len(rows))} | columns  # fmt: skip
    pd.DataFrame(table).to_parquet(path)
    return path


def test_the_rows_of_the_cube_alone_are_mapped(tmp_path):
    """By the file and the number that each has; texts and places are no images."""
    cube = survey_files.manga_cube(tmp_path / "one.fits.gz", bins=BINS)
    table = catalogue(tmp_path / "c.parquet", ["two.fits.gz", *["one.fits.gz"] * 3], [0, 1, 0, 2])
    write_cube_maps(tmp_path / "maps.fits", table, cube)

    with fits.open(tmp_path / "maps.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "FLAGS", "TAGE_P50"]
        expected = [[np.nan, 20, 20, 30], [10, 20, 10, 30], [10, np.nan, np.nan, 30]]
        np.testing.assert_array_equal(hdus["tage_p50"].data, expected)
        assert hdus["tage_p50"].header["CRVAL1"] == pytest.approx(survey_files.PLACE[0])


def test_other_files_and_older_catalogues_are_refused(tmp_path):
    """In a line with the mend; nothing is written."""
    cube = survey_files.manga_cube(tmp_path / "one.fits", bins=BINS)
    table = catalogue(tmp_path / "c.parquet", ["two.fits"], [0])
    with pytest.raises(BadInput, match=r"no rows of the file one\.fits"):
        write_cube_maps(tmp_path / "maps.fits", table, cube)
    pd.DataFrame({"id": ["a"], "tage_p50": [1.0]}).to_parquet(tmp_path / "old.parquet")
    with pytest.raises(BadInput, match="an older version"):
        write_cube_maps(tmp_path / "maps.fits", tmp_path / "old.parquet", cube)
    many = catalogue(tmp_path / "many.parquet", ["one.fits"], [3])
    with pytest.raises(BadInput, match="which cube"):
        write_cube_maps(tmp_path / "maps.fits", many, cube)
    assert not (tmp_path / "maps.fits").exists()
