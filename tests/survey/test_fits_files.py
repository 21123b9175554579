"""FITS files of the surveys and of users: layouts of one family, joins, statuses, odd rows."""

import bz2
import gzip
import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest
import survey_files
from astropy.io import fits
from survey_files import continuum, image
from test_formats import configured, make, read

from hpcsbi.errors import BadInput
from hpcsbi.survey.geometry import groups
from hpcsbi.survey.source import Source


def change(path, edit):
    """Rewrite a file after an edit of its HDUs, a list."""
    with fits.open(path) as hdus:
        kept = edit([hdu.copy() for hdu in hdus])
    fits.HDUList(kept).writeto(path, overwrite=True)
    return path


FAMILY = {
    "legacy": {},
    "legacy full": {"behind": "exposures"},
    "boss": {"best": "SPALL", "behind": "lines"},
    "eboss": {"best": "SPALL", "upper": True, "behind": "all fits"},
    "sdss-v": {"best": "SPALL", "upper": True, "keys": ("FIELD", "MJD", "CATALOGID"),
               "behind": "exposures"},
    "other names": {"best": "SPZBEST", "coadd": ""},
}  # fmt: skip


def behind(kind):
    """HDUs that come behind the redshift: none of them is the coadd or its redshift."""
    n = fits.Column
    tables = {
        "exposures": [n("flux", "E", array=np.zeros(9)), n("loglam", "E", array=np.zeros(9)),
                      n("ivar", "E", array=np.zeros(9))],
        "lines": [n("LINENAME", "9A", array=["a", "b"]), n("LINEZ", "E", array=[1.0, 2.0])],
        "all fits": [n("Z", "E", array=[9.0, 8.0]), n("CLASS", "6A", array=["QSO", "STAR"])],
    }  # fmt: skip
    return fits.BinTableHDU.from_columns(tables[kind], name=kind.upper())


@pytest.mark.parametrize("name", list(FAMILY))
def test_the_whole_sdss_family_is_read(name, tmp_path):
    """Flux, redshift, class and id come from the same places under every name."""
    options = dict(FAMILY[name])
    if "behind" in options:
        options["behind"] = [behind(options["behind"])]
    path = survey_files.sdss(tmp_path / "spec.fits", mask=[(5, 24)], **options)
    survey = configured("sdss")

    (spectra,) = read(survey, path)

    assert survey.look(Source(str(path))) == (1, [])
    assert spectra.id == ["015000-51602-4375924049" if name == "sdss-v" else "0266-51602-0007"]
    assert spectra.zred[0] == pytest.approx(0.05)
    assert np.flatnonzero(spectra.ivar[0] == 0).tolist() == [5]
    np.testing.assert_allclose(spectra.flux[0], continuum(spectra.wave), rtol=1e-5)
    assert not (spectra.zwarn | spectra.other_class | spectra.no_status).any()


@pytest.mark.parametrize("lost", ["and_mask", "ZWARNING", "CLASS"])
def test_a_missing_sdss_status_is_not_good(lost, tmp_path):
    """Without a mask, a warning or a class the row says that its status is not known."""
    (spectra,) = read(configured("sdss"), survey_files.sdss(tmp_path / "s.fits", drop=[lost]))

    assert spectra.no_status.all() and (spectra.ivar > 0).any()


@pytest.mark.parametrize("cameras", ["B", "R", "Z", "BR", "BZ", "RZ"])
def test_desi_with_any_cameras(cameras, tmp_path):
    """What is there is read, the rest is not covered."""
    path = survey_files.desi(tmp_path, rows=2)
    change(path, lambda hdus: [h for h in hdus if h.name[1:2] != "_" or h.name[0] in cameras])

    (spectra,) = read(configured("desi"), path)

    good = spectra.ivar > 0
    expected = np.broadcast_to(continuum(spectra.wave), good.shape)
    np.testing.assert_allclose(spectra.flux[good], expected[good], rtol=1e-5)
    first = min(survey_files.CAMERAS[name][0] for name in cameras)
    assert spectra.wave[0] == pytest.approx(first)
    assert not spectra.no_status.any()


def lose(table, column, other=None):
    """An edit that takes a column out of a table, or renames it."""

    def edit(hdus):
        for k, hdu in enumerate(hdus):
            if hdu.name == table:
                columns = [c for c in hdu.columns if c.name != column or other]
                for c in columns:
                    c.name = other if c.name == column else c.name
                hdus[k] = fits.BinTableHDU.from_columns(columns, name=table)
        return hdus

    return edit


