"""Spec files of the SDSS family: bits, names, and every layout that they come in."""

import numpy as np
import pytest
import survey_files
from astropy.io import fits
from survey_files import DATA, configured, continuum, read, real

from hpcsbi.grid import Grid
from hpcsbi.survey.observed import columns_of
from hpcsbi.survey.record.line_spread import KNOTS, between_knots, knots
from hpcsbi.survey.record.source import Source


def test_sdss_bits_class_and_name(tmp_path):
    """The bits of the list mask a pixel, others and or_mask do not; the id is plate-MJD-fibre."""
    mask = [(10, 24), (11, 28), (12, 22), (12, 3)]
    path = survey_files.sdss(tmp_path / "s.fits", kind="STAR", zwarning=4, mask=mask, sub="F5")

    (spectra,) = read(configured("sdss"), path)

    assert np.flatnonzero(spectra.ivar[0] == 0).tolist() == [10, 12]
    assert spectra.id == ["0266-51602-0007"]
    assert spectra.zwarn.all() and spectra.other_class.all() and np.isnan(spectra.ebv).all()
    assert spectra.survey_class == ["STAR F5"]


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


@real
def test_real_sdss_nuclei():
    """Three lite files of the archive: redshifts, classes and S/N as published."""
    survey = configured("sdss")
    spectra = [read(survey, path)[0] for path in sorted((DATA / "sdss").glob("spec-*.fits"))]

    assert [each.id[0] for each in spectra] == [
        "0522-52024-0396",
        "0945-52652-0470",
        "2488-54149-0001",
    ]
    np.testing.assert_allclose([s.zred[0] for s in spectra], [0.0030, 0.0038, 0.0040], atol=1e-4)
    assert [bool(each.other_class[0]) for each in spectra] == [False, True, False]


def test_the_instrument_is_what_the_file_tells(tmp_path):
    """wdisp counts pixels of 1e-4 dex, 69 km/s; where it is 0 it is not known."""
    wide = np.full(3800, 0.87, dtype=np.float32)
    wide[1000:1010] = 0
    path = survey_files.sdss(tmp_path / "s.fits", wdisp=wide)
    (spectra,) = read(configured("sdss"), path)
    columns = columns_of(spectra, False, Grid(), configured("sdss").spread)

    assert spectra.dispersion[0, 0] == pytest.approx(0.87 * 69.03, rel=1e-4)
    assert columns["instrument"] == pytest.approx(np.full((1, KNOTS), 60.06), rel=1e-3)


def test_a_file_without_it_has_the_surveys_curve(tmp_path):
    """At its own redshift."""
    (spectra,) = read(configured("sdss"), survey_files.sdss(tmp_path / "s.fits"))
    spread = configured("sdss").spread
    columns = columns_of(spectra, False, Grid(), spread)

    assert spectra.dispersion is None
    right = spread.dispersion(knots(Grid().wave) * 1.05)
    assert columns["instrument"][0] == pytest.approx(right, rel=1e-5)
    assert np.isnan(columns_of(spectra, False, Grid())["instrument"]).all()


@real
def test_real_instruments():
    """Twelve fibres: 45 to 90 km/s, within 5 km/s of their wdisp, and near the survey's curve."""
    survey = configured("sdss")
    paths = sorted((DATA / "spectra").glob("spec-*.fits"))
    assert len(paths) == 12
    for path in paths:
        (spectra,) = read(survey, path)
        numbers = columns_of(spectra, False, Grid(), survey.spread)["instrument"][0]
        rest = spectra.wave / (1 + spectra.zred[0])
        inside = (rest > 3750) & (rest < 9500) & (spectra.dispersion[0] > 0)
        curve = np.sqrt(numbers**2 @ between_knots(Grid().wave, rest[inside]))
        assert np.abs(curve - spectra.dispersion[0, inside]).max() < 5
        assert ((numbers > 44) & (numbers < 90)).all()
        expected = survey.spread.at_knots(Grid().wave, spectra.zred)[0]
        assert np.abs(np.log(numbers / expected)).max() < 0.35


@real
def test_the_sigma_of_bright_sky_holds_on_real_spectra():
    """Residuals about a local fit scatter as those of the pixels beside them, so none is masked."""
    residual = {True: [], False: []}
    for path in sorted((DATA / "spectra").glob("spec-*.fits")):
        (block,) = read(configured("sdss"), path)
        flux, sigma = block.flux[0], 1 / np.sqrt(np.maximum(block.ivar[0], 1e-30))
        bright = fits.getdata(path, 1)["and_mask"] & 1 << 23 > 0
        quiet = (block.ivar[0] > 0) & ~bright
        for k in np.flatnonzero(np.convolve(bright, np.ones(11), "same") > 0):
            near = np.abs(np.arange(len(flux)) - k)
            use = quiet & (near > 2) & (near <= 25)
            if block.ivar[0, k] > 0 and use.sum() >= 20:
                offset = np.flatnonzero(use) - k
                fit = np.polyfit(offset, flux[use], 2, w=1 / sigma[use])
                residual[bool(bright[k])].append((flux[k] - fit[-1]) / sigma[k])
    scatter = {kind: 1.48 * np.median(np.abs(each)) for kind, each in residual.items()}

    assert len(residual[True]) > 250
    assert scatter[True] < 1.4 * scatter[False]
    assert np.mean(np.abs(residual[True]) > 5) < 0.03
