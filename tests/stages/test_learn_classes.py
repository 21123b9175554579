"""Do classes ask for errors of their own: a survey of two whose errors differ, and one of one."""

import json

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.inference.learning.following import follow
from hpcsbi.run.flows import load_posterior
from hpcsbi.run.learned_errors import learned_error
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.pairs import split_of
from hpcsbi.stages.learn import learn
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete

OBJECTS, DRAWS, MOVES = 64, 32, 80
MEAN = 0.02 * np.sin(Grid().wave / 200)
SECOND = np.arange(OBJECTS) % 2 == 1
NAMES = ["class_FIRST", "class_SECOND"]
OPTIONS = {
    "ids": None, "classes": ["survey_class"], "leave_out": [], "objects": 100, "draws": DRAWS,
    "rank": 0, "steps": 2, "moves": 3, "strengths": [1.0], "folds": 2, "shard": 3, "seed": 0,
    "cluster": Serial(),
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A flow of surveys, spectra, and the truths behind them."""
    path = tmp_path_factory.mktemp("classes")
    noise = SurveyNoise(snr=(20, 100), cut=0.0)
    training = tiny.pairs(path, survey=True, n=200, test=OBJECTS, noise=noise)
    tiny.trained(path, training, steps=2, checkpoint=2)
    tiny.spectra_of(path, training, OBJECTS)
    pairs = open_complete(training, "augment")
    test = split_of(pairs.settings, pairs.rows, "test")
    np.save(path / "theta.npy", pairs.read("theta", slice(test.start, test.start + OBJECTS)))
    return path


def survey_of(run, folder, error_of_second):
    """Spectra whose first class is off by MEAN, the second by this, and draws as if by none."""
    spectra = tiny.copy(run / "spectra.zarr", folder / "spectra.zarr")
    store, posterior = open_complete(spectra, "ingest"), load_posterior(run / "flow")
    values = {name: store.read(name) for name in store.sharded}
    factor = 1 + np.where(SECOND[:, None], error_of_second, MEAN)
    values["flux"] = (values["flux"] * factor).astype(np.float32)
    store.write(0, **values)
    prior, zred = posterior.prior, values["zred"]
    seen = torch.tensor(values["flux"]), torch.tensor(values["ivar"])

    @torch.no_grad()
    def log_likelihood(rows, coordinates):
        theta = torch.from_numpy(prior.theta(coordinates, np.float32))
        return posterior.likelihood(*(each[rows] for each in seen), theta).numpy()

    truths = prior.coordinates(np.load(run / "theta.npy"))
    cloud = np.random.default_rng(0).normal(size=(OBJECTS, DRAWS, len(prior.names)))
    begin = truths[:, None] + 1e-3 * (prior.high - prior.low) * cloud
    begin = begin.clip(prior.low, prior.upper(zred)[:, None])
    rest = log_likelihood, log_likelihood, prior, zred, np.arange(OBJECTS), 0, MOVES
    draws = prior.theta(follow(begin, *rest).coordinates, np.float32)
    row = {"row": OBJECTS}
    arrays = {name: Array(row, "string") for name in ("id", "origin", "survey_class")}
    arrays["flags"] = Array(row, "int32")
    arrays["samples"] = Array({**row, "draw": DRAWS, "parameter": len(prior.names)}, "float32")
    settings = {"flow": posterior.settings, "spectra": store.settings}
    catalogue = create(folder / "catalogue.zarr", arrays, settings, OBJECTS, {"notice": ""})
    catalogue.write(
        0,
        id=values["id"],
        origin=np.full(OBJECTS, "reweighted", object),
        survey_class=np.where(SECOND, "SECOND", "FIRST").astype(object),
        flags=np.zeros(OBJECTS, np.int32),
        samples=draws,
    )


def report_of(run, folder, name="errors", **changed):
    """errors.json of a survey."""
    paths = str(run / "flow"), str(folder / "spectra.zarr"), str(folder / "catalogue.zarr")
    learn(str(folder / f"{name}.zarr"), *paths, **OPTIONS | changed)
    return json.loads((folder / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def alike(run):
    """A survey whose classes are off by the same."""
    (run / "alike").mkdir()
    survey_of(run, run / "alike", MEAN)
    return run / "alike"


def test_classes_ask_for_errors_of_their_own_where_these_differ(run, tmp_path):
    """The ids of each are there, to be taught apart."""
    survey_of(run, tmp_path, -MEAN)
    report = report_of(run, tmp_path)

    assert [*report["classes"]] == NAMES and report["classes_too_small"] == {}
    for name, of_class in report["classes"].items():
        assert of_class["objects"] == OBJECTS // 2 and of_class["judged"] > 0.8 * OBJECTS / 2
        assert of_class["gain"] == pytest.approx(of_class["own"] - of_class["common"])
        assert of_class["asked_for"] and of_class["gain"] > 1
        ids = (tmp_path / f"errors.{name}.txt").read_text().split("\n")[:-1]
        wanted = np.flatnonzero((name == NAMES[1]) == SECOND)
        assert sorted(ids) == sorted(f"object {i}" for i in wanted)


def test_classes_that_are_off_by_the_same_do_not(run, alike):
    """The negative control; and the common error is to the bit what it is without classes."""
    report = report_of(run, alike)

    assert not any(of_class["asked_for"] for of_class in report["classes"].values())
    assert not list(alike.glob("errors.*.txt"))
    assert report["gain"] > 4 * report["gain_error"] > 0
    plain = report_of(run, alike, "plain", classes=[])
    assert learned_error(alike / "plain.zarr") == learned_error(alike / "errors.zarr")
    assert "class" not in open_complete(alike / "plain.zarr", "learn").arrays
    assert plain == {key: value for key, value in report.items() if "classes" not in key}


def test_classes_that_are_too_small_are_told(run, alike, tmp_path):
    """Ten have to be left where a fold is held out; the error of all is there all the same."""
    (tmp_path / "ids.txt").write_text("".join(f"object {i}\n" for i in range(24)))
    report = report_of(run, alike, "small", ids=str(tmp_path / "ids.txt"), steps=1, moves=1)

    assert report["classes"] == {} and report["classes_too_small"] == dict.fromkeys(NAMES, 12)


@pytest.mark.parametrize(
    ("classes", "says"), [(["age"], "takes derived_quantiles"), (["ages"], "did you mean age")]
)
def test_what_is_wrong_is_told_before_anything_is_made(run, alike, classes, says):
    """A kind that is none, or of which the catalogue says nothing."""
    with pytest.raises(BadInput, match=says):
        report_of(run, alike, "wrong", classes=classes)
    assert not (alike / "wrong.zarr").exists()
