"""From survey files to spectra.zarr: every row once, flagged where it is wrong, the same bytes."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import pytest
import survey_files
from hydra.utils import instantiate
from omegaconf import OmegaConf
from survey_files import continuum

from hpcsbi.cluster.dask_local import Local
from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput
from hpcsbi.flags import MEANINGS, NOT_INFERRED, Flag, names
from hpcsbi.grid import Grid
from hpcsbi.stages.ingest import find_files, ingest
from hpcsbi.store.opening import open_complete, open_store
from hpcsbi.store.settings import Mismatch
from hpcsbi.survey.readers.formats import Survey, UnreadableError
from hpcsbi.survey.record.identity import NAMES
from hpcsbi.survey.rest_frame import CM_PER_MPC, LSUN, luminosity_distance_cm

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
NUCLEI = ROOT / "hpcsbi" / "data" / "sdss_nuclei.fits.gz"
GRID = Grid(first=3750.0, last=9500.0, pixels=138)


def configured(name):
    """The survey as its configuration makes it."""
    return instantiate(OmegaConf.load(ROOT / "conf" / "survey" / f"{name}.yaml"), _convert_="all")


def run(out, files, survey, shard=4, cluster=None, **lists):
    """Ingest and open the complete store."""
    files = [str(path) for path in ([files] if isinstance(files, Path) else files)]
    survey = configured(survey) if isinstance(survey, str) else survey
    ingest(out, files, survey, GRID, shard, cluster or Serial(), **lists)
    return open_complete(out, "ingest")


def row_flags(store):
    """Names of the flags of each row."""
    return [set(names(value)) for value in store.read("flags")]


def file_of(store):
    """Name of the file of each row."""
    return store.read("identity")[:, NAMES.index("file")].tolist()


def tree(folder):
    """Every file of a folder with its bytes."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_values_are_luminosities_in_the_rest_frame(tmp_path):
    """A linear continuum F becomes 4 pi D^2 (1 + z) F / L_sun at the redshifted centre."""
    rows, zred = 3, np.array([0.05, 0.06, 0.07])
    path = survey_files.table(tmp_path / "own.fits", rows=rows, EBV=np.zeros(rows))

    store = run(tmp_path / "spectra.zarr", path, "table")

    flux, ivar = store.read("flux"), store.read("ivar")
    scale = 4e-17 * np.pi * luminosity_distance_cm(zred) ** 2 * (1 + zred) / LSUN
    for row in range(rows):
        good = ivar[row] > 0
        expected = continuum(GRID.wave[good] * (1 + zred[row])) * scale[row]
        np.testing.assert_allclose(flux[row, good], expected, rtol=1e-4)
    assert store.read("id").tolist() == ["galaxy 0", "galaxy 1", "galaxy 2"]
    np.testing.assert_allclose(store.read("distance") * CM_PER_MPC, luminosity_distance_cm(zred))
    np.testing.assert_array_equal(store.read("wave"), GRID.wave)
    assert store.attributes["notice"] == ""


def test_a_given_distance_is_used(tmp_path):
    """Twice the distance is four times the luminosity, and ends the flag of small redshifts."""
    zred = np.array([0.004, 0.004, 0.004])
    near = survey_files.table(
        tmp_path / "own.fits", rows=3, Z=zred, DISTANCE=np.array([20.0, 40.0, np.nan])
    )

    store = run(tmp_path / "spectra.zarr", near, "table")

    flux = store.read("flux")
    valid = store.read("ivar")[0] > 0
    np.testing.assert_allclose(flux[1, valid] / flux[0, valid], 4, rtol=1e-6)
    assert ["Z_RANGE" in each for each in row_flags(store)] == [False, False, True]


def test_every_row_has_a_row_whatever_the_shard(tmp_path):
    """Shards of any length hold the same rows in the order of the file names."""
    for name, rows in (("b", 7), ("a", 1), ("c", 4)):
        survey_files.table(tmp_path / f"{name}.fits", rows=rows, pixels=2000)
    files = sorted(tmp_path.glob("*.fits"), reverse=True)

    stores = [run(tmp_path / f"{n}.zarr", files, "table", shard=n) for n in (1, 3, 5, 100)]

    files = ["a.fits"] + ["b.fits"] * 7 + ["c.fits"] * 4
    for store in stores:
        assert file_of(store) == files
        assert store.read("file_row").tolist() == [0, *range(7), *range(4)]
        for name in ("flux", "ivar", "flags", "id", "zred", "snr", "n_pixels", "identity"):
            np.testing.assert_array_equal(store.read(name), stores[0].read(name))


