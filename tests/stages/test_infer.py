import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import tiny
import torch
import xarray
from one_device import without_compiled_loops

from hpcsbi.cluster.dask_local import Local
from hpcsbi.cluster.executors import Array as Part
from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput, Unfinished
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.inference.columns.line_excess import MOMENTS
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.observation.templates import line_groups
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.stages import infer as module
from hpcsbi.stages.infer import infer
from hpcsbi.store import layout
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import Incomplete, create, open_complete, open_store
from hpcsbi.store.settings import Mismatch
from hpcsbi.store.shards import Elsewhere
from hpcsbi.survey.record.identity import Identity

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
    classes = ["GALAXY AGN", *[""] * 39]
    write_spectra(path / "spectra.zarr", ids, zred, flux, ivar, flags, classes=classes)
    return path


def write_spectra(path, ids, zred, flux, ivar, flags, grid=None, shard=None, classes=None):
    n = len(ids)
    arrays = {
        "id": Array({"row": n}, "string"),
        "zred": Array({"row": n}, "float64"),
        "flux": Array({"row": n, "pixel": 138}, "float32"),
        "ivar": Array({"row": n, "pixel": 138}, "float32"),
        "flags": Array({"row": n}, "int32"),
    }
    if classes is not None:
        arrays["survey_class"] = Array({"row": n}, "string")
        arrays["position"] = Array({"row": n, "axis": 2}, "float64")
        arrays["identity"] = Array({"row": n, "name": 4}, "string")
        arrays["file_row"] = Array({"row": n}, "int32")
    settings = {"grid": (grid or Grid()).settings(), "survey": "test"}
    store = create(path, arrays, settings, shard or n, {"notice": ""})
    ids, zred = np.array(ids, dtype=object), np.asarray(zred)
    columns = {"id": ids, "zred": zred, "flux": flux, "ivar": ivar, "flags": flags}
    if classes is not None:
        columns["survey_class"] = np.array(classes, dtype=object)
        who = Identity([f"key {name}" for name in ids], "", "dark", 150.0, np.arange(n) - 20.0)
        columns |= who.columns("survey", "file.fits", 7)
    for number in store.shards:
        rows = store.rows_of(number)
        store.write(number, **{name: values[rows] for name, values in columns.items()})


def catalogue(run, out, cluster=None, **options):
    settings = {
        "flow": str(run / "flow"), "spectra": str(run / "spectra.zarr"), "draws": 100, "cap": 20,
        "keep_draws": 30, "certificate": False, "shard": 16, "seed": 0,
    } | options  # fmt: skip
    infer(out=str(out), cluster=cluster or Serial(), **settings)
    return open_complete(out, "infer")


def of(store, column, array="quantiles"):
    """A quantile of one parameter, by the name that it has in the table."""
    name, _, level = column.partition("_p")
    names = store.read("parameter").tolist()
    return store.read(array)[:, list(QUANTILES).index(f"p{level}"), names.index(name)]


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


def test_spectra_of_before_are_told(few, run, tmp_path, capsys):
    """Without places and keys: the catalogue has empty ones, and a line says so."""
    store = catalogue(run, tmp_path / "catalogue.zarr", spectra=few[0])
    assert "without survey_class, position, identity, file_row" in capsys.readouterr().out
    assert {*store.read("identity").ravel()} == {""} and np.isnan(store.read("position")).all()


@pytest.fixture(scope="module")
def certified(run, few):
    return catalogue(run, run / "certified.zarr", spectra=few[0], certificate=True, shard=4)


