"""Readers of survey files: what comes out, and what is refused."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import survey_files
from survey_files import EVERY, SURVEYS, configured, continuum, make, read

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.formats import Survey, UnreadableError
from hpcsbi.survey.record.line_spread import LIGHT
from hpcsbi.survey.record.source import Source


@pytest.mark.parametrize("name", SURVEYS)
def test_readers_bring_back_what_was_written(name, tmp_path):
    """Flux, unit, redshift and wavelengths of each layout come back; masked pixels have ivar 0."""
    survey = configured(name)
    path = make(name, tmp_path)

    (spectra,) = read(survey, path)

    wave = spectra.wave if spectra.wave.ndim == 1 else spectra.wave[0]
    good = spectra.ivar > 0
    expected = np.broadcast_to(continuum(wave), good.shape)
    np.testing.assert_allclose(spectra.flux[good], expected[good], rtol=1e-5)
    assert spectra.unit == pytest.approx(1e-17)
    assert good.mean() > 0.99
    assert len(spectra.id) == len(spectra.flux) == len(spectra.zred) == len(spectra.ebv)
    assert not (spectra.zwarn | spectra.other_class | spectra.bad_fiber).any()


@pytest.mark.parametrize("wrong", EVERY)
@pytest.mark.parametrize("name", EVERY)
def test_a_file_of_another_survey_is_refused_with_the_right_one(name, wrong, tmp_path):
    """The error names the file, the HDUs found, and the survey it looks like."""
    path = make(name, tmp_path)
    survey = configured(wrong)
    source = Source(str(path))
    if wrong == name:
        assert survey.count(source) > 0
        return
    with pytest.raises(ValueError, match=f"survey={name}") as caught:
        survey.count(source)

    assert str(path) in str(caught.value) and "PRIMARY" in str(caught.value)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a whole file"),
        (b"wave,flux\n1,2\n" * 99, "not a whole file"),
        (None, "cut short|not a whole file|found HDUs"),
    ],
)
def test_empty_foreign_and_cut_files_are_refused(name, content, words, tmp_path):
    """An empty file, a text and a file cut in its middle are named before anything starts."""
    path = make(name, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)

    with pytest.raises(ValueError, match=words) as caught:
        configured(name).count(Source(str(path)))

    assert path.name in str(caught.value)


def test_a_file_cut_in_its_last_block_is_refused(tmp_path):
    """The headers are whole, 3000 bytes of the data are not there: the sizes are said."""
    path = survey_files.table(tmp_path / "own.fits")
    path.write_bytes(path.read_bytes()[:-3000])

    with pytest.raises(ValueError, match="cut short"):
        configured("table").count(Source(str(path)))


def test_a_gzip_file_cut_short_is_refused_as_such(tmp_path):
    """The error says that the file is not whole, not that it is of another survey."""
    path = survey_files.table(tmp_path / "own.fits.gz", rows=70)
    path.write_bytes(path.read_bytes()[:-2000])

    with pytest.raises(ValueError, match="not a whole file"):
        configured("table").count(Source(str(path)))


@pytest.mark.parametrize("name", ["own.fits", "own.fits.gz"])
def test_a_file_that_breaks_later_is_unreadable_without_its_folder(name, tmp_path):
    """A file damaged between the header scan and reading raises, naming no folder."""
    path = survey_files.table(tmp_path / name, rows=70)
    survey = configured("table")
    source = Source(str(path))
    assert survey.count(source) == 70
    path.write_bytes(path.read_bytes()[:5000])

    with pytest.raises(UnreadableError, match="own") as caught:
        list(survey.read(source, slice(0, 70)))

    assert str(tmp_path) not in str(caught.value)


def test_rows_and_blocks_tile_the_file(tmp_path):
    """Any cut of the rows gives the same spectra in the same order."""
    survey = configured("manga")
    path = survey_files.manga(tmp_path / "stack.fits", rows=130)
    names = [name for block in read(survey, path) for name in block.id]
    parts = [read(survey, path, rows) for rows in (slice(0, 7), slice(7, 100), slice(100, 130))]

    assert names == [f"stack-{row}" for row in range(130)]
    assert names == [name for part in parts for block in part for name in block.id]


@pytest.mark.parametrize("text", [None, "", "uJy", "counts", "1e-17 erg/s/cm2/A", "erg", "furlong"])
def test_other_units_are_refused_with_the_mend(text, tmp_path):
    """A missing unit, F_nu, counts, or ampere for Angstrom are refused, and a good one is shown."""
    path = survey_files.table(tmp_path / "own.fits", unit=text)

    with pytest.raises(ValueError, match="1e-17 erg/s/cm2/Angstrom") as caught:
        configured("table").count(Source(str(path)))

    assert str(path) in str(caught.value)


def test_the_unit_of_ivar_must_match(tmp_path):
    """IVAR may say the inverse square of FLUX's unit, and nothing else."""
    good = survey_files.table(tmp_path / "a.fits", ivar_unit="1e34 s2 cm4 Angstrom2 erg-2")
    bad = survey_files.table(tmp_path / "b.fits", ivar_unit="s2 cm4 Angstrom2 erg-2")
    survey = configured("table")

    assert survey.count(Source(str(good))) == 5
    with pytest.raises(ValueError, match="IVAR"):
        survey.count(Source(str(bad)))


def test_wavelengths_in_other_units_are_refused(tmp_path):
    """A WAVE that says nm is not taken for Angstrom; one that says nothing is."""
    survey = configured("table")
    path = survey_files.table(tmp_path / "own.fits")
    content = path.read_bytes()
    assert content.count(b"'Angstrom'") == 1

    path.write_bytes(content.replace(b"'Angstrom'", b"'nm'      "))
    with pytest.raises(ValueError, match="WAVE is 'nm': write it in Angstrom"):
        survey.count(Source(str(path)))
    path.write_bytes(content.replace(b"'Angstrom'", b"''        "))
    assert survey.count(Source(str(path))) == 5


