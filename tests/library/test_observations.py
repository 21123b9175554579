"""Plain arrays on the flow's pixels: the same as a table's row, with the instrument where asked."""

import numpy as np
import pytest
import small_run as shared

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.library.observations import number, observed_batch, observed_files
from hpcsbi.run.flows import load_posterior
from hpcsbi.store.opening import open_complete
from hpcsbi.survey.record.spectra import USUAL

CURVE = [(3600.0, 2000.0), (9800.0, 2000.0)]


def batch_of(posterior, spectrum, unit=USUAL, line_spread=()):
    vectors = {name: spectrum[name] for name in ("wave", "flux", "ivar")}
    numbers = {name: float(spectrum[name]) for name in ("zred", "ebv", "distance")}
    return observed_batch(posterior, vectors, numbers, spectrum["name"], unit, line_spread, 0)


@pytest.fixture(scope="module")
def posterior(small_run):
    return load_posterior(small_run / "flows" / "demo")


@pytest.mark.parametrize("row", [0, 2])
def test_pixels_are_those_of_ingest(posterior, small_run, row):
    """Flux, ivar and flags of spectra.zarr, bit for bit."""
    batch, flags = batch_of(posterior, shared.nucleus(row))
    store = open_complete(small_run / "spectra.zarr", "ingest")

    assert np.array_equal(batch.flux[0], store.read("flux")[row])
    assert np.array_equal(batch.ivar[0], store.read("ivar")[row])
    assert flags == store.read("flags")[row] and batch.instrument is None


def test_what_is_not_known_is_flagged(posterior):
    """No E(B-V): inferred, and told; masked arrays are masked by NaN."""
    spectrum = shared.nucleus() | {"ebv": np.nan}
    _, flags = batch_of(posterior, spectrum)
    assert flags & Flag.NO_EBV
    masked = np.ma.masked_array(spectrum["flux"], spectrum["wave"] < 5000)
    batch, _ = batch_of(posterior, spectrum | {"flux": masked})
    blue = posterior.grid.wave < 4900
    assert not batch.ivar[0, blue].any() and batch.ivar[0, ~blue].any()


def test_an_instrument_is_asked_for_where_it_counts(small_run, posterior, monkeypatch):
    """A flow of noise.instrument=true refuses a spectrum without line spread, and takes one."""
    noise = type("Noise", (), {"instrument": True})()
    model = type("Model", (), {"noise": noise})()
    monkeypatch.setattr(posterior, "model", model)

    with pytest.raises(BadInput, match=r"NGC 3073: the flow takes what the instr.*pairs"):
        batch_of(posterior, shared.nucleus())
    batch, _ = batch_of(posterior, shared.nucleus(), line_spread=CURVE)
    expected = 299792.458 / 2000 / np.sqrt(8 * np.log(2))
    assert np.allclose(batch.instrument, expected, rtol=0.01)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"survey": "sdsss"}, "survey 'sdsss': choose from aaomega, desi, .* sdss, stack, table"),
        ({"options": {"air_": True}}, "survey table has no option air_"),
        ({"options": {"name": "sdss"}}, "survey table has no option name"),
        ({"survey": "sdss"}, "survey=sdss: found HDUs .*looks like survey=table"),
    ],
)
def test_what_no_survey_has_is_refused(posterior, options, words):
    """Before anything is read."""
    arguments = {"files": shared.NUCLEI, "survey": "table", "options": {}, "seed": 0} | options
    with pytest.raises(BadInput, match=words):
        next(observed_files(posterior, **arguments))


def test_files_have_the_rows_of_ingest(posterior, small_run, tmp_path):
    """Of a file, and of several; one that is not there is named before the first is read."""
    store = open_complete(small_run / "spectra.zarr", "ingest")
    rows = list(observed_files(posterior, [shared.NUCLEI], "table", {}, 0))

    assert [name for name, *_ in rows] == [str(name) for name in store.read("id")]
    for i, (_, batch, flags, why) in enumerate(rows):
        assert np.array_equal(batch.flux[0], store.read("flux")[i])
        assert np.array_equal(batch.ivar[0], store.read("ivar")[i])
        assert flags == store.read("flags")[i] and why == ""
    with pytest.raises(FileNotFoundError, match=r"none\.fits is not there"):
        next(observed_files(posterior, [shared.NUCLEI, tmp_path / "none.fits"], "table", {}, 0))


@pytest.mark.parametrize("value", [0.1, "0.1", [0.1], np.array([[0.1]], ">f4"), np.float32(0.1)])
def test_one_number_in_any_form(value):
    """A column of one row is what FITS gives."""
    assert number("zred", value) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("value", [[0.1, 0.2], [], "near", {}])
def test_what_is_no_number_is_named(value):
    """With what it is."""
    with pytest.raises(BadInput, match=r"zred (is|has shape) .*: it takes"):
        number("zred", value)