def test_one_row_out_for_every_row_in(run, done):
    """Ids in their order, good rows with ordered quantiles inside the prior, Parquet the same."""
    table = pd.read_parquet(run / "catalogue.parquet")
    source = open_complete(run / "spectra.zarr", "ingest")

    assert table["id"].tolist() == source.read("id").tolist()
    assert table["survey_class"].tolist() == ["GALAXY AGN", *[""] * 39]
    assert table["key"].tolist() == [f"key {name}" for name in table["id"]]
    assert {*table["survey"]} == {"survey"} and {*table["program"]} == {"dark"}
    assert {*table["file"]} == {"file.fits"} and {*table["ra"]} == {150.0}
    assert table["dec"].tolist() == [*range(-20, 20)]
    assert table["file_row"].tolist() == [*range(7, 47)]
    good = table[:35]
    assert (good["n_draws"] > 0).all()
    for name, column in tiny.prior(survey=True).columns.items():
        values = good[[f"{name}_{quantile}" for quantile in QUANTILES]].to_numpy()
        assert (np.diff(values, axis=1) >= 0).all()
        assert (values >= column.low).all() and (values <= column.high).all(), name
    draws = done.read("samples")[:35].astype(float)  # as a user would simulate them again
    assert tiny.prior(survey=True).support(draws)[~np.isnan(draws[..., 0])].all()
    assert (good["tage_p97_5"] <= age_of_universe(0.1)).all()
    assert np.array_equal(table["logmass_p50"], of(done, "logmass_p50"), equal_nan=True)
    header = pyarrow.parquet.read_schema(run / "catalogue.parquet").metadata
    assert b"not for science" in header[b"notice"] and b"NO_POSTERIOR" in header[b"flags"]


def test_hard_rows_are_flagged_not_crashed(done):
    """What cannot be inferred has no numbers and says so; what can be has both."""
    rows = {name: 35 + i for i, name in enumerate(HARD)}
    flags, p50 = done.read("flags"), of(done, "logmass_p50")

    for name in ("masked", "not a number", "few"):
        assert flags[rows[name]] & Flag.NO_POSTERIOR and np.isnan(p50[rows[name]])
    assert done.read("n_draws")[rows["masked"]] == 0
    distant = of(done, "tage_p97_5")[rows["distant"]]
    assert np.isnan(distant) or distant <= age_of_universe(6.0)
    assert flags[rows["negative"]] & (Flag.NO_POSTERIOR | Flag.PREDICTIVE | Flag.LOW_ACCEPTANCE)
    assert not (flags[:35] & Flag.NO_POSTERIOR).any()
    outside = flags & Flag.OUTSIDE_TRAINING > 0  # of redshift 6, and below zero: S/N is too low
    assert outside[[rows["distant"], rows["negative"]]].all() and not outside[rows["masked"]]


def test_kept_draws_are_those_of_the_quantiles(run, done, tmp_path):
    """With all draws kept, their quantiles are the catalogue's."""
    store = catalogue(run, tmp_path / "all.zarr", keep_draws=100)
    samples = store.read("samples")[:35]
    medians = [np.nanmedian(samples[..., j], axis=1) for j in range(7)]
    columns = [of(store, f"{name}_p50")[:35] for name in tiny.DIGS | tiny.NUISANCE]

    assert np.allclose(medians, columns, rtol=1e-5)
    assert done.read("samples").shape == (40, 30, 7)


def test_xarray_shows_names(done):
    """Kept draws by parameter and rows by id, without a look into other files."""
    opened = xarray.open_zarr(done.path)

    assert list(opened.samples.parameter.values) == list(tiny.DIGS | tiny.NUISANCE)
    assert opened.samples.sel(parameter="tau").dims == ("row", "draw")
    medians = opened.quantiles.sel(parameter="tage", level=0.5)
    assert np.array_equal(medians, of(done, "tage_p50"), equal_nan=True)
    assert "id" in opened.coords and "equal weight" in opened.samples.long_name
    assert "parameter" not in pd.read_parquet(done.path.with_suffix(".parquet")).columns


def test_the_best_numbers_stand_beside_the_flows(run, few, done, certified):
    """Flow columns are what they are without it; the others are re-weighted, or equal to them."""
    origin, ess, flags = (certified.read(name) for name in ("origin", "ess", "flags"))
    reweighted = origin == "reweighted"

    assert set(origin) <= {"flow", "reweighted", ""} and reweighted.any()
    assert "origin" not in done.group and "flow_quantiles" not in done.group
    for name in ("logmass_p16", "tage_p50", "noise_floor_p97_5"):
        own, best = of(certified, name, "flow_quantiles"), of(certified, name)
        assert np.allclose(own, of(done, name)[few[1]], rtol=1e-3, equal_nan=True)
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


