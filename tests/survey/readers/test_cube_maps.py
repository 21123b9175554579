"""Maps: numbers stand at their spaxels, under the cube's coordinates; other rows are refused."""

import numpy as np
import pytest
import survey_files
from astropy.io import fits
from astropy.wcs import WCS
from test_manga_cube import BINS

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.cube_maps import write_maps


@pytest.mark.parametrize("end", ["fits", "fits.gz"])
def test_numbers_stand_at_their_spaxels(end, tmp_path):
    """All spaxels of a bin have its number, those of none NaN; rows may be in any order."""
    cube = survey_files.manga_cube(tmp_path / f"cube.{end}", bins=BINS)
    columns = {"tage_p50": np.array([3.0, 1.0, 2.0]), "tage_p16": np.array([0.3, 0.1, 0.2])}
    write_maps(tmp_path / "maps.fits", cube, np.array([2, 0, 1]), columns)

    with fits.open(tmp_path / "maps.fits") as hdus:
        expected = np.array([[np.nan, 1, 1, 3], [2, 1, 2, 3], [2, np.nan, np.nan, 3]])
        np.testing.assert_array_equal(hdus["tage_p50"].data, expected)
        np.testing.assert_allclose(hdus["tage_p16"].data, expected / 10, rtol=1e-6)
        place = WCS(hdus["tage_p50"].header).pixel_to_world_values(1, 1)
    assert [float(each) for each in place] == pytest.approx(survey_files.PLACE)


def test_a_row_that_is_not_there_is_a_hole(tmp_path):
    """Spaxels that were not chosen have no number."""
    cube = survey_files.manga_cube(tmp_path / "cube.fits")
    write_maps(tmp_path / "maps.fits", cube, np.array([5]), {"tau_p50": np.array([7.0])})
    image = fits.getdata(tmp_path / "maps.fits", "tau_p50")
    assert image[1, 1] == 7 and np.isnan(image).sum() == 11


@pytest.mark.parametrize("rows", [[], [3], [-1]])
def test_rows_of_another_cube_are_refused(rows, tmp_path):
    """And so is what is no cube; nothing is left behind."""
    cube = survey_files.manga_cube(tmp_path / "cube.fits", bins=BINS)
    with pytest.raises(BadInput, match="which cube was it made of"):
        write_maps(tmp_path / "maps.fits", cube, np.array(rows), {"a": np.ones(len(rows))})
    fibres = survey_files.manga_cube(tmp_path / "rss.fits", rss=True)
    with pytest.raises(BadInput, match="holds no cube"):
        write_maps(tmp_path / "maps.fits", fibres, np.array([0]), {"a": np.ones(1)})
    assert not [*tmp_path.glob("maps*")]
