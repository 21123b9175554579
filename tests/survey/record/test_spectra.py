"""The record of spectra, and the units of its flux."""

import numpy as np
import pytest
from astropy import units
from survey_files import UNIT

from hpcsbi.errors import BadInput
from hpcsbi.survey.record.spectra import (
    USUAL,
    Spectra,
    factor,
    per_angstrom,
    per_hertz,
    text,
    unread_spectra,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (UNIT, 1e-17),
        ("10**-17 erg/(s cm2 Angstrom)", 1e-17),
        ("1E-17 erg/cm^2/s/Ang", 1e-17),
        ("erg s-1 cm-2 Angstrom-1", 1.0),
        ("W m-2 um-1", 0.1),
    ],
)
def test_units_per_angstrom_are_understood(text, value):
    """Any flux density per wavelength is turned into erg/s/cm2/A."""
    assert per_angstrom(text, "TUNIT") == pytest.approx(value, rel=1e-12)


def test_a_unit_that_is_none_names_where_it_stands():
    """The place, what stands there, and a good one; a frequency has a mend of its own."""
    for unit in ("", "uJy", "1e-17 erg/s/cm2/A"):
        with pytest.raises(BadInput, match=f"BUNIT of B_FLUX is '{unit}'.*{USUAL}.*F_nu"):
            per_angstrom(unit, "BUNIT of B_FLUX")


def test_a_factor_is_of_units_of_one_kind():
    """Lengths of lengths; anything else, or no unit at all, is no number."""
    assert factor("nm", units.AA) == pytest.approx(10)
    assert factor("angstroms", units.AA) == 1
    assert np.isnan([factor(name, units.AA) for name in ("erg", "furlong", "", " ")]).all()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b" NGC 3073\0\0", "NGC 3073"),
        (b"gal\xe4xy", "gal\\xe4xy"),
        (" a\0", "a"),
        ("a  \0 ", "a"),
        (7, "7"),
    ],
)
def test_names_are_text(value, name):
    """Without what pads them; a byte that is no text stays visible."""
    assert text(value) == name


def test_what_a_survey_does_not_say_is_not_known():
    """E(B-V) and distance are no numbers, no flag is set, and there is no reason."""
    flux = np.ones((2, 5))
    spectra = Spectra(np.arange(5.0), flux, flux, np.full(2, 0.1), ["a", "b"], 1e-17)

    for name in ("ebv", "distance"):
        assert np.isnan(getattr(spectra, name)).tolist() == [True, True]
    for name in ("zwarn", "other_class", "bad_fiber", "no_status"):
        assert getattr(spectra, name).tolist() == [False, False]
    assert list(spectra.reason) == ["", ""]


def test_rows_that_were_not_read_keep_their_names():
    """They have no redshift and no vectors, and all have the reason."""
    spectra = unread_spectra(("a", "b"), "cut short")

    assert spectra.id == ["a", "b"] and list(spectra.reason) == ["cut short"] * 2
    assert np.isnan(spectra.zred).all() and list(spectra.flux) == [None, None]


@pytest.mark.parametrize(("unit", "size"), [("Jy", 1e-23), ("uJy", 1e-29), ("erg/s/cm2/Hz", 1.0)])
def test_units_per_hertz_are_understood(unit, size):
    """Any flux density per frequency is turned into erg/s/cm2/Hz; others are refused."""
    assert per_hertz(unit, "TUNIT") == pytest.approx(size, rel=1e-12)
    for other in (None, "", "MJy/sr", USUAL, "DN"):
        with pytest.raises(BadInput, match="TUNIT is"):
            per_hertz(other, "TUNIT")
