"""Observed spectra become rows of the catalogue of spectra, each for itself."""

import numpy as np
import pytest
from survey_files import NATIVE

from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.record.spectra import Spectra, unread_spectra
from hpcsbi.survey.rest_frame import CM_PER_MPC, LSUN

GRID, WAVE = Grid(), NATIVE["linear"]


def spectra(rows=3, **changes):
    """Flat spectra of a good signal-to-noise at redshift 0.05."""
    flux = np.full((rows, len(WAVE)), 20.0)
    given = {
        "wave": WAVE,
        "flux": flux,
        "ivar": np.ones(flux.shape),
        "zred": np.full(rows, 0.05),
        "id": [f"galaxy {k}" for k in range(rows)],
        "unit": 1e-17,
        "ebv": np.full(rows, 0.02),
    }
    return Spectra(**given | changes)


def flags_of(columns):
    """Flags of each row."""
    return [Flag(int(value)) for value in columns["flags"]]


def test_a_good_row_has_numbers_and_no_flag():
    """Shapes and types of the columns, and luminosities with the distance that is noted."""
    columns = columns_of(spectra(ebv=np.zeros(3)), False, GRID)

    assert columns["flux"].shape == columns["ivar"].shape == (3, GRID.pixels)
    assert columns["flux"].dtype == columns["ivar"].dtype == np.float32
    assert flags_of(columns) == [Flag(0)] * 3 and not any(columns["reason"])
    cm = columns["distance"][0] * CM_PER_MPC
    expected = 4 * np.pi * cm**2 * 1.05 * 20e-17 / LSUN
    valid = columns["ivar"][0] > 0
    np.testing.assert_allclose(columns["flux"][0, valid], expected, rtol=1e-5)
    assert columns["n_pixels"].tolist() == [valid.sum()] * 3


def test_a_row_is_the_same_alone_and_among_others():
    """Whatever is wrong with its neighbours."""
    flux = np.full((4, len(WAVE)), 20.0) * np.arange(1, 5)[:, None]
    flux[1], zred = np.nan, np.array([0.05, 0.06, np.nan, 0.07])
    together = columns_of(spectra(4, flux=flux, zred=zred), False, GRID)

    for row in range(4):
        part = slice(row, row + 1)
        alone = spectra(1, flux=flux[part], zred=zred[part], id=[f"galaxy {row}"])
        for name, values in columns_of(alone, False, GRID).items():
            np.testing.assert_array_equal(values, together[name][part], err_msg=name)


@pytest.mark.parametrize(
    ("changes", "flag", "reason"),
    [
        ({"zred": np.array([0.0])}, Flag.Z_RANGE, "redshift 0 is not between 0 and 20"),
        ({"zred": np.array([21.0])}, Flag.Z_RANGE, "redshift 21 is not between"),
        ({"ivar": np.zeros((1, len(WAVE)))}, Flag.ALL_MASKED, "ivar is 0 in 7781"),
        ({"flux": np.full((1, len(WAVE)), np.inf)}, Flag.NOT_FINITE, "flux is not finite in 7781"),
        ({"unit": 1.0}, Flag.LUMINOSITY, "is a factor (such as 1e-17) missing"),
        ({"ebv": np.array([np.nan])}, Flag.NO_EBV, ""),
        ({"ebv": np.array([-0.1])}, Flag.NO_EBV, ""),
        ({"zwarn": np.array([True])}, Flag.ZWARN, ""),
        ({"distance": np.array([-3.0])}, None, "distance -3 Mpc is not used"),
    ],
)
def test_what_is_wrong_is_flagged_and_told(changes, flag, reason):
    """One thing at a time, with the number that was found where it costs the row its data."""
    columns = columns_of(spectra(1, **changes), False, GRID)

    assert flag is None or flag in flags_of(columns)[0]
    assert reason in columns["reason"][0] and bool(reason) == bool(columns["reason"][0])
    assert np.isfinite(columns["flux"]).all() and (columns["flux"][columns["ivar"] == 0] == 0).all()


def test_rows_that_were_not_read_have_their_reason_and_no_numbers():
    """They keep their place and name, as unreadable and without data."""
    columns = columns_of(unread_spectra(["a", "b"], "cut short"), False, GRID)

    assert columns["id"].tolist() == ["a", "b"]
    assert columns["reason"].tolist() == ["cut short"] * 2
    assert flags_of(columns)[0] & ~Flag.Z_RANGE & ~Flag.NO_EBV == Flag.UNREADABLE | Flag.NO_DATA
    assert np.isnan(columns["ebv"]).all() and np.isnan(columns["distance"]).all()
    assert not columns["flux"].any() and not columns["ivar"].any()


def test_air_is_another_spectrum():
    """A step in the flux lies elsewhere when its wavelengths are in air."""
    flux = np.where(WAVE < 6500, 10.0, 20.0)[None]
    vacuum, air = (columns_of(spectra(1, flux=flux), air, GRID)["flux"][0] for air in (False, True))

    apart = np.flatnonzero(~np.isclose(vacuum, air, rtol=5e-3))
    assert np.abs(GRID.wave[apart] - 6500 / 1.05).max() < 2 * GRID.widths[0] and len(apart)


def test_the_width_that_is_told_is_that_of_the_pixels_in_the_range():
    """A prism's are narrow in the blue and beyond the grid, and too wide within it."""
    wave = np.concatenate([np.arange(2000, 3800, 10.0), np.arange(3800, 11_000, 90.0)])
    flux = np.full((1, len(wave)), 20.0)
    columns = columns_of(spectra(1, wave=wave, flux=flux, ivar=np.ones(flux.shape)), False, GRID)

    assert Flag.WIDE_PIXELS in flags_of(columns)[0]
    assert f"pixels of {90 / 1.05:.4g} Angstrom" in columns["reason"][0]
