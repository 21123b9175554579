import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import tiny
import xarray

from hpcsbi.cluster.dask_local import Local
from hpcsbi.cluster.executors import Serial
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.prior import age_of_universe
from hpcsbi.stages.infer import QUANTILES, infer
from hpcsbi.store.settings import Mismatch
from hpcsbi.store.store import Array, Incomplete, create, open_complete

HARD = ("masked", "not a number", "negative", "distant", "few")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A survey flow, and a store of its test spectra with five hard rows behind them."""
    path = tmp_path_factory.mktemp("infer")
    training = tiny.pairs(path, survey=True, n=320, test=60)
    tiny.trained(path, training, representation="projection", steps=300)
    store = open_complete(training, "augment")
    rows = split_of(store.settings, store.rows, "test")
    flux, ivar = (store.read(name, rows)[:40].copy() for name in ("flux", "ivar"))
    ids = [f"good {i}" for i in range(35)] + list(HARD)
    flags = np.zeros(40, dtype=np.int32)
    zred = np.full(40, 0.1)
    ivar[35], flags[35] = 0, Flag.NO_DATA | Flag.ALL_MASKED
    flux[36], ivar[36], flags[36] = np.nan, 0, Flag.NO_DATA | Flag.NOT_FINITE
    flux[37] = -abs(flux[37])
    zred[38] = 6.0
    ivar[39, 19:] = 0
    write_spectra(path / "spectra.zarr", ids, zred, flux, ivar, flags)
    return path


def write_spectra(path, ids, zred, flux, ivar, flags, grid=None):
    n = len(ids)
    arrays = {
        "id": Array({"row": n}, "string"),
        "zred": Array({"row": n}, "float64"),
        "flux": Array({"row": n, "pixel": 138}, "float32"),
        "ivar": Array({"row": n, "pixel": 138}, "float32"),
        "flags": Array({"row": n}, "int32"),
    }
    settings = {"grid": (grid or Grid()).settings(), "survey": "test"}
    store = create(path, arrays, settings, n, {"notice": ""})
    ids = np.array(ids, dtype=object)
    store.write(0, id=ids, zred=np.asarray(zred), flux=flux, ivar=ivar, flags=flags)


def catalogue(run, out, cluster=None, **options):
    settings = {
        "flow": str(run / "flow"), "spectra": str(run / "spectra.zarr"), "draws": 100, "cap": 20,
        "keep_draws": 30, "certificate": False, "shard": 16, "seed": 0,
    } | options  # fmt: skip
    infer(out=str(out), cluster=cluster or Serial(), **settings)
    return open_complete(out, "infer")


@pytest.fixture(scope="module")
def done(run):
    return catalogue(run, run / "catalogue.zarr")


@pytest.fixture(scope="module")
def few(run):
    """Four good rows and three that cannot or can hardly be inferred."""
    source = open_complete(run / "spectra.zarr", "ingest")
    rows = np.array([0, 1, 2, 3, 35, 37, 38])
    names = ("id", "zred", "flux", "ivar", "flags")
    write_spectra(run / "few.zarr", *(source.read(name, rows) for name in names))
    return str(run / "few.zarr"), rows


@pytest.fixture(scope="module")
def certified(run, few):
    return catalogue(run, run / "certified.zarr", spectra=few[0], certificate=True, shard=4)


def test_one_row_out_for_every_row_in(run, done):
    """Ids in their order, good rows with ordered quantiles inside the prior, Parquet the same."""
    table = pd.read_parquet(run / "catalogue.parquet")
    source = open_complete(run / "spectra.zarr", "ingest")

    assert table["id"].tolist() == source.read("id").tolist()
    good = table[:35]
    assert (good["n_draws"] > 0).all()
    for name, column in tiny.prior(survey=True).columns.items():
        values = good[[f"{name}_{quantile}" for quantile in QUANTILES]].to_numpy()
        assert (np.diff(values, axis=1) >= 0).all()
        assert (values >= column.low * (1 - 1e-6)).all() and (values <= column.high).all()
    assert (good["tage_p97_5"] <= age_of_universe(0.1)).all()
    assert np.array_equal(table["logmass_p50"], done.read("logmass_p50"), equal_nan=True)
    header = pyarrow.parquet.read_schema(run / "catalogue.parquet").metadata
    assert b"not for science" in header[b"notice"] and b"NO_POSTERIOR" in header[b"flags"]


def test_hard_rows_are_flagged_not_crashed(done):
    """What cannot be inferred has no numbers and says so; what can be has both."""
    rows = {name: 35 + i for i, name in enumerate(HARD)}
    flags, p50 = done.read("flags"), done.read("logmass_p50")

    for name in ("masked", "not a number", "few"):
        assert flags[rows[name]] & Flag.NO_POSTERIOR and np.isnan(p50[rows[name]])
    assert done.read("n_draws")[rows["masked"]] == 0
    distant = done.read("tage_p97_5")[rows["distant"]]
    assert np.isnan(distant) or distant <= age_of_universe(6.0)
    assert flags[rows["negative"]] & (Flag.NO_POSTERIOR | Flag.PREDICTIVE | Flag.LOW_ACCEPTANCE)
    assert not (flags[:35] & Flag.NO_POSTERIOR).any()


def test_kept_draws_are_those_of_the_quantiles(run, done, tmp_path):
    """With all draws kept, their quantiles are the catalogue's."""
    store = catalogue(run, tmp_path / "all.zarr", keep_draws=100)
    samples = store.read("samples")[:35]
    medians = [np.nanmedian(samples[..., j], axis=1) for j in range(7)]
    columns = [store.read(f"{name}_p50")[:35] for name in tiny.DIGS | tiny.NUISANCE]

    assert np.allclose(medians, columns, rtol=1e-5)
    assert done.read("samples").shape == (40, 30, 7)


