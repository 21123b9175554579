"""FITS files of the surveys and of users: shapes, columns and units by the headers, odd rows."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import survey_files
from astropy.io import fits
from survey_files import change, configured, continuum, image, read

from hpcsbi.errors import BadInput
from hpcsbi.survey.geometry import groups
from hpcsbi.survey.readers.fits_files import vector_length, wave_unit
from hpcsbi.survey.record.source import Source


def test_shapes_of_images_are_checked_before_a_start(tmp_path):
    """Rows or pixels that do not fit are refused by the headers, with both shapes."""
    desi = survey_files.desi(tmp_path, rows=2)

    def cut(name, rows):
        return lambda hdus: [image(name, h.data[rows]) if h.name == name else h for h in hdus]

    change(desi, cut("R_FLUX", slice(1)))
    with pytest.raises(BadInput, match=r"R_FLUX has shape \(1, 2326\)"):
        configured("desi").count(Source(str(desi)))
    for name in ("WAVE", "IVAR", "MASK", "Z"):
        path = change(survey_files.manga(tmp_path / f"{name}.fits"), cut(name, slice(1, None)))
        with pytest.raises(BadInput, match=f"{name} has shape"):
            configured("manga").count(Source(str(path)))


def test_all_tables_of_a_file_are_read(tmp_path):
    """A second table of spectra follows the first, wherever blocks begin; others are named."""
    path = survey_files.table(tmp_path / "own.fits", rows=3)

    def more(hdus):
        second = hdus[1].copy()
        second.data["ID"] = ["galaxy 3", "galaxy 4", "galaxy 5"]
        extra = fits.BinTableHDU.from_columns([fits.Column("A", "J", array=[1])], name="NOTES")
        return [hdus[0], extra, hdus[1], second]

    survey, source = configured("table"), Source(str(change(path, more)))

    assert survey.look(source) == (6, ["HDU 1 (NOTES) is not read"])
    for rows in (slice(0, 6), slice(2, 4), slice(4, 6), slice(3, 4)):
        names = [name for block in read(survey, path, rows) for name in block.id]
        assert names == [f"galaxy {k}" for k in range(rows.start, rows.stop)]


def vectors(path, lengths, broken=None, ids=("a", "b", "c")):
    """A table with vectors of variable length; broken: a row whose place is beyond the file."""
    pack = lambda rows: np.array([*rows, None], dtype=object)[:-1]  # noqa: E731
    waves = [3700 + 1.6 * np.arange(n) for n in lengths]
    forms = {
        "WAVE": waves,
        "FLUX": [continuum(w) for w in waves],
        "IVAR": [w * 0 + 1 for w in waves],
    }
    unit = {"FLUX": survey_files.UNIT}
    made = [fits.Column("ID", "8A", array=list(ids)), fits.Column("Z", "D", array=[0.05] * 3)]
    made += [fits.Column(n, "QD()", array=pack(v), unit=unit.get(n)) for n, v in forms.items()]
    survey_files.write(path, fits.BinTableHDU.from_columns(made))
    if broken is not None:
        with fits.open(path) as hdus:
            start, width = hdus[1]._data_offset, hdus[1].header["NAXIS1"]
        content = bytearray(path.read_bytes())
        at = start + broken * width + 16 + 8  # the place of WAVE in the heap
        content[at : at + 8] = (10**12).to_bytes(8, "big")
        path.write_bytes(bytes(content))
    return path


def test_vectors_of_variable_length_are_read(tmp_path):
    """Each row with its own pixels; one without any, and one whose place is wrong, alone fail."""
    survey = configured("table")
    (block,) = read(survey, vectors(tmp_path / "a.fits", (4000, 0, 3900)))
    made, reasons = groups(block)

    assert [len(group.wave) for group in made] == [4000, 3900] and "0 pixels" in reasons[1]
    for group in made:
        np.testing.assert_allclose(group.flux[0], continuum(group.wave))
    found = read(survey, vectors(tmp_path / "b.fits", (400, 400, 400), broken=1))
    assert [name for block in found for name in block.id] == ["a", "b", "c"]
    assert [bool(r) for block in found for r in groups(block)[1]] == [False, True, False]


def test_one_odd_byte_in_an_id_costs_nothing(tmp_path):
    """The id shows the byte, all rows are read."""
    path = survey_files.table(tmp_path / "own.fits", rows=3)
    path.write_bytes(path.read_bytes().replace(b"galaxy 1", b"gal\xe4xy 1"))

    (block,) = read(configured("table"), path)

    assert block.id == ["galaxy 0", "gal\\xe4xy 1", "galaxy 2"]


ONE = {"WAVE": "Angstrom", "FLUX": survey_files.UNIT, "IVAR": None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ID": ("D", None, [1.0, 2.0])}, "2\\^53"),
        ({"IVAR": ("2999E", None, np.ones((2, 2999)))}, "WAVE 3000, FLUX 3000, IVAR 2999"),
        ({"Z": ("2D", None, np.ones((2, 2)))}, "Z has format"),
        ({"EBV": ("4A", None, ["a", "b"])}, "EBV has format"),
        ({name: ("D", unit, [1.0, 2.0]) for name, unit in ONE.items()}, "one value a row"),
    ],
)
def test_columns_of_the_wrong_kind_are_refused(changes, words, tmp_path):
    """Before anything starts, by the headers."""
    path = survey_files.table(tmp_path / "own.fits", rows=2)

    def edit(hdus):
        made = [column for column in hdus[1].columns if column.name not in changes]
        made += [fits.Column(n, k, unit=u, array=v) for n, (k, u, v) in changes.items()]
        return [hdus[0], fits.BinTableHDU.from_columns(made)]

    with pytest.raises(BadInput, match=words):
        configured("table").count(Source(str(change(path, edit))))


def test_scaled_and_integer_columns(tmp_path):
    """TSCAL and TZERO are applied; integer ids come whole."""
    wave = np.tile(4000 + 2.0 * np.arange(1000), (2, 1))
    made = [
        fits.Column("ID", "K", array=[39627700000000011, 39627700000000012]),
        fits.Column("Z", "D", array=[0.1, 0.1]),
        fits.Column("WAVE", "1000D", array=wave),
        fits.Column("FLUX", "1000I", unit=survey_files.UNIT, array=np.full((2, 1000), 22)),
        fits.Column("IVAR", "1000J", array=np.full((2, 1000), 3)),
    ]  # fmt: skip
    path = survey_files.write(tmp_path / "own.fits", fits.BinTableHDU.from_columns(made))
    cards = [f"{'TSCAL4':8s}= 0.25".ljust(80), f"{'TZERO4':8s}= 2.0".ljust(80)]
    content = path.read_bytes()
    end = content.index(b"END" + b" " * 77, 2880)  # of the table's header, padded with blanks
    cards = "".join(cards).encode()
    path.write_bytes(content[:end] + cards + content[end : end + 80] + content[end + 240 :])

    (block,) = read(configured("table"), path)

    assert block.id == ["39627700000000011", "39627700000000012"]
    assert (block.flux == 7.5).all() and (block.ivar == 3).all()


@pytest.mark.parametrize(
    ("cards", "words"),
    [({"AIRORVAC": "air"}, "air=true"), ({"VACUUM": False}, "air=true"), ({"AIRORVAC": "vac"}, "")],
)
def test_headers_that_say_air_are_heard(cards, words, tmp_path):
    """Wavelengths in air are not taken for vacuum when the file says so."""
    path = survey_files.table(tmp_path / "own.fits")
    with fits.open(path) as hdus:
        table = hdus[1].copy()
    survey_files.write(path, table, **cards)
    survey = configured("table")

    if not words:
        assert survey.count(Source(str(path))) == 5
        return
    with pytest.raises(BadInput, match=words):
        survey.count(Source(str(path)))


def test_a_file_that_lost_rows_is_unreadable(tmp_path):
    """A file exchanged for a shorter one after the scan gives no wrong rows."""
    survey, path = configured("table"), survey_files.table(tmp_path / "own.fits", rows=6)
    source = Source(str(path), rows=survey.count(Source(str(path))))
    shutil.copy(survey_files.table(tmp_path / "short.fits", rows=2), path)

    with pytest.raises(BadInput, match="fewer rows"):
        list(survey.read(source, slice(0, 6)))


@pytest.mark.parametrize(("unit", "size"), [("Angstrom", 1.0), ("nm", 10.0), ("um", 1e4)])
def test_wavelengths_are_lengths(unit, size):
    """To the last digit."""
    assert wave_unit("WAVE", unit) == size


@pytest.mark.parametrize("unit", [None, "", "A", "Hz", "furlongs", "eV"])
def test_what_is_no_length_is_refused(unit):
    """With the column's name: A is ampere."""
    with pytest.raises(BadInput, match="TUNIT of WAVE"):
        wave_unit("WAVE", unit)


@pytest.mark.parametrize(
    ("form", "length"), [("E", 1), ("1D", 1), ("2154E", 2154), ("PD(7)", None), ("1QE()", None)]
)
def test_lengths_of_vectors_by_their_format(form, length):
    """None where it varies."""
    assert vector_length(form) == length


def test_headers_that_contradict_each_other_are_refused(tmp_path):
    """Whatever the configuration says: a line with both keywords."""
    path = survey_files.table(tmp_path / "own.fits")
    change(path, lambda hdus: [hdus[0], _with(hdus[1], AIRORVAC="air", VACUUM=True)])
    for air in (True, False):
        survey = replace(configured("table"), air=air)
        with pytest.raises(
            BadInput, match=r"contradicts itself: AIRORVAC of .*air, VACUUM of .*vacuum"
        ):
            survey.count(Source(str(path)))


def _with(hdu, **cards):
    hdu.header.update(cards)
    return hdu