def test_fiberstatus_of_uncoadded_files_is_used(tmp_path):
    """FIBERSTATUS in place of COADD_FIBERSTATUS; files called spectra-*.fits find their redrock."""
    path = survey_files.desi(tmp_path, status=[0, 512, 2, 8], rows=4)
    path = path.rename(path.with_name("spectra-main-bright-1.fits"))
    change(path, lose("FIBERMAP", "COADD_FIBERSTATUS", "FIBERSTATUS"))

    (spectra,) = read(configured("desi"), path)

    assert spectra.bad_fiber.tolist() == [False, True, True, False]
    assert not spectra.no_status.any()


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("FIBERMAP", "COADD_FIBERSTATUS"),
        ("FIBERMAP", "OBJTYPE"),
        ("REDSHIFTS", "ZWARN"),
        ("REDSHIFTS", "SPECTYPE"),
        ("B_MASK", ""),
    ],
)
def test_a_missing_desi_status_is_not_good(table, column, tmp_path):
    """No fibre status, no warning, no class, no mask: the row says that it is not known."""
    path = survey_files.desi(tmp_path, rows=2)
    beside = path.with_name("redrock-main-bright-1.fits")
    edit = lose(table, column) if column else lambda hdus: [h for h in hdus if h.name != table]
    change(beside if table == "REDSHIFTS" else path, edit)

    (spectra,) = read(configured("desi"), path)

    assert spectra.no_status.all() and (spectra.ivar > 0).any()
    assert not (spectra.zwarn | spectra.other_class | spectra.bad_fiber).any()


def test_a_target_with_two_redshifts_has_none(tmp_path):
    """A TARGETID that stands for different redshifts is not joined to the first of them."""
    path = survey_files.desi(tmp_path, rows=3, shuffle=False)
    beside = path.with_name("redrock-main-bright-1.fits")

    def twice(hdus):
        data = np.concatenate([hdus[1].data, hdus[1].data[1:]])
        data["Z"][3] = 0.9  # the first row of the copies is target 1 again
        hdus[1] = fits.BinTableHDU(data, name="REDSHIFTS")
        return hdus

    change(beside, twice)
    (spectra,) = read(configured("desi"), path)

    assert np.isnan(spectra.zred).tolist() == [False, True, False]
    assert "different redshifts" in spectra.reason[1] and spectra.zwarn[1]
    assert groups(spectra)[1] == [""] * 3  # the spectrum itself is there


@pytest.mark.parametrize(
    ("table", "form", "words"),
    [
        ("FIBERMAP", None, "no TARGETID"),
        ("REDSHIFTS", None, "TARGETID and Z"),
        ("FIBERMAP", "D", "TARGETID of FIBERMAP holds floats"),
        ("REDSHIFTS", "D", "TARGETID of REDSHIFTS holds floats"),
        ("REDSHIFTS", "no rows", "has no rows"),
    ],
)
def test_rows_that_cannot_be_joined_are_refused(table, form, words, tmp_path):
    """Without whole TARGETIDs on both sides no redshift is anybody's."""
    path = survey_files.desi(tmp_path, rows=3, drop=[0, 1, 2] if form == "no rows" else ())
    beside = path.with_name("redrock-main-bright-1.fits")

    def floats(hdus):
        k = next(k for k, hdu in enumerate(hdus) if hdu.name == table)
        columns = [c for c in hdus[k].columns if c.name != "TARGETID"]
        target = hdus[k].data["TARGETID"].astype(float)
        columns.append(fits.Column("TARGETID", "D", array=target))
        hdus[k] = fits.BinTableHDU.from_columns(columns, name=table)
        return hdus

    if form != "no rows":
        edit = floats if form else lose(table, "TARGETID")
        change(beside if table == "REDSHIFTS" else path, edit)
    survey = configured("desi")
    with pytest.raises(BadInput, match=words):
        survey.count(survey.sources([path])[0])


def productions(tmp_path):
    """Two productions with the same names; only the first redshift tells them apart."""
    paths = []
    for k, name in enumerate(("fuji", "iron")):
        (tmp_path / name).mkdir()
        coadd = survey_files.desi(tmp_path / name, name="sv3-bright-100", rows=3 + k)
        paths += [coadd, coadd.with_name("redrock-sv3-bright-100.fits")]
    return paths