@pytest.mark.slow
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
    for name in ("quantiles", "log_evidence", "ess"):
        assert one.read(name)[0] == pytest.approx(certified.read(name)[2], rel=1e-2)


@pytest.mark.slow
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


def test_columns_of_the_table_stay_what_they_are(run, certified):
    """Names, order and types, which queries of others rely on."""
    schema = pyarrow.parquet.read_schema(run / "certified.parquet")
    names = [
        f"{name}_{kind}{level}"
        for name in tiny.DIGS | tiny.NUISANCE
        for kind in ("", "flow_")
        for level in ("p2_5", "p16", "p50", "p84", "p97_5")
    ]
    after = ["flags", "survey_class", "ra", "dec", "survey", "program", "file", "key"]
    after += ["file_row", "n_draws", "acceptance", "n_pixels", "chi2"]
    after += ["predictive_p", "autocorrelation_p", "window_p", "lines_p", "ess"]
    after += ["pareto_k", "n_weights", "log_evidence", "log_evidence_error", "origin"]
    after += [f"{name}_prior_share" for name in tiny.DIGS | tiny.NUISANCE]
    derived = [quantity.name for quantity in QUANTITIES]
    after += [f"{name}_{p}" for name in derived for p in ("p2_5", "p16", "p50", "p84", "p97_5")]
    after += [f"{name}_prior_share" for name in derived]
    whats = ("luminosity", "luminosity_error", "ew")
    after += [f"observed_{blend}_{what}" for what in whats for blend in BLENDS]
    assert schema.names == ["id", "zred", *names, *after]
    assert {str(schema.field(name).type) for name in names} == {"float"}
    kinds = {name: str(schema.field(name).type) for name in ("id", "zred", "flags", "log_evidence")}
    assert kinds == dict(id="string", zred="double", flags="int32", log_evidence="double")


def test_derived_quantities_are_of_the_published_draws(certified):
    """Attenuation goes with dust2 and mass with mass, level by level; ages below the Universe's."""
    names = certified.read("quantity").tolist()
    derived, good = certified.read("derived_quantiles"), certified.read("n_draws") > 0
    value = {name: derived[good, :, i] for i, name in enumerate(names)}
    parameters = certified.read("parameter").tolist()
    theta = certified.read("quantiles")[good]
    dust2, logmass = (theta[..., parameters.index(name)] for name in ("dust2", "logmass"))

    assert good.sum() >= 4 and np.isnan(derived[~good]).all()
    assert value["av"] == pytest.approx(1.0857 * dust2, rel=3e-3)
    assert (value["logmass_surviving"] < logmass).all()
    assert (value["logmass_surviving"] > logmass - 0.4).all()
    assert (value["mass_weighted_age"] < age_of_universe(0.1)).all()
    for quantiles in value.values():
        assert (np.diff(quantiles, axis=1) >= 0).all()
    shares = certified.read("prior_share")[good]
    assert (shares[:, parameters.index("logmass")] < 0.2).all()
    assert (certified.read("derived_prior_share")[good] >= 0).all()


def test_files_of_a_shard_are_few(certified):
    """Arrays by meaning: thirty files and a mark, however many parameters there are."""
    files = [path.parent.name for path in certified.path.glob("*/c.0*")]

    assert len(certified.sharded) == 30
    assert len(set(files)) == len(files) <= 30 + 6  # coordinates; empty rows take no file


