"""Who rows are: places on the sky or none, texts for each row or for all, numbers in their file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from survey_files import DATA, configured, read, real

from hpcsbi.survey.record.identity import AXES, NAMES, Identity, degrees

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(NUMBERS, NUMBERS)
def test_a_place_is_on_the_sky_or_nowhere(ra, dec):
    """Right ascension is wrapped, never both kept and wrong."""
    place = degrees(np.array([[ra, dec]]))[0]
    if abs(ra) <= 360 and abs(dec) <= 90:
        assert 0 <= place[0] <= 360 and place[1] == dec
        assert np.cos(np.radians(place[0] - ra)) == pytest.approx(1)
    else:
        assert np.isnan(place).all()


def test_columns_have_a_row_for_each_key():
    """One text for all or one each; the survey of the reader only where the file names none."""
    who = Identity(["a", "b"], ["sdss", ""], "legacy", np.array([10.0, np.nan]), np.array([1, 2]))
    columns = who.columns("desi", "x.fits", 64)

    assert columns["identity"].tolist() == [
        ["sdss", "legacy", "x.fits", "a"], ["desi", "legacy", "x.fits", "b"],
    ]  # fmt: skip
    assert columns["identity"].shape[1] == len(NAMES) and columns["position"].shape[1] == len(AXES)
    np.testing.assert_array_equal(columns["position"], [[10.0, 1.0], [np.nan, np.nan]])
    assert columns["file_row"].tolist() == [64, 65]
    unknown = Identity(["a"]).columns("table", "x.fits", 0)
    assert unknown["identity"][0, 1] == "" and np.isnan(unknown["position"]).all()


@real
@pytest.mark.parametrize(
    ("survey", "file", "key", "place", "of"),
    [
        ("sdss", "spectra/spec-0266-51602-0001.fits", "0266-51602-0001",
         (146.71421, -1.0413043), ("sdss", "legacy")),
        ("desi", "coadd-4-80613-thru20210324.fits",
         "80613-cumulative20210324-39633345008634465", (105.48977452, 56.66930006), ("", "")),
        ("desi", "spectra/coadd-special-dark-27247.fits", "special-dark-39089837499744649",
         (149.46540425, 1.79364675), ("special", "dark")),
        ("eso", "spectra/VANDELS_CDFS_017433.fits", "ADP.2018-09-20T08:18:23.070.fits",
         (53.0483738, -27.7650368), ("", "MULTI")),
        ("jwst", "spectra/static-test-driz-center-bkg_933.spec.fits",
         "static-test-driz-center-bkg_933.spec", (214.8337227, 52.8682822), ("", "")),
    ],
)  # fmt: skip
def test_real_files_say_who_they_are(survey, file, key, place, of):
    """As their headers and tables have it."""
    (block,) = read(configured(survey), DATA / file)
    who = block.identity

    assert [*who.key] == [key] and (who.survey, who.program) == of
    assert np.ravel([who.ra, who.dec]) == pytest.approx(place, abs=1e-7)