def test_two_productions_never_mix(tmp_path):
    """A coadd takes the redshifts of its own folder, in any order of the list."""
    paths, survey = productions(tmp_path), configured("desi")

    for some in (paths, paths[::-1], [*paths[::2]], paths[:2] + paths[2:3]):
        for source in survey.sources(some):
            assert Path(source.path).parent == Path(source.beside).parent
    # Without its own, a coadd does not get those of the other production.
    paths[1].unlink()
    with pytest.raises(BadInput, match="not those of other folders"):
        survey.sources([paths[0], paths[2], paths[3]])


@pytest.mark.parametrize("packed", ["coadd", "redrock"])
def test_pairs_may_differ_in_compression(packed, tmp_path):
    """spectra-*.fits.gz with redrock-*.fits, or the reverse, listed or not."""
    coadd = survey_files.desi(tmp_path, rows=2)
    beside = coadd.with_name("redrock-main-bright-1.fits")
    old = coadd if packed == "coadd" else beside
    new = old.with_name(f"{old.name}.gz")
    new.write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    coadd, beside = (new if path == old else path for path in (coadd, beside))

    for listed in ([coadd], [coadd, beside]):
        assert configured("desi").sources(listed) == [Source(str(coadd), str(beside))]
    assert read(configured("desi"), coadd)[0].id == read(configured("desi"), coadd)[0].id


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


def test_wavelengths_of_each_row_are_its_own(tmp_path):
    """A stack with a WAVE image: rows beyond the first block keep their wavelengths."""
    rows = 70
    wave = np.tile(3600 + 2.0 * np.arange(2000), (rows, 1))
    wave[64:] *= 1.005
    path = survey_files.write(
        tmp_path / "stack.fits", image("WAVE", wave), image("FLUX", continuum(wave)),
        image("IVAR", np.ones(wave.shape)), image("MASK", np.zeros(wave.shape, "i4")),
        image("Z", np.full(rows, 0.03)),
    )  # fmt: skip

    blocks = read(configured("manga"), path)

    found = [(b, group) for b in blocks for group in groups(b)[0]]
    for _, group in found:
        np.testing.assert_allclose(group.flux, np.tile(continuum(group.wave), (len(group.flux), 1)))
    assert [round(group.wave[0]) for _, group in found] == [3600, 3618]


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


PACKED = {
    "plain.fits": gzip.compress, "UPPER.FITS.GZ": gzip.compress, "own.fits.bz2": bz2.compress,
    "own.fits.xz": lzma.compress,
}  # fmt: skip


@pytest.mark.parametrize("name", list(PACKED))
@pytest.mark.parametrize("survey", ["table", "manga", "desi"])
def test_compressed_files_are_read_whatever_their_name(name, survey, tmp_path):
    """gzip, bzip2 and xz are known by their first bytes; cut ones are called cut."""
    path = make(survey, tmp_path)
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    expected = read(configured(survey), path)
    packed = tmp_path / name if survey != "desi" else path
    packed.write_bytes(PACKED[name](raw))

    found = read(configured(survey), packed)

    np.testing.assert_array_equal(found[0].flux, expected[0].flux)
    packed.write_bytes(packed.read_bytes()[:-4000])
    with pytest.raises(BadInput, match="not a whole file"):
        configured(survey).count(configured(survey).sources([packed])[0])


def test_what_cannot_be_unpacked_is_said(tmp_path):
    """zstd is named, not called cut short."""
    path = tmp_path / "own.fits.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))

    with pytest.raises(BadInput, match="zstd"):
        configured("table").count(Source(str(path)))


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


def test_units_of_all_cameras_must_agree(tmp_path):
    """A camera in another unit is refused; a scale in BUNIT is used."""
    path = survey_files.desi(tmp_path, rows=2)
    with fits.open(path, mode="update") as hdus:
        hdus["R_FLUX"].header["BUNIT"] = "1e-16 erg/s/cm2/Angstrom"
    with pytest.raises(BadInput, match="different units"):
        configured("desi").count(Source(str(path)))
    with fits.open(path, mode="update") as hdus:
        for camera in "BZ":
            hdus[f"{camera}_FLUX"].header["BUNIT"] = "1e-16 erg/s/cm2/Angstrom"
    assert read(configured("desi"), path)[0].unit == pytest.approx(1e-16)


def test_a_file_that_lost_rows_is_unreadable(tmp_path):
    """A file exchanged for a shorter one after the scan gives no wrong rows."""
    survey, path = configured("table"), survey_files.table(tmp_path / "own.fits", rows=6)
    source = Source(str(path), rows=survey.count(Source(str(path))))
    shutil.copy(survey_files.table(tmp_path / "short.fits", rows=2), path)

    with pytest.raises(BadInput, match="fewer rows"):
        list(survey.read(source, slice(0, 6)))