@pytest.mark.slow
def test_lines_over_the_model_are_told_where_they_have_an_error(done, tmp_path):
    """One array, two columns a group; NaN where nothing is inferred; absent where they are off."""
    noise = SurveyNoise(snr=(50, 100), cut=0.0, max_zred=0.1, line_error=4.0)
    training = tiny.pairs(tmp_path, survey=True, n=200, noise=noise, test=10)
    tiny.trained(tmp_path, training, representation="projection", steps=100)
    store, names = open_complete(training, "augment"), ("zred", "flux", "ivar")
    zred, flux, ivar = (store.read(name, slice(store.rows - 10, store.rows)) for name in names)
    groups = line_groups(torch.from_numpy(store.read("wave")))
    ids, flags = [f"g{i}" for i in range(9)] + ["none"], np.zeros(10, np.int32)
    flags[9] = Flag.NO_DATA
    write_spectra(tmp_path / "spectra.zarr", ids, zred, flux, ivar, flags)
    whole = catalogue(tmp_path, tmp_path / "catalogue.zarr")
    excess = whole.read("line_excess")
    table = pyarrow.parquet.read_table(tmp_path / "catalogue.parquet")

    assert whole.read("line_group").tolist() == list(groups)
    assert whole.read("moment").tolist() == list(MOMENTS)
    assert len(whole.sharded) == len(done.sharded) + 1
    assert "line_excess" not in done.arrays
    assert np.isfinite(excess[:9]).all() and np.isnan(excess[9]).all()
    for i, end in enumerate(("", "_error")):
        column = table[f"line_excess_hbeta{end}"].to_numpy()
        assert np.array_equal(column, excess[:, i, groups.index("hbeta")], equal_nan=True)


def test_damage_is_told_by_who_reads_it(run, tmp_path):
    """A damaged shard of the input costs its rows alone; the others are inferred and kept."""
    source = open_complete(run / "spectra.zarr", "ingest")
    content = [source.read(name) for name in ("id", "zred", "flux", "ivar", "flags")]
    write_spectra(tmp_path / "spectra.zarr", *content, shard=16)
    (tmp_path / "spectra.zarr" / "flux" / "c.1.0").write_bytes(b"")

    with pytest.raises(Unfinished, match=r"1 of 3 shards failed(.|\n)*rows 16-31, damaged"):
        catalogue(run, tmp_path / "c.zarr", spectra=str(tmp_path / "spectra.zarr"))
    assert open_store(tmp_path / "c.zarr").states() == {0: "done", 1: "failed", 2: "done"}


def test_a_part_opens_its_own_rows_alone(run, done, tmp_path, monkeypatch):
    """Of three parts the second reads files of the second shard of the spectra, and no other."""
    source = open_complete(run / "spectra.zarr", "ingest")
    content = [source.read(name) for name in ("id", "zred", "flux", "ivar", "flags")]
    write_spectra(tmp_path / "spectra.zarr", *content, shard=16)
    opened = []
    monkeypatch.setattr(Path, "open", noted(Path.open, opened))
    monkeypatch.setattr(Path, "read_bytes", noted(Path.read_bytes, opened))

    with pytest.raises(Elsewhere):
        options = {"spectra": str(tmp_path / "spectra.zarr"), "cluster": Part(1, 3)}
        catalogue(run, tmp_path / "c.zarr", **options)

    read = {path for path in opened if path.parent.parent == tmp_path / "spectra.zarr"}
    chunks = {path.name for path in read if path.name.startswith("c.")}
    assert chunks == {"c.1", "c.1.0"}
    assert open_store(tmp_path / "c.zarr").states() == {0: "missing", 1: "done", 2: "missing"}


def noted(function, opened):
    def wrapped(path, *arguments, **options):
        opened.append(path)
        return function(path, *arguments, **options)

    return wrapped


def test_killed_inside_a_shard_of_several_batches(run, tmp_path, monkeypatch):
    """Very many rows share a file: the batches that were inferred are not inferred again."""
    monkeypatch.setattr(layout, "SHARDS", 3)
    options = {"shard": 8}
    whole = catalogue(run, tmp_path / "whole" / "catalogue.zarr", **options)
    assert whole.shard == 16 and whole.batch == 8
    real, made = module._inferred, []

    def dying(settings, source, posterior, rows):
        made.append(rows.start)
        if made == [0, 8, 16, 24]:
            raise MemoryError
        return real(settings, source, posterior, rows)

    monkeypatch.setattr(module, "_inferred", dying)
    with pytest.raises(Unfinished):
        catalogue(run, tmp_path / "killed" / "catalogue.zarr", **options)
    catalogue(run, tmp_path / "killed" / "catalogue.zarr", **options)

    assert made == [0, 8, 16, 24, 32, 24]
    assert tiny.all_bytes(tmp_path / "killed") == tiny.all_bytes(tmp_path / "whole")