def test_xarray_shows_names(done):
    """Kept draws by parameter and rows by id, without a look into other files."""
    opened = xarray.open_zarr(done.path)

    assert list(opened.samples.parameter.values) == list(tiny.DIGS | tiny.NUISANCE)
    assert opened.samples.sel(parameter="tau").dims == ("row", "draw")
    assert "id" in opened.coords and "equal weight" in opened.samples.long_name
    assert "parameter" not in pd.read_parquet(done.path.with_suffix(".parquet")).columns


def test_the_best_numbers_stand_beside_the_flows(run, few, done, certified):
    """Flow columns are what they are without it; the others are re-weighted, or equal to them."""
    origin, ess, flags = (certified.read(name) for name in ("origin", "ess", "flags"))
    reweighted = origin == "reweighted"

    assert set(origin) <= {"flow", "reweighted", ""} and reweighted.any()
    assert "origin" not in done.group and "logmass_flow_p50" not in done.group
    for name in ("logmass_p16", "tage_p50", "noise_floor_p97_5"):
        own = certified.read(name.replace("_p", "_flow_p", 1))
        best = certified.read(name)
        assert np.allclose(own, done.read(name)[few[1]], rtol=1e-3, equal_nan=True)
        assert np.array_equal(own[origin == "flow"], best[origin == "flow"], equal_nan=True)
        assert (own[reweighted] != best[reweighted]).all()
    assert (ess[reweighted] >= 200).all() and (certified.read("pareto_k")[reweighted] < 0.7).all()
    assert (certified.read("log_evidence_error")[reweighted] < 0.1).all()
    assert np.array_equal((flags & Flag.WEAK_WEIGHTS) > 0, origin == "flow")
    draws = certified.read("samples")
    assert np.isfinite(draws[reweighted]).all() and draws.shape == (7, 30, 7)
    table = pd.read_parquet(run / "certified.parquet")
    assert table["origin"].tolist() == origin.tolist()


def test_rows_without_a_posterior_have_no_certificate(certified):
    """Nothing inferred: empty origin, NaN, no weights; a hopeless one is queued, not a crash."""
    masked, negative = 4, 5
    assert certified.read("origin")[masked] == "" and np.isnan(certified.read("ess")[masked])
    assert certified.read("n_weights")[masked] == 0
    assert certified.read("flags")[negative] & (Flag.WEAK_WEIGHTS | Flag.PREDICTIVE)
    assert certified.read("n_weights")[:4].min() > 0