@pytest.mark.parametrize("column", ["ID", "Z", "WAVE", "FLUX", "IVAR"])
def test_a_missing_column_is_refused(column, tmp_path):
    """A table without one of the five columns is not a survey table."""
    path = survey_files.table(tmp_path / "own.fits", **{column: None})

    with pytest.raises(ValueError, match="ID Z WAVE FLUX IVAR"):
        configured("table").count(Source(str(path)))


def test_a_table_without_rows_is_refused(tmp_path):
    """No spectra is an error, not an empty catalogue."""
    path = survey_files.table(tmp_path / "own.fits", rows=0)

    with pytest.raises(ValueError, match="no spectra"):
        configured("table").count(Source(str(path)))


def columns(rows=4, pixels=500):
    """Columns of a user's own arrays."""
    wave = np.tile(4000.0 + 10 * np.arange(pixels), (rows, 1))
    return {
        "id": np.arange(rows),
        "zred": np.full(rows, 0.1),
        "wave": wave,
        "flux": continuum(wave),
        "ivar": np.ones((rows, pixels)),
        "ebv": np.full(rows, 0.1),
    }


def to_file(path, arrays, unit=None):
    """Write arrays as .npz or Parquet."""
    if path.suffix == ".npz":
        np.savez(path, **arrays, **({} if unit is None else {"flux_unit": unit}))
        return path
    table = pa.table({k: pa.array(v.tolist()) for k, v in arrays.items()})
    table = table.replace_schema_metadata({} if unit is None else {"flux_unit": unit})
    parquet.write_table(table, path)
    return path


@pytest.mark.parametrize("name", ["own.npz", "own.parquet"])
def test_numpy_and_parquet_files_are_tables_too(name, tmp_path):
    """Arrays of a user are read like a FITS table; the usual unit holds unless one is given."""
    survey = configured("table")
    path = to_file(tmp_path / name, columns())
    (spectra,) = read(survey, path)

    assert spectra.unit == pytest.approx(1e-17) and spectra.id == ["0", "1", "2", "3"]
    np.testing.assert_allclose(spectra.flux, columns()["flux"])
    np.testing.assert_allclose(spectra.ebv, 0.1)
    (spectra,) = read(survey, to_file(tmp_path / name, columns(), "W m-2 um-1"), slice(2, 4))
    assert spectra.unit == pytest.approx(0.1) and spectra.id == ["2", "3"]


@pytest.mark.parametrize("name", ["own.npz", "own.parquet"])
def test_bad_numpy_and_parquet_files_are_refused(name, tmp_path):
    """A missing column, F_nu, and a file cut short are named."""
    survey, path = configured("table"), tmp_path / name
    lacking = {k: v for k, v in columns().items() if k != "ivar"}

    with pytest.raises(ValueError, match="lacks ivar"):
        survey.count(Source(str(to_file(path, lacking))))
    with pytest.raises(ValueError, match="multiplied by c"):
        survey.count(Source(str(to_file(path, columns(), "uJy"))))
    to_file(path, columns())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=name):
        survey.count(Source(str(path)))


def test_pickled_arrays_are_never_loaded(tmp_path):
    """An .npz with Python objects in it is refused, not unpickled."""
    arrays = columns() | {"id": np.array(["a", None, "b", "c"], dtype=object)}
    path = to_file(tmp_path / "own.npz", arrays)

    with pytest.raises(BadInput, match="allow_pickle"):
        configured("table").count(Source(str(path)))


def test_unknown_survey_is_refused():
    """The error lists the surveys there are."""
    with pytest.raises(ValueError, match="sdss, desi, manga, manga_cube, eso, jwst, pfs"):
        Survey("twomass")


def test_a_line_spread_is_told_by_the_configuration():
    """DESI's is 0.64 to 0.77 Angstrom wide; what is none is refused; where none is none is kept."""
    wave = np.array([3700.0, 5000.0, 6500.0, 9000.0])
    sigma = wave * configured("desi").spread.dispersion(wave) / LIGHT
    assert sigma == pytest.approx([0.675, 0.675, 0.64, 0.76], rel=0.01)
    assert configured("table").spread is None
    assert "line_spread" not in configured("table").settings()
    assert configured("desi").settings()["line_spread"][0] == [3600, 2265]
    with pytest.raises(BadInput, match="pairs of wavelength and resolution"):
        Survey("desi", line_spread=[[3600, 2000, 1]])
    with pytest.raises(BadInput, match="wavelengths that rise"):
        Survey("desi", line_spread=[[3600, 2000], [3500, 2000]])


@pytest.mark.parametrize("name", [*EVERY, "own.npz", "own.parquet"])
def test_ids_alone_are_those_of_the_spectra(name, tmp_path):
    """Read without them."""
    if "." in name:
        survey, path = configured("table"), to_file(tmp_path / name, columns())
    else:
        survey, path = configured(name), make(name, tmp_path)
    (source,) = survey.sources([path])
    source = replace(source, rows=survey.count(source))

    assert survey.ids(source) == [row for block in read(survey, path) for row in block.id]


def test_ids_that_cannot_be_read_name_the_file(tmp_path):
    """As a file that was cut after it was looked at."""
    survey, path = configured("table"), survey_files.table(tmp_path / "own.fits")
    source = Source(str(path), rows=5)
    path.write_bytes(path.read_bytes()[:9000])

    with pytest.raises(BadInput, match=r"own\.fits") as caught:
        survey.ids(source)

    assert "\n" not in str(caught.value)
