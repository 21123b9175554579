"""The geometry of spectra: what fits, and a reason with the range found for what does not."""

import re

import numpy as np
import pytest

from hpcsbi.survey.geometry import groups, why_unreached
from hpcsbi.survey.record.spectra import Spectra, unread_spectra

WAVE = 4000 + 2.0 * np.arange(50)


def spectra(wave, flux, ivar):
    """Rows as a reader hands them over."""
    rows = len(flux)
    return Spectra(wave, flux, ivar, np.full(rows, 0.1), [str(k) for k in range(rows)], 1e-17)


def rows_of(made):
    """Rows in all groups."""
    return sorted(int(row) for group in made for row in np.arange(99)[group.rows][:99])


def test_shared_wavelengths_are_one_group():
    """One axis, or the same wavelengths in every row: nothing is copied row by row."""
    flux = np.ones((3, 50))
    for wave in (WAVE, np.tile(WAVE, (3, 1))):
        (group,), reasons = groups(spectra(wave, flux, flux))

        assert group.wave.shape == (50,) and np.shares_memory(group.flux, flux)
        assert reasons == ["", "", ""]


def test_neighbours_of_equal_wavelengths_stay_together():
    """Rows with wavelengths of their own become runs, each with its own values."""
    wave = np.stack([WAVE, WAVE, WAVE + 1, WAVE + 1, WAVE])
    flux = np.arange(5.0)[:, None] * np.ones((5, 50))

    made, reasons = groups(spectra(wave, flux, flux))

    assert [group.rows.tolist() for group in made] == [[0, 1], [2, 3], [4]]
    assert [group.wave[0] for group in made] == [4000, 4001, 4000]
    assert [group.flux[:, 0].tolist() for group in made] == [[0, 1], [2, 3], [4]]
    assert reasons == [""] * 5


BAD = {
    "flux missing": (WAVE, None, np.ones(50)),
    "lengths differ: wave 50, flux 49, ivar 50": (WAVE, np.ones(49), np.ones(50)),
    "lengths differ: wave 50, flux 50, ivar 1": (WAVE, np.ones(50), np.ones(1)),
    "not one vector": (WAVE, np.ones((2, 25)), np.ones(50)),
    "1 pixel": (WAVE[:1], np.ones(1), np.ones(1)),
    "0 pixels": (WAVE[:0], np.ones(0), np.ones(0)),
    "decrease, 4098 to 4000": (WAVE[::-1], np.ones(50), np.ones(50)),
    "not finite": (np.where(WAVE == 4010, np.nan, WAVE), np.ones(50), np.ones(50)),
    "not positive": (WAVE - 4000, np.ones(50), np.ones(50)),
    r"repeat \(pixels 10 and 11": (np.insert(WAVE, 10, WAVE[10])[:50], np.ones(50), np.ones(50)),
    "not increasing": (np.roll(WAVE, 7), np.ones(50), np.ones(50)),
    "no numbers": (np.array(["a"] * 50), np.ones(50), np.ones(50)),
}


@pytest.mark.parametrize("words", list(BAD))
def test_a_bad_row_costs_one_row(words):
    """Whatever is wrong with the vectors of one row, the others are there and it has a reason."""
    good = (WAVE, np.ones(50), np.ones(50))
    vectors = [list(each) for each in zip(good, BAD[words], good, strict=True)]

    made, reasons = groups(spectra(*vectors))

    assert rows_of(made) == [0, 2]
    assert reasons[0] == reasons[2] == ""
    assert re.search(words, reasons[1])


def test_a_bad_row_of_a_rectangle_costs_one_row():
    """The same where the vectors are arrays with a row each."""
    wave = np.tile(WAVE, (3, 1))
    wave[1, 7] = np.nan

    made, reasons = groups(spectra(wave, np.ones((3, 50)), np.ones((3, 50))))

    assert rows_of(made) == [0, 2] and "pixel 7" in reasons[1]


def test_arrays_that_do_not_fit_give_no_spectra():
    """A flux of one row for three redshifts, or of other lengths, is never repeated."""
    for flux in (np.ones((1, 50)), np.ones((3, 49))):
        rows = spectra(WAVE, np.ones((3, 50)), np.ones((3, 50)))
        object.__setattr__(rows, "flux", flux)

        made, reasons = groups(rows)

        assert rows_of(made) in ([], [0]) and all(reasons[1:])


def test_rows_that_could_not_be_read_keep_their_reason():
    """A reader's reason goes through."""
    made, reasons = groups(unread_spectra(["a", "b"], "a bad page"))

    assert not made and reasons == ["a bad page"] * 2


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (lambda wave: wave / 1e4, "micrometre"),
        (lambda wave: wave / 10, "nanometre"),
        (np.log10, "log10"),
        (np.log, "natural logarithm"),
        (lambda wave: wave / 1e10, "metre"),
        (lambda wave: wave / 3, "rest frame"),
        (lambda wave: wave * 3, "rest frame"),
    ],
)
def test_units_are_guessed_from_the_range(convert, words):
    """The reason has the range that was found, and the unit that it looks like."""
    wave = convert(np.linspace(3700.0, 9800.0, 4000))

    reason = why_unreached(wave, 0.05, 3750.0, 9500.0)

    assert f"{wave.min():.6g} to {wave.max():.6g}" in reason and words in reason


def test_rest_frame_wavelengths_are_guessed():
    """Wavelengths that fit the grid without the redshift are asked about."""
    assert "in nanometre or the rest frame?" in why_unreached(
        np.linspace(3600.0, 9800.0, 99), 4.0, 3750.0, 9500.0
    )


@pytest.mark.parametrize("pad", [0.0, np.nan, -1.0])
@pytest.mark.parametrize("shared", [True, False])
def test_padding_without_weight_is_left_out(pad, shared):
    """Rows that end in zeros or NaN with ivar 0 are read; with weight there, that row is not."""
    wave = np.tile(np.where(np.arange(50) < 40, WAVE, pad), (3, 1))
    if not shared:
        wave[2, :40] += 1
    ivar = np.ones((3, 50))
    ivar[:, 40:] = 0
    ivar[1, 45] = 1

    made, reasons = groups(spectra(wave, np.ones((3, 50)), ivar))

    assert rows_of(made) == [0, 2] and all(group.flux.shape[1] == 40 for group in made)
    assert [bool(reason) for reason in reasons] == [False, True, False]