def test_certificate_does_not_depend_on_where_it_ran(run, few, certified, tmp_path):
    """Two workers, and a run that lost a shard: equal bytes; an object alone: the same numbers."""
    options = {"spectra": few[0], "certificate": True, "shard": 4}
    again = tmp_path / "certified.zarr"
    catalogue(run, again, Local(2, str(tmp_path / "dask")), **options)
    assert tiny.all_bytes(again) == tiny.all_bytes(certified.path)
    (again / "ess" / "c.1").write_bytes(b"cut")
    catalogue(run, again, **options)
    assert tiny.all_bytes(again) == tiny.all_bytes(certified.path)

    source = open_complete(few[0], "ingest")
    row = np.array([2])
    names = ("id", "zred", "flux", "ivar", "flags")
    write_spectra(tmp_path / "one.zarr", *(source.read(name, row) for name in names))
    one = catalogue(run, tmp_path / "c.zarr", spectra=str(tmp_path / "one.zarr"), certificate=True)
    for name in ("logmass_p16", "log_evidence", "ess"):
        assert one.read(name)[0] == pytest.approx(certified.read(name)[2], rel=1e-2)


def test_bytes_do_not_depend_on_where_it_ran(run, done, tmp_path):
    """Serial, two workers, and a run that lost a shard: equal bytes of store and Parquet."""
    catalogue(run, tmp_path / "catalogue.zarr", Local(2, str(tmp_path / "dask")))
    whole = tiny.all_bytes(done.path)
    parquet = (run / "catalogue.parquet").read_bytes()
    assert tiny.all_bytes(tmp_path / "catalogue.zarr") == whole
    assert (tmp_path / "catalogue.parquet").read_bytes() == parquet

    (tmp_path / "catalogue.zarr" / "zred" / "c.1").write_bytes(b"cut")
    catalogue(run, tmp_path / "catalogue.zarr")
    assert tiny.all_bytes(tmp_path / "catalogue.zarr") == whole


def test_an_object_does_not_depend_on_its_neighbours(run, done, tmp_path):
    """Alone in a store of its own, a spectrum has the posterior that it had in the survey."""
    source = open_complete(run / "spectra.zarr", "ingest")
    rows = np.array([17, 4])
    names = ("id", "zred", "flux", "ivar", "flags")
    write_spectra(tmp_path / "spectra.zarr", *(source.read(name, rows) for name in names))
    alone = catalogue(run, tmp_path / "alone.zarr", spectra=str(tmp_path / "spectra.zarr"))

    for name in ("logmass_p16", "tage_p50", "tau_p97_5"):
        assert np.allclose(alone.read(name), done.read(name)[rows], rtol=1e-3)


def test_wrong_input_is_refused_early(run, tmp_path):
    """Another grid, no flow, a damaged store: told by key, path and mend."""
    source = open_complete(run / "spectra.zarr", "ingest")
    content = [source.read(name) for name in ("id", "zred", "flux", "ivar", "flags")]
    write_spectra(tmp_path / "other.zarr", *content, grid=Grid(last=9000.0))
    tiny.copy(run / "spectra.zarr", tmp_path / "damaged.zarr")
    (tmp_path / "damaged.zarr" / "flux" / "c.0.0").write_bytes(b"")

    with pytest.raises(Mismatch, match=r"last: 9000\.0 in the store, 9500\.0 asked"):
        catalogue(run, tmp_path / "c.zarr", spectra=str(tmp_path / "other.zarr"))
    with pytest.raises(FileNotFoundError, match=r"jobs/train\.py"):
        catalogue(run, tmp_path / "c.zarr", flow=str(tmp_path / "nowhere"))
    with pytest.raises(Incomplete, match=r"shard 0 .*damaged"):
        catalogue(run, tmp_path / "c.zarr", spectra=str(tmp_path / "damaged.zarr"))
    shutil.copytree(run / "flow", tmp_path / "flow")
    shutil.rmtree(tmp_path / "flow" / "ssp.zarr")
    with pytest.raises(ValueError, match=r"infer\.certificate=true takes the table"):
        catalogue(run, tmp_path / "c.zarr", flow=str(tmp_path / "flow"), certificate=True)
    with pytest.raises(ValueError, match="keep_draws=200"):
        catalogue(run, tmp_path / "c.zarr", keep_draws=200)
    assert not (tmp_path / "c.zarr").exists()