def bad_rows(folder):
    """One row for each thing that can be wrong with a spectrum, the first with nothing."""
    rows, pixels = 12, 3000
    wave = np.tile(4000 + 1.8 * np.arange(pixels), (rows, 1))
    flux, ivar = continuum(wave), np.ones((rows, pixels))
    zred, ebv = np.full(rows, 0.08), np.full(rows, 0.02)
    ivar[1] = 0
    flux[2] = np.nan
    flux[3] *= -1
    ivar[4] *= 1e-6
    zred[5], zred[6], zred[7] = -0.001, np.nan, 1e9
    ebv[8] = np.nan
    ivar[9, 1000:] = 0  # 4000 to 5800 Angstrom, observed
    ivar[10, :600] = 0  # no break
    wave[11] = wave[11, ::-1]
    return survey_files.table(
        folder / "bad.fits", rows=rows, Z=zred, WAVE=wave, FLUX=flux, IVAR=ivar, EBV=ebv
    )


def test_whatever_is_wrong_with_a_row_is_flagged_and_the_rest_goes_on(tmp_path):
    """NaN, negative, masked, faint, unusable redshifts and wavelengths: flags, no error."""
    store = run(tmp_path / "spectra.zarr", bad_rows(tmp_path), "table")

    flags = row_flags(store)
    nothing = {"NO_DATA", "FEW_PIXELS", "LOW_SN", "COVERAGE"}
    assert flags[0] == set()
    assert flags[1] == nothing | {"ALL_MASKED"}
    assert flags[2] == nothing | {"NOT_FINITE"}
    assert flags[3] == {"NEGATIVE_FLUX", "LOW_SN"}
    assert flags[4] == {"LOW_SN"}
    assert flags[5] == flags[6] == flags[7] == nothing | {"Z_RANGE"}
    assert flags[8] == {"NO_EBV"}
    assert flags[9] == {"FEW_PIXELS"} and 20 <= store.read("n_pixels")[9] < 40
    assert flags[10] == {"COVERAGE"}
    assert flags[11] == {"UNREADABLE", "NO_DATA"}
    assert "increasing" in store.read("reason")[11]
    assert store.read("id").tolist() == [f"galaxy {k}" for k in range(12)]


def test_nothing_that_is_not_a_number_is_written(tmp_path):
    """flux and ivar are finite everywhere, ivar never negative, and flux 0 under the mask."""
    store = run(tmp_path / "spectra.zarr", bad_rows(tmp_path), "table")

    flux, ivar = store.read("flux"), store.read("ivar")
    assert np.isfinite(flux).all() and np.isfinite(ivar).all()
    assert (ivar >= 0).all() and (flux[ivar == 0] == 0).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("column", ["Z", "EBV", "DISTANCE", "FLUX", "IVAR"])
def test_wild_values_never_stop_the_rest(column, tmp_path):
    """Infinite, huge, tiny and negative numbers in a column leave finite rows, and a good one."""
    wild = np.array([np.inf, -np.inf, np.nan, 1e300, -1e300, 1e-300, 1e30, 0.0, 0.05])
    values = wild if column not in ("FLUX", "IVAR") else np.tile(wild[:, None], (1, 3000))
    with np.errstate(over="ignore"):
        path = survey_files.table(tmp_path / "wild.fits", rows=len(wild), **{column: values})

    store = run(tmp_path / "spectra.zarr", path, "table")

    flux, ivar, flags = (store.read(name) for name in ("flux", "ivar", "flags"))
    assert np.isfinite(flux).all() and np.isfinite(ivar).all() and (ivar >= 0).all()
    assert (ivar[-1] > 0).any() and not flags[-1] & Flag.NO_DATA
    assert ((flags & Flag.NO_DATA > 0) == ((ivar > 0).sum(1) < 20)).all()


def test_active_nuclei_are_flagged_by_the_class_of_their_survey(tmp_path):
    """A galaxy with one is a galaxy still; stars that form raise nothing; the text is kept."""
    parts = ("AGN", "STARBURST BROADLINE", "STARBURST", None)
    files = [
        survey_files.sdss(tmp_path / f"spec-{i}.fits", sub=sub, fiber=i)
        for i, sub in enumerate(parts)
    ]
    store = run(tmp_path / "spectra.zarr", files, "sdss")
    classes, flags = store.read("survey_class"), store.read("flags")

    assert classes.tolist() == [f"GALAXY {sub or ''}".strip() for sub in parts]
    assert (flags & Flag.AGN > 0).tolist() == [True, True, False, False]
    assert not (flags & Flag.CLASS).any()


def test_desi_flags(tmp_path):
    """Bad fibres, stars and targets without a redshift are flagged; all get their row."""
    survey_files.desi(
        tmp_path, status=[0, 2, 0, 0], spectype=["GALAXY", "GALAXY", "STAR", "GALAXY"],
        drop=[3], rows=4,
    )  # fmt: skip

    store = run(tmp_path / "spectra.zarr", sorted(tmp_path.glob("*.fits")), "desi")

    flags = row_flags(store)
    assert flags[0] == set() and flags[2] == {"CLASS"}
    assert {"BAD_FIBER", "ALL_MASKED", "NO_DATA"} <= flags[1]
    assert {"ZWARN", "Z_RANGE", "NO_DATA"} <= flags[3]
    assert set(store.settings["files"]) == {
        "coadd-main-bright-1.fits",
        "redrock-main-bright-1.fits",
    }


