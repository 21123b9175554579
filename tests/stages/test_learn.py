"""The stage on some spectra whose model is off by a known error, and everything wrong with it."""

import json
import shutil

import numpy as np
import pytest
import tiny

from hpcsbi.cluster.executors import Array as Part
from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput, Unfinished
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.run.flows import load_posterior
from hpcsbi.run.learned_errors import learned_error
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.pairs import split_of
from hpcsbi.stages import learn as module
from hpcsbi.stages.learn import learn
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import Incomplete, create, open_complete
from hpcsbi.store.settings import Mismatch
from hpcsbi.store.shards import Elsewhere

OBJECTS, DRAWS = 16, 64
WAVE = Grid().wave
MEAN = 0.03 * np.sin(WAVE / 300)
OPTIONS = {
    "ids": None, "classes": [], "leave_out": ["AGN"], "objects": 100, "draws": 48, "rank": 1,
    "steps": 2, "moves": 2, "strengths": [1.0], "folds": 2, "shard": 1, "seed": 0,
    "cluster": Serial(),
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A flow of surveys that has learned nothing, spectra 3 % off, and catalogues of them.

    Draws lie about the truths: no flow is asked for any.
    """
    path = tmp_path_factory.mktemp("learn")
    training = tiny.pairs(path, survey=True, n=200, test=30)
    tiny.trained(path, training, steps=2, checkpoint=2)
    tiny.spectra_of(path, training, OBJECTS)
    source = open_complete(path / "spectra.zarr", "ingest")
    write_spectra(source.path, flux=source.read("flux") * (1 + MEAN).astype(np.float32))
    pairs = open_complete(training, "augment")
    test = split_of(pairs.settings, pairs.rows, "test")
    truths = pairs.read("theta", slice(test.start, test.start + OBJECTS))
    for name in ("catalogue.zarr", "without.zarr", "unchecked.zarr"):
        write_catalogue(path, path / name, truths)
    return path


def write_catalogue(run, path, truths):
    """catalogue.zarr, or one without draws, or without a certificate."""
    posterior, spectra = load_posterior(run / "flow"), open_complete(run / "spectra.zarr", "ingest")
    prior, rng = posterior.prior, np.random.default_rng(0)
    coordinates = prior.coordinates(truths)[:, None] + 2e-3 * (prior.high - prior.low) * rng.normal(
        size=(OBJECTS, DRAWS, len(prior.names))
    )
    upper = prior.upper(spectra.read("zred"))[:, None]
    draws = prior.theta(coordinates.clip(prior.low, upper), np.float32)
    row = {"row": OBJECTS}
    arrays = {"id": Array(row, "string"), "flags": Array(row, "int32")}
    columns = {"id": spectra.read("id"), "flags": np.zeros(OBJECTS, np.int32)}
    if path.stem != "without":
        about = {**row, "draw": DRAWS, "parameter": len(prior.names)}
        arrays["samples"], columns["samples"] = Array(about, "float32"), draws
    if path.stem != "unchecked":
        arrays["origin"] = Array(row, "string")
        columns["origin"] = np.array(["reweighted"] * OBJECTS, object)
    settings = {"flow": posterior.settings, "spectra": spectra.settings}
    create(path, arrays, settings, OBJECTS, {"notice": ""}).write(0, **columns)


def write_spectra(path, **changed):
    """The store with other numbers in some arrays."""
    store = open_complete(path, "ingest")
    values = {name: store.read(name) for name in store.sharded} | changed
    store.write(0, **values)


def learned(run, name="errors.zarr", **changed):
    """The store that a run of the stage makes."""
    paths = {"flow": "flow", "spectra": "spectra.zarr", "catalogue": "catalogue.zarr"}
    paths = {key: str(run / changed.pop(key, value)) for key, value in paths.items()}
    learn(str(run / name), **paths, **OPTIONS | changed)
    return run / name


@pytest.fixture(scope="module")
def errors(run):
    return learned(run)


def test_killed_and_in_parts_it_has_the_same_bytes(run, errors, monkeypatch):
    """One fit is a shard: what is there stays, and the rest is as it would have been."""
    whole = tiny.all_bytes(errors)
    path, calls = module.error_path, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return path(*arguments)

    monkeypatch.setattr(module, "error_path", dies)
    with pytest.raises(Unfinished):
        learned(run, "killed.zarr")
    monkeypatch.undo()
    assert tiny.all_bytes(learned(run, "killed.zarr")) == whole
    with pytest.raises(Elsewhere):
        learned(run, "parts.zarr", cluster=Part(0, 2))
    learned(run, "parts.zarr", cluster=Part(1, 2))
    assert tiny.all_bytes(run / "parts.zarr") == whole


def test_what_it_says_is_what_it_holds(errors, capsys):
    """Held-out evidence of those that the fit had not seen; the file that noise.learned names."""
    store, report = (
        open_complete(errors, "learn"),
        json.loads(errors.with_suffix(".json").read_text()),
    )

    assert report["objects"] + sum(report["left_out"].values()) >= OBJECTS
    assert np.shape(report["gain_of_an_object"]) == (1, 2)
    gains, of_object, folds = (store.read(name) for name in ("gain", "fold_of", "fold"))
    held_out = np.stack([gains[list(folds).index(f), :, i] for i, f in enumerate(of_object)], 1)
    known = held_out[:, np.isfinite(held_out).all(0)]
    np.testing.assert_allclose(report["gain_of_an_object"][0], known.mean(1))
    error = learned_error(errors)
    assert len(error.templates) == (report["asked_for"] or 0)
    noise = SurveyNoise(snr=(20, 300), cut=0.0, learned=error)
    assert noise.settings()["learned"]["grid"] == Grid().settings()


def test_the_mean_is_that_of_the_spectra(errors):
    """Give or take what theta takes of it; without the error's sign it is not."""
    mean = open_complete(errors, "learn").read("mean")[-1, 0]
    slope = float(mean @ MEAN / (MEAN @ MEAN))

    assert 0.2 < slope < 1.3


def test_rows_in_another_order_teach_the_same(run, errors, tmp_path):
    """To the bit: objects are taken in the order of their seeds."""
    for name in ("spectra.zarr", "catalogue.zarr"):
        shutil.copytree(run / name, tmp_path / name)
        store = open_complete(tmp_path / name, name)
        store.write(0, **{key: store.read(key)[::-1].copy() for key in store.sharded})
    shutil.copytree(run / "flow", tmp_path / "flow")
    turned = open_complete(learned(tmp_path), "learn")

    for name in ("mean", "templates", "gain", "history"):
        np.testing.assert_array_equal(turned.read(name), open_complete(errors, "learn").read(name))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"catalogue": "without.zarr"}, "keeps no certified draws"),
        ({"catalogue": "unchecked.zarr"}, "keeps no certified draws"),
        ({"rank": 99}, "learn.rank is 99"),
        ({"draws": 8}, "learn.draws is 8"),
        ({"strengths": [-1.0]}, "learn.strengths"),
        ({"ids": "/nothing.txt"}, "/nothing.txt"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_made(run, changed, says):
    """In one line."""
    with pytest.raises((BadInput, FileNotFoundError), match=says):
        learned(run, "wrong.zarr", **changed)
    assert not (run / "wrong.zarr").exists()


def test_too_few_objects_say_how_many_it_takes(run, tmp_path):
    """And why others do not count."""
    (tmp_path / "ids.txt").write_text("object 0\nobject 1\n")

    with pytest.raises(BadInput, match=r"[0-2] objects to learn from, and it takes 10"):
        learned(run, "wrong.zarr", ids=str(tmp_path / "ids.txt"))
    catalogue = tiny.copy(run / "catalogue.zarr", tmp_path / "catalogue.zarr")
    store = open_complete(catalogue, "infer")
    values = {name: store.read(name) for name in store.sharded}
    values["flags"][:] |= int(Flag.AGN)
    store.write(0, **values)
    with pytest.raises(BadInput, match=f"left out: .*AGN {OBJECTS}"):
        learned(run, "wrong.zarr", catalogue=catalogue)


def test_residuals_as_large_as_the_signal_are_no_error(run, tmp_path):
    """Spectra in another unit, for one."""
    spectra = tiny.copy(run / "spectra.zarr", tmp_path / "spectra.zarr")
    flux = open_complete(spectra, "ingest").read("flux").copy()
    flux[:, 60:70] *= 3
    write_spectra(spectra, flux=flux)

    with pytest.raises(BadInput, match="as large as the signal"):
        learned(run, "wrong.zarr", spectra=spectra)


def test_a_catalogue_under_another_noise_is_refused(run, tmp_path):
    """Its draws are of another posterior."""
    catalogue = tiny.copy(run / "catalogue.zarr", tmp_path / "catalogue.zarr")
    about = json.loads((catalogue / "zarr.json").read_text())
    about["attributes"]["settings"]["flow"]["training"]["noise"]["calibration"] = 0.04
    (catalogue / "zarr.json").write_text(json.dumps(about))

    with pytest.raises(Mismatch, match=r"noise\.calibration: 0\.04 in the store"):
        learned(run, "wrong.zarr", catalogue=catalogue)
    assert not (run / "wrong.zarr").exists()


def test_a_damaged_or_foreign_file_is_no_error(run, errors, tmp_path):
    """Whoever names it is told."""
    with pytest.raises(FileNotFoundError):
        learned_error(tmp_path / "nothing.zarr")
    with pytest.raises(BadInput, match="no learned error"):
        learned_error(run / "spectra.zarr")
    damaged = tiny.copy(errors, tmp_path / "errors.zarr")
    victim = max((damaged / "mean").rglob("*"), key=lambda p: p.is_file() and p.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-3])
    with pytest.raises(Incomplete, match=r"jobs/learn\.py"):
        learned_error(damaged)