def test_an_object_does_not_depend_on_its_neighbours(run, done, tmp_path):
    """Alone in a store of its own, a spectrum has the posterior that it had in the survey."""
    source = open_complete(run / "spectra.zarr", "ingest")
    rows = np.array([17, 4])
    names = ("id", "zred", "flux", "ivar", "flags")
    write_spectra(tmp_path / "spectra.zarr", *(source.read(name, rows) for name in names))
    alone = catalogue(run, tmp_path / "alone.zarr", spectra=str(tmp_path / "spectra.zarr"))

    for name in ("logmass_p16", "tage_p50", "tau_p97_5"):
        assert np.allclose(of(alone, name), of(done, name)[rows], rtol=1e-3)


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
    open_store(tmp_path / "damaged.zarr").forget(0)
    with pytest.raises(Incomplete, match=r"shard 0 .*missing"):
        catalogue(run, tmp_path / "c.zarr", spectra=str(tmp_path / "damaged.zarr"))
    shutil.copytree(run / "flow", tmp_path / "flow")
    shutil.rmtree(tmp_path / "flow" / "ssp.zarr")
    with pytest.raises(ValueError, match=r"ssp\.zarr is not there"):
        catalogue(run, tmp_path / "c.zarr", flow=str(tmp_path / "flow"), certificate=True)
    with pytest.raises(ValueError, match="keep_draws=200"):
        catalogue(run, tmp_path / "c.zarr", keep_draws=200)
    assert not (tmp_path / "c.zarr").exists()


class Gpu(str):
    """The processor under the name of a GPU, for the stage."""

    type = "cuda"


@pytest.fixture
def gpu(monkeypatch):
    """infer.device=cuda is the processor without compiled loops."""
    without_compiled_loops(monkeypatch)
    monkeypatch.setattr(module, "device_of", lambda name, _: Gpu("cpu:0") if name != "cpu" else CPU)


CPU = torch.device("cpu")


def test_a_gpu_that_is_not_there_is_told_before_anything(run, tmp_path, monkeypatch):
    """In one line; "auto" is the processor then, and its catalogue that of the default."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(module, "load_posterior", None)
    with pytest.raises(
        BadInput, match=r"^infer\.device is cuda.*no GPU.*site\.infer\.gres=gpu:1.*$"
    ):
        catalogue(run, tmp_path / "c.zarr", device="cuda")
    with pytest.raises(BadInput, match=r"infer\.device is 'gpu': choose from auto, cpu, cuda"):
        catalogue(run, tmp_path / "c.zarr", device="gpu")
    assert not (tmp_path / "c.zarr").exists()


def test_a_catalogue_is_of_one_device(run, few, done, tmp_path, gpu):
    """It stands in the settings as soon as it is no processor, and no other one goes on."""
    options = {"spectra": few[0], "shard": 4}
    other = catalogue(run, tmp_path / "c.zarr", device="cuda", **options)
    assert other.settings["device"] == "cuda" and "device" not in done.settings
    assert np.allclose(of(other, "tage_p50")[:4], of(done, "tage_p50")[few[1]][:4], rtol=1e-3)

    catalogue(run, tmp_path / "c.zarr", device="auto", **options)  # is there already
    with pytest.raises(Mismatch, match=r"^.*begun on cuda.*this run has cpu.*device=cuda.*$"):
        catalogue(run, tmp_path / "c.zarr", device="cpu", **options)
    with pytest.raises(Mismatch, match=r"^.*begun on cpu.*this run has cuda.*device=cpu.*$"):
        catalogue(run, run / "catalogue.zarr", device="cuda")


def test_a_full_memory_is_told_with_a_smaller_shard(run, few, tmp_path, monkeypatch):
    """In a line, as the reason of its shard; what is done is kept."""

    def full(*_: object) -> dict:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(module, "_inferred", full)
    words = (
        r"\n.*c\.zarr: the memory of the cpu device .*infer\.shard=4: .*take infer\.shard=2 .*\n"
    )
    with pytest.raises(Unfinished, match=words):
        catalogue(run, tmp_path / "c.zarr", spectra=few[0], shard=4)