def test_a_file_that_breaks_while_read_is_flagged_and_the_others_go_on(tmp_path, monkeypatch):
    """Rows of a DESI file whose cameras do not fit are UNREADABLE with the reason."""
    survey_files.desi(tmp_path, name="one", rows=3)
    monkeypatch.setitem(survey_files.CAMERAS, "R", (5760.3, 2326))
    survey_files.desi(tmp_path, name="two", rows=2)

    store = run(tmp_path / "spectra.zarr", sorted(tmp_path.glob("*.fits")), "desi")

    flags = row_flags(store)
    assert flags[:3] == [set()] * 3 and flags[3:] == [{"UNREADABLE", "NO_DATA"}] * 2
    assert store.read("id")[3:].tolist() == ["coadd-two-0", "coadd-two-1"]
    assert all("camera R" in reason for reason in store.read("reason")[3:])
    assert str(tmp_path) not in "".join(store.read("reason"))


def test_a_broken_file_ends_the_stage_before_it_starts(tmp_path):
    """All broken files are named at once, and no store is made."""
    good = survey_files.table(tmp_path / "a.fits")
    for name in ("b.fits", "c.fits"):
        (tmp_path / name).write_bytes(good.read_bytes()[:5000])

    with pytest.raises(ValueError, match=r"b\.fits(.|\n)*c\.fits"):
        run(tmp_path / "spectra.zarr", sorted(tmp_path.glob("*.fits")), "table")

    assert not (tmp_path / "spectra.zarr").exists()


def test_missing_files_are_named_all_at_once(tmp_path):
    """Paths that are not there, folders, and patterns that match nothing are listed together."""
    files = [str(tmp_path / "x.fits"), str(tmp_path), str(tmp_path / "y*.fits")]

    with pytest.raises(FileNotFoundError, match="3 of 3") as caught:
        find_files(files)

    assert all(name in str(caught.value) for name in files)


def test_no_files_is_an_error():
    """An empty list is refused with the mend."""
    with pytest.raises(ValueError, match=r"ingest\.files is empty"):
        find_files([])


def test_the_same_file_twice_is_refused(tmp_path):
    """A path listed twice, or a copy under another name, would be two rows of one spectrum."""
    path = survey_files.table(tmp_path / "a.fits")
    copy = tmp_path / "b.fits"
    copy.write_bytes(path.read_bytes())

    with pytest.raises(ValueError, match="listed twice"):
        find_files([str(path), str(path)])
    with pytest.raises(ValueError, match="same contents"):
        run(tmp_path / "spectra.zarr", [path, copy], "table")


def test_repeated_ids_are_counted_and_kept(tmp_path, capsys):
    """Two objects of one name both keep their row, and the end of the stage says so."""
    ids = np.array(["a", "b", "a", "c", "a"])
    store = run(tmp_path / "s.zarr", survey_files.table(tmp_path / "a.fits", ID=ids), "table")

    assert store.read("id").tolist() == ids.tolist()
    assert "2 rows repeat the id" in capsys.readouterr().out


def test_the_end_says_how_many_rows_have_each_flag(tmp_path, capsys):
    """Counts of flags are printed once the rows are written."""
    run(tmp_path / "spectra.zarr", bad_rows(tmp_path), "table")

    printed = capsys.readouterr().out
    assert "12 spectra, 1 without flags" in printed and "UNREADABLE" in printed


def test_changed_files_make_another_store(tmp_path):
    """The same path with other contents is refused, with the file's name."""
    path = survey_files.table(tmp_path / "a.fits")
    run(tmp_path / "spectra.zarr", path, "table")
    survey_files.table(path, Z=np.full(5, 0.2))

    with pytest.raises(Mismatch, match=r"a\.fits"):
        run(tmp_path / "spectra.zarr", path, "table")


