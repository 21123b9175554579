"""DESI's coadds: cameras merged, redshifts joined by target, pairs of files found."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import survey_files
from astropy.io import fits
from survey_files import DATA, change, configured, continuum, lose, read, real

from hpcsbi.errors import BadInput
from hpcsbi.survey.geometry import groups
from hpcsbi.survey.readers.formats import UnreadableError
from hpcsbi.survey.record.source import Source


def test_desi_joins_redshifts_on_target_and_merges_cameras(tmp_path):
    """Redshifts follow TARGETID; ivar of overlapping cameras adds up; 0.86 of the file's E(B-V)."""
    kinds = ["GALAXY", "GALAXY", "QSO", "GALAXY", "STAR", "GALAXY"]
    path = survey_files.desi(tmp_path, status=[0, 8, 0, 2, 0, 0], spectype=kinds, drop=[5])

    (spectra,) = read(configured("desi"), path)

    np.testing.assert_allclose(spectra.zred, [0.05, 0.06, 0.07, 0.08, 0.09, np.nan])
    assert spectra.id[0] == "39633345008634465"
    assert spectra.zwarn.tolist() == [False] * 5 + [True]
    assert spectra.other_class.tolist() == [False, False, True, False, True, False]
    assert spectra.survey_class == [*kinds[:5], ""]
    assert spectra.bad_fiber.tolist() == [False, False, False, True, False, False]
    assert (spectra.ivar[3] == 0).all() and spectra.ivar[1].any()
    np.testing.assert_allclose(spectra.ebv, 0.86 * 0.05)
    assert spectra.wave[[0, -1]] == pytest.approx([3600, 9824])
    both = (spectra.wave > 5770) & (spectra.wave < 5790)
    alone = (spectra.wave > 5000) & (spectra.wave < 5700)
    assert spectra.ivar[0, both].mean() > 1.6 * spectra.ivar[0, alone].mean()


def test_desi_camera_off_the_grid_is_unreadable(tmp_path, monkeypatch):
    """Cameras whose pixels do not line up are not merged."""
    monkeypatch.setitem(survey_files.CAMERAS, "R", (5760.3, 2326))
    path = survey_files.desi(tmp_path)

    with pytest.raises(UnreadableError, match="camera R"):
        read(configured("desi"), path)


def test_desi_redshifts_may_be_listed_or_lie_beside(tmp_path):
    """A coadd finds its redrock in the list or beside it, and says which one it lacks."""
    survey = configured("desi")
    coadd = survey_files.desi(tmp_path)
    beside = coadd.with_name(coadd.name.replace("coadd", "redrock"))
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()

    assert survey.sources([coadd]) == survey.sources([coadd, beside])
    moved = beside.rename(elsewhere / beside.name)
    assert survey.sources([coadd, moved])[0].beside == str(moved)
    with pytest.raises(ValueError, match="expected redrock-main-bright-1"):
        survey.sources([coadd])
    with pytest.raises(ValueError, match="no coadd of that name"):
        survey.sources([moved])


def test_desi_broken_redshifts_are_named(tmp_path):
    """A redrock file that is cut, or of another kind, is the one that the error names."""
    survey = configured("desi")
    (source,) = survey.sources([survey_files.desi(tmp_path)])
    beside = Path(source.beside)
    content = beside.read_bytes()
    for wrong in (content[:-2880], content[:100], Path(source.path).read_bytes()):
        beside.write_bytes(wrong)

        with pytest.raises(ValueError, match="redrock-main-bright-1"):
            survey.count(source)


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


@real
def test_real_desi_coadd():
    """One target of the early data: z 0.3687, E(B-V) 0.044 after the factor, 7781 pixels."""
    (spectra,) = read(configured("desi"), DATA / "coadd-4-80613-thru20210324.fits")

    assert spectra.flux.shape == (1, 7781) and spectra.id == ["39633345008634465"]
    assert spectra.zred[0] == pytest.approx(0.36874, abs=1e-5)
    assert spectra.ebv[0] == pytest.approx(0.0442, abs=1e-4)


def test_exposures_of_one_target_stay_apart(tmp_path):
    """Under its id and a key of each, with its redshift; that they do is said."""
    path = survey_files.desi(tmp_path, rows=3, exposures=4)
    survey = configured("desi")
    (source,) = survey.sources([path])
    rows, notes = survey.look(source)
    assert rows == 12 and "single exposures stay apart" in " ".join(notes)

    (spectra,) = read(survey, path)

    targets = [39_633_345_008_634_465 + k for k in range(3)]
    assert spectra.id == [str(target) for target in targets for _ in range(4)]
    assert spectra.identity.key[:2] == [f"main-bright-1-{targets[0]}-{68657 + k}" for k in (0, 1)]
    assert len({*spectra.identity.key}) == 12
    assert spectra.zred == pytest.approx(np.repeat([0.05, 0.06, 0.07], 4))
    assert not spectra.bad_fiber.any() and not spectra.zwarn.any()


@pytest.mark.parametrize(
    ("cards", "who"),
    [
        ({"HPXPIXEL": 27247, "SURVEY": "sv3", "PROGRAM": "dark"}, ("sv3-dark", "sv3", "dark")),
        ({"TILEID": 80613, "SPGRP": "cumulative", "SPGRPVAL": 20210324},
         ("80613-cumulative20210324", "", "")),
        ({}, ("main-bright-1", "", "")),
    ],
)  # fmt: skip
def test_keys_name_what_was_coadded(cards, who, tmp_path):
    """Survey and program of a healpixel, tile and night of a tile, else the file."""
    (spectra,) = read(configured("desi"), survey_files.desi(tmp_path, rows=1, cards=cards))
    group, survey, program = who
    assert spectra.identity.key == [f"{group}-39633345008634465"]
    assert (spectra.identity.survey, spectra.identity.program) == (survey, program)
    assert [*spectra.identity.ra, *spectra.identity.dec] == pytest.approx(survey_files.PLACE)