def test_the_folder_of_the_files_does_not_matter(tmp_path):
    """The same files elsewhere give the same bytes, and no path is written."""
    stores = []
    for name in ("one", "two/deeper"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        survey_files.manga(folder / "stack.fits.gz")
        run(folder / "spectra.zarr", folder / "stack.fits.gz", "manga", shard=2)
        stores.append(tree(folder / "spectra.zarr"))

    assert stores[0] == stores[1]
    assert not any(str(tmp_path).encode() in content for content in stores[0].values())


@pytest.mark.slow
def test_serial_and_local_give_the_same_bytes(tmp_path):
    """Two processes write what one writes; nothing is left beside the store."""
    for k in range(3):
        survey_files.desi(tmp_path, name=f"{k}", rows=5 + k)
    files = sorted(tmp_path.glob("*.fits"))

    run(tmp_path / "serial.zarr", files, "desi", shard=4)
    local = Local(workers=2, folder=str(tmp_path / "spill"))
    run(tmp_path / "local.zarr", files, "desi", shard=4, cluster=local)

    assert tree(tmp_path / "serial.zarr") == tree(tmp_path / "local.zarr")
    assert not list(tmp_path.glob("*.plan*"))


def test_killed_and_resumed_gives_the_same_bytes(tmp_path):
    """A run that dies at its third shard and is started again writes what one run writes."""
    survey_files.table(tmp_path / "a.fits", rows=9)
    whole = run(tmp_path / "whole.zarr", tmp_path / "a.fits", "table", shard=2)
    script = textwrap.dedent(f"""
        import os, signal, hpcsbi.store.store
        import test_ingest
        write = hpcsbi.store.store.Store.write
        def dying(self, shard, **arrays):
            if shard == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            write(self, shard, **arrays)
        hpcsbi.store.store.Store.write = dying
        test_ingest.run("{tmp_path}/killed.zarr", ["{tmp_path}/a.fits"], "table", shard=2)
    """)
    paths = os.pathsep.join(sys.path)
    dead = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": paths})
    assert dead.returncode == -signal.SIGKILL
    assert list(open_store(tmp_path / "killed.zarr").states().values()).count("done") == 2

    run(tmp_path / "killed.zarr", tmp_path / "a.fits", "table", shard=2)

    assert tree(whole.path) == tree(tmp_path / "killed.zarr")


def test_what_is_done_is_not_read_again(tmp_path):
    """A second run writes nothing."""
    path = survey_files.table(tmp_path / "a.fits")
    store = run(tmp_path / "spectra.zarr", path, "table")
    before = {p: p.stat().st_mtime_ns for p in store.path.rglob("c/*") if p.is_file()}
    time.sleep(0.02)

    run(tmp_path / "spectra.zarr", path, "table")

    assert before == {p: p.stat().st_mtime_ns for p in store.path.rglob("c/*") if p.is_file()}


def test_air_wavelengths_are_moved(tmp_path):
    """With survey.air the spectrum shifts by 1.4 to 2.6 Angstrom to the red."""
    wave = np.tile(4000 + 1.8 * np.arange(3000), (1, 1))
    path = survey_files.table(tmp_path / "a.fits", rows=1, FLUX=(wave - 3900.0), WAVE=wave)
    survey = configured("table")
    moved = instantiate(
        {"_target_": "hpcsbi.survey.readers.formats.Survey", "name": "table", "air": True}
    )

    ingest(tmp_path / "v.zarr", str(path), survey, GRID, 4, Serial())
    ingest(tmp_path / "a.zarr", str(path), moved, GRID, 4, Serial())

    vacuum, air = (open_store(tmp_path / name) for name in ("v.zarr", "a.zarr"))
    good = (vacuum.read("ivar")[0] > 0) & (air.read("ivar")[0] > 0)
    ratio = air.read("flux")[0, good] / vacuum.read("flux")[0, good]
    shift = (1 - ratio) * (GRID.wave[good] * 1.05 - 3900)
    assert (shift > 1.0).all() and (shift < 2.9).all()


def test_shipped_nuclei_are_clean(tmp_path):
    """The three nuclei of the package are read with no flags, under 100 kB, at S/N 250 to 310."""
    store = run(tmp_path / "spectra.zarr", NUCLEI, "table")

    assert NUCLEI.stat().st_size < 100_000
    assert store.read("id").tolist() == ["NGC 3073", "NGC 3522", "NGC 4636"]
    assert row_flags(store) == [set()] * 3
    assert store.read("distance").tolist() == [32.8, 25.5, 14.3]
    assert ((store.read("snr") > 250) & (store.read("snr") < 310)).all()


@pytest.mark.skipif(not DATA.exists(), reason="the survey files are not here")
def test_shipped_nuclei_are_the_originals(tmp_path):
    """Rounding moves no pixel by more than a fifth of its error, and ivar by 2 %."""
    # They were made when pixels under bright sky were left out.
    survey = replace(configured("sdss"), bad_bits=[22, 23, 24, 25, 26])
    original = run(tmp_path / "sdss.zarr", sorted((DATA / "sdss").glob("spec-*.fits")), survey)
    shipped = run(tmp_path / "shipped.zarr", NUCLEI, "table")

    order = [1, 2, 0]
    for row, at in enumerate(order):
        f, i = (original.read(name)[at] for name in ("flux", "ivar"))
        g, h = (shipped.read(name)[row] for name in ("flux", "ivar"))
        both = (i > 0) & (h > 0)
        assert both.sum() > 125 and (i > 0).sum() - both.sum() <= 1
        scale = g[both] / f[both]  # distance and E(B-V) differ, smoothly
        smooth = np.polyval(np.polyfit(GRID.wave[both], np.log(scale), 5), GRID.wave[both])
        pulls = (np.log(scale) - smooth) * f[both] * np.sqrt(i[both])
        assert np.abs(pulls).max() < 0.3
        np.testing.assert_allclose(h[both] * scale**2 / i[both], 1, atol=0.02)


@pytest.mark.skipif(not DATA.exists(), reason="the survey files are not here")
def test_real_surveys_end_to_end(tmp_path):
    """DESI covers 82 pixels at z = 0.369; of eight MaNGA spectra one is masked, one is faint."""
    desi = run(tmp_path / "desi.zarr", sorted(DATA.glob("*-4-80613-*.fits")), "desi")
    manga = run(tmp_path / "manga.zarr", DATA / "MaNGA_test_spectra.fits.gz", "manga")

    assert row_flags(desi) == [set()] and desi.read("n_pixels")[0] == 82
    assert desi.read("snr")[0] == pytest.approx(49, abs=1)
    flags = manga.read("flags")
    assert np.flatnonzero(flags & Flag.ALL_MASKED).tolist() == [5]
    assert np.flatnonzero(flags & Flag.NO_DATA).tolist() == [5]
    assert manga.read("snr")[6] == pytest.approx(8.7, abs=0.1)


def test_blueshifted_galaxies_with_a_distance_are_read(tmp_path):
    """The redshift only shifts where a distance is given: L goes with the distance squared."""
    zred = np.array([-0.0008, 0.0, 0.0008, -0.0008, -0.02, 0.0])
    far = np.array([16.5, 16.5, 16.5, 33.0, 16.5, np.nan])
    path = survey_files.table(tmp_path / "own.fits", rows=6, Z=zred, DISTANCE=far)

    store = run(tmp_path / "s.zarr", path, "table")

    flux, valid = store.read("flux"), store.read("ivar") > 0
    assert valid[:4].sum(1).min() > 100 and not valid[4:].any()
    both = valid[:4].all(0)
    np.testing.assert_allclose(flux[3, both] / flux[0, both], 4, rtol=1e-6)
    np.testing.assert_allclose(flux[0, both] / flux[2, both], 1, rtol=0.01)
    assert not (store.read("flags")[:4] & Flag.Z_RANGE).any()
    assert "takes a DISTANCE" in store.read("reason")[5]


def test_every_row_without_data_says_why(tmp_path):
    """Redshift, mask, ivar, flux, wavelengths: the reason has what was found."""
    rows, pixels = 8, 3000
    wave = np.tile(4000 + 1.8 * np.arange(pixels), (rows, 1))
    flux, ivar, zred = continuum(wave), np.ones((rows, pixels)), np.full(rows, 0.05)
    ivar[1], ivar[2], ivar[3], flux[4] = 0, np.inf, -1, np.nan
    zred[5], zred[6] = np.nan, 30.0
    ivar[7, 40:] = 0
    path = survey_files.table(tmp_path / "a.fits", rows=rows, Z=zred, FLUX=flux, IVAR=ivar)

    store = run(tmp_path / "s.zarr", path, "table")

    reasons = store.read("reason").tolist()
    no_data = store.read("flags") & Flag.NO_DATA > 0
    assert [bool(reason) for reason in reasons] == no_data.tolist() == [False] + [True] * 7
    for reason, words in zip(
        reasons[1:],
        ["ivar is 0 in 3000", "infinite in 3000", "negative in 3000", "not finite", "redshift nan",
         "redshift 30", "cover too little"],
        strict=True,
    ):  # fmt: skip
        assert words in reason


def test_pixels_with_an_impossible_ivar_are_told(tmp_path):
    """Infinite or negative in some pixels: the row is used, and says how many are not."""
    ivar = np.ones((3, 3000))
    ivar[1, :90], ivar[2, 5] = np.inf, -1
    path = survey_files.table(tmp_path / "a.fits", rows=3, IVAR=ivar)

    store = run(tmp_path / "s.zarr", path, "table")

    assert (store.read("n_pixels") > 100).all()
    assert store.read("reason").tolist() == [
        "", "ivar is infinite in 90 of 3000 pixels", "ivar is negative in 1 of 3000 pixels",
    ]  # fmt: skip


@pytest.mark.parametrize(("unit", "absurd"), [("erg/s/cm2/Angstrom", True), (None, False)])
def test_absurd_luminosities_are_flagged_and_not_inferred(unit, absurd, tmp_path):
    """A missing 1e-17 makes galaxies of 1e22 L_sun/A: the reason asks for the factor."""
    unit = unit or survey_files.UNIT
    path = survey_files.table(tmp_path / "own.fits", rows=2, unit=unit)

    store = run(tmp_path / "s.zarr", path, "table")

    flags = store.read("flags")
    assert (flags & Flag.LUMINOSITY > 0).tolist() == [absurd] * 2
    assert (flags & NOT_INFERRED > 0).tolist() == [absurd] * 2
    assert all(("factor" in reason) == absurd for reason in store.read("reason"))


def test_flux_in_units_that_are_too_small_is_flagged(tmp_path):
    """A factor 1e-17 that was applied twice is seen as well."""
    wave = np.tile(4000 + 1.8 * np.arange(3000), (2, 1))
    flux = 1e-17 * continuum(wave)
    path = survey_files.table(tmp_path / "own.fits", rows=2, FLUX=flux, IVAR=100 / flux**2)

    store = run(tmp_path / "s.zarr", path, "table")

    assert (store.read("flags") & Flag.LUMINOSITY).all()


def test_pixels_wider_than_the_grid_are_flagged(tmp_path):
    """A spectrum of 60 Angstrom on a grid of 42 is refused with both widths; of 40 it is not."""
    for step, expected in ((60.0, True), (40.0, False)):
        wave = np.tile(3500 + step * np.arange(150), (2, 1))
        path = survey_files.table(
            tmp_path / f"{step}.fits", rows=2, pixels=150, WAVE=wave, FLUX=continuum(wave),
            IVAR=np.ones(wave.shape),
        )  # fmt: skip
        store = run(tmp_path / f"{step}.zarr", path, "table")

        flags = store.read("flags")
        assert (flags & Flag.WIDE_PIXELS > 0).tolist() == [expected] * 2
        assert (flags & Flag.NO_DATA > 0).tolist() == [expected] * 2
        if expected:
            assert "57.14 Angstrom" in store.read("reason")[0]


def test_dust_beyond_the_curve_is_flagged(tmp_path):
    """A galaxy at z = 4 seen beyond 3.3 micrometres: masked there with E(B-V), kept without."""
    wave = np.tile(18_000 + 12.0 * np.arange(2600), (2, 1))
    path = survey_files.table(
        tmp_path / "own.fits", rows=2, pixels=2600, WAVE=wave, FLUX=np.full(wave.shape, 9.0),
        IVAR=np.ones(wave.shape), Z=np.full(2, 4.0), EBV=np.array([0.02, 0.0]),
    )  # fmt: skip

    store = run(tmp_path / "s.zarr", path, "table")

    assert (store.read("flags") & Flag.DUST_RANGE > 0).tolist() == [True, False]
    assert 50 < store.read("n_pixels")[0] < store.read("n_pixels")[1]


def test_the_end_tells_meanings_reasons_and_what_was_not_read(tmp_path, capsys):
    """Flags with what they mean, rows by their reason, ignored parts, ids of two redshifts."""
    path = survey_files.table(
        tmp_path / "a.fits", ID=np.array(["a", "b", "a", "c", "c"]),
        Z=np.array([0.1, 0.1, 0.2, 0.3, 0.3]),
        WAVE=np.tile(4000 + 1.8 * np.arange(3000), (5, 1)) * np.array([1, -1, 1, 1, 1])[:, None],
    )  # fmt: skip

    run(tmp_path / "s.zarr", path, "table")

    printed = capsys.readouterr().out
    assert MEANINGS[Flag.UNREADABLE] in printed
    assert "1 rows could not be read" in printed and "not positive" in printed
    assert "2 rows repeat the id" in printed
    assert "1 times an id stands for another redshift" in printed and "a (1 times)" in printed


def test_a_bad_row_keeps_its_id_and_the_others(tmp_path):
    """One spectrum with a NaN among its wavelengths, in the middle of a block."""
    wave = np.tile(4000 + 1.8 * np.arange(3000), (80, 1))
    wave[70, 5] = np.nan
    path = survey_files.table(
        tmp_path / "a.fits", rows=80, WAVE=wave, Z=np.full(80, 0.05), FLUX=np.full(wave.shape, 9.0)
    )

    store = run(tmp_path / "s.zarr", path, "table", shard=32)

    unreadable = store.read("flags") & Flag.UNREADABLE > 0
    assert np.flatnonzero(unreadable).tolist() == [70]
    assert store.read("id").tolist() == [f"galaxy {k}" for k in range(80)]
    assert (store.read("n_pixels")[~unreadable] > 100).all()


def test_rows_before_a_break_are_kept(tmp_path, monkeypatch):
    """A file that breaks in its third block has the rows of the first two."""
    path = survey_files.table(tmp_path / "a.fits", rows=200, pixels=3000, Z=np.full(200, 0.05))
    whole = Survey.read

    def breaking(self, source, rows):
        blocks = whole(self, source, rows)
        yield next(blocks)
        yield next(blocks)
        raise UnreadableError("a.fits: a bad page")

    monkeypatch.setattr(Survey, "read", breaking)
    store = run(tmp_path / "s.zarr", path, "table", shard=1000)

    unreadable = store.read("flags") & Flag.UNREADABLE > 0
    assert np.flatnonzero(unreadable).tolist() == list(range(128, 200))
    assert "a bad page" in store.read("reason")[199]


def test_files_of_one_name_in_two_folders(tmp_path):
    """Of two healpixels whose files someone named alike: each row has the redshift of its own."""
    for k, name in enumerate(("fuji", "iron")):
        (tmp_path / name).mkdir()
        survey_files.desi(tmp_path / name, name="7", rows=3 + k, shuffle=False, first=10 * k)

    store = run(tmp_path / "s.zarr", sorted(tmp_path.glob("*/*.fits")), "desi")

    assert store.rows == 7 and len(store.settings["files"]) == 4
    assert sorted(store.read("zred").round(6).tolist()) == [
        0.05,
        0.05,
        0.06,
        0.06,
        0.07,
        0.07,
        0.08,
    ]


def test_one_spectrum_of_two_productions_is_refused(tmp_path):
    """By its key, before anything is written, with both files; one object may come again."""
    for name, rows in (("fuji", 3), ("iron", 4)):
        (tmp_path / name).mkdir()
        survey_files.desi(tmp_path / name, rows=rows)
    with pytest.raises(BadInput, match=r"fuji/coadd.*iron/coadd.*main-bright-1-396.*3 spectra"):
        run(tmp_path / "s.zarr", sorted(tmp_path.glob("*/*.fits")), "desi")
    assert not (tmp_path / "s.zarr").exists()

    survey_files.desi(tmp_path, name="main-dark-1", rows=3)
    files = sorted(tmp_path.glob("iron/*.fits")) + sorted(tmp_path.glob("*.fits"))
    store = run(tmp_path / "s.zarr", files, "desi")
    assert len({*store.read("id").tolist()}) == 4
    assert len({*store.read("identity")[:, NAMES.index("key")].tolist()}) == store.rows == 7


@pytest.mark.parametrize("name", survey_files.EVERY)
def test_every_row_tells_who_it_is(name, tmp_path):
    """Survey, file, number of the row, and a key that no other row has; degrees or NaN."""
    survey_files.make(name, tmp_path)
    files = sorted(path for path in tmp_path.iterdir() if path.is_file())
    store = run(tmp_path / "s.zarr", files, name)

    survey, _, file, key = store.read("identity").T
    assert {*survey} == {name} and {*file} == {f.name for f in files if "redrock" not in f.name}
    assert len({*key}) == store.rows and "" not in key
    assert store.read("file_row").tolist() == [*range(store.rows)]
    position = store.read("position")
    known = name in ("sdss", "desi", "manga_cube", "pfs", "aaomega")
    expected = survey_files.PLACE if known else (np.nan, np.nan)
    np.testing.assert_allclose(position, np.tile(expected, (store.rows, 1)), atol=5e-4)


def test_a_file_that_breaks_has_keys_of_its_own(tmp_path, monkeypatch):
    """What cannot be read is told apart all the same."""
    survey_files.desi(tmp_path, name="one", rows=3)
    monkeypatch.setitem(survey_files.CAMERAS, "R", (5760.3, 2326))
    survey_files.desi(tmp_path, name="two", rows=2)
    store = run(tmp_path / "s.zarr", sorted(tmp_path.glob("*.fits")), "desi")

    key = store.read("identity")[:, NAMES.index("key")].tolist()
    assert key[3:] == ["coadd-two-0", "coadd-two-1"] and len({*key}) == 5
    assert store.read("file_row").tolist() == [0, 1, 2, 0, 1]


def test_finding_files_takes_linear_work(tmp_path, monkeypatch):
    """300 paths are not compared 90 000 times."""
    names = [str(tmp_path / f"spec-{k:05d}.fits") for k in range(300)]
    for name in names:
        Path(name).touch()
    compared, equal = [], PurePath.__eq__
    monkeypatch.setattr(
        PurePath, "__eq__", lambda one, other: compared.append(1) or equal(one, other)
    )

    assert len(find_files(names)) == 300

    assert len(compared) < 3000


def lines(path, *texts):
    """A small text file."""
    path.write_text("\n".join(texts) + "\n")
    return path


def test_given_redshifts_take_the_place_of_the_files(tmp_path, capsys):
    """Numbers as if the files had them, whatever the shard; other rows keep theirs."""
    zred = 0.05 + 0.01 * np.arange(5)
    given, far = zred.copy(), np.full(5, np.nan)
    given[1], given[3], far[3] = 0.2, 0.0, 16.5
    first = survey_files.table(tmp_path / "a.fits")
    (tmp_path / "right").mkdir()
    right = survey_files.table(tmp_path / "right" / "a.fits", Z=given, DISTANCE=far)
    table = lines(
        tmp_path / "z.csv", "id,zred,distance", "galaxy 3,0,16.5", "galaxy 1,0.2,", "x,1,", "y,2,"
    )

    expected = run(tmp_path / "right.zarr", right, "table")
    for shard in (1, 3, 100):
        store = run(tmp_path / f"{shard}.zarr", first, "table", shard, redshifts=table)
        for name in ("flux", "ivar", "flags", "id", "zred", "distance", "snr", "reason"):
            np.testing.assert_array_equal(store.read(name), expected.read(name), err_msg=name)

    assert "2 of its 4 ids are in no file: x, ..." in capsys.readouterr().out
    assert store.settings["redshifts"]["checksum"] and "redshifts" not in expected.settings


def test_only_objects_of_a_list_are_read(tmp_path, capsys):
    """In the order of the files, from every file that has them, with their numbers."""
    for name, rows in (("a", 4), ("b", 6)):
        zred = 0.1 + 0.01 * np.arange(rows)
        ids = np.array([f"galaxy {k}" for k in range(rows)])
        survey_files.table(tmp_path / f"{name}.fits", rows=rows, Z=zred, ID=ids)
    files = sorted(tmp_path.glob("*.fits"))
    ids = lines(tmp_path / "ids.txt", "galaxy 5", "galaxy 3", "galaxy 9", "galaxy 1")

    whole = run(tmp_path / "whole.zarr", files, "table")
    rows = np.array([1, 3, 4 + 1, 4 + 3, 4 + 5])
    for shard in (1, 2, 100):
        store = run(tmp_path / f"{shard}.zarr", files, "table", shard, ids=ids)
        for name in (
            "flux",
            "ivar",
            "flags",
            "id",
            "zred",
            "identity",
            "position",
            "file_row",
            "instrument",
        ):
            np.testing.assert_array_equal(store.read(name), whole.read(name)[rows], err_msg=name)

    assert "1 of its 4 ids are in no file: galaxy 9" in capsys.readouterr().out


def test_a_redshift_for_what_redrock_does_not_know(tmp_path):
    """No warning of its fit is left, and no reason; what is known of the fibre stays."""
    path = survey_files.desi(tmp_path, rows=3, status=[0, 2, 0], drop=[0, 1])
    target = 39_633_345_008_634_465
    table = lines(tmp_path / "z.csv", "id,zred", f"{target},0.1", f"{target + 1},0.1")

    before = run(tmp_path / "a.zarr", path, "desi")
    store = run(tmp_path / "b.zarr", path, "desi", redshifts=table)

    assert "ZWARN" in row_flags(before)[0] and before.read("reason")[0]
    assert row_flags(store)[0] == set() and not store.read("reason")[0]
    assert "BAD_FIBER" in row_flags(store)[1] and "ZWARN" not in row_flags(store)[1]
    assert store.read("zred").tolist() == [0.1, 0.1, pytest.approx(0.07)]


@pytest.mark.parametrize("key", ["redshifts", "ids"])
def test_another_list_makes_another_store(key, tmp_path):
    """The same contents under another name go on; other ones, or none, are refused."""
    path = survey_files.table(tmp_path / "a.fits")
    texts = ["id,zred", "galaxy 0,0.1", "galaxy 1,0.1"]
    lists = [lines(tmp_path / "one.csv", *texts), lines(tmp_path / "same.csv", *texts)]
    other = lines(tmp_path / "two.csv", "id,zred", "galaxy 0,0.2", "galaxy 2,0.3")
    for each in lists:
        run(tmp_path / "s.zarr", path, "table", **{key: each})

    for change in ({key: other}, {}):
        with pytest.raises(Mismatch, match=key):
            run(tmp_path / "s.zarr", path, "table", **change)


@pytest.mark.parametrize("key", ["redshifts", "ids"])
def test_lists_of_other_objects_are_refused_before_anything_is_written(key, tmp_path):
    """None of their ids is in the files: one line, no store."""
    path = survey_files.table(tmp_path / "a.fits")
    table = lines(tmp_path / "z.csv", "id,zred", "x,1", "y,2")

    with pytest.raises(BadInput, match="none of its 2 ids is in the files, 'x' neither"):
        run(tmp_path / "s.zarr", path, "table", **{key: table})

    assert not (tmp_path / "s.zarr").exists()


def test_a_file_that_breaks_has_no_redshift_from_a_list(tmp_path, monkeypatch):
    """Its rows are UNREADABLE under names of their own; the chosen rows of others go on."""
    survey_files.table(tmp_path / "a.fits", rows=3)
    survey_files.table(tmp_path / "b.fits", rows=3, Z=np.full(3, 0.1))
    table = lines(tmp_path / "z.csv", "id,zred", "galaxy 0,0.2", "galaxy 2,0.2")
    whole = Survey.read

    def breaking(self, source, rows):
        if source.stem == "a":
            raise UnreadableError("a.fits: a bad page")
        yield from whole(self, source, rows)

    monkeypatch.setattr(Survey, "read", breaking)
    files = sorted(tmp_path.glob("*.fits"))
    store = run(tmp_path / "s.zarr", files, "table", redshifts=table, ids=table)

    assert store.read("id").tolist() == ["a-0", "a-2", "galaxy 0", "galaxy 2"]
    np.testing.assert_array_equal(store.read("zred"), [np.nan, np.nan, 0.2, 0.2])
    assert ["UNREADABLE" in flags for flags in row_flags(store)] == [True, True, False, False]
