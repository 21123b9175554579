"""What a finished `learn` writes and says."""

import json

import numpy as np
import pytest
import tiny
from learned_store import OBJECTS, PIXELS, RANKS, RNG, store_of

from hpcsbi.grid import Grid
from hpcsbi.inference.learning.error_path import Survey
from hpcsbi.run.error_report import tell_error
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.table.batch import Batch


@pytest.fixture(scope="module")
def survey():
    """Objects and draws, of which nothing but their number and the parameters counts here."""
    prior, nothing = tiny.prior(True), np.zeros((OBJECTS, PIXELS), np.float32)
    draws = np.full((OBJECTS, 2, len(prior.names)), 0.5)
    spectra = Batch(nothing, nothing, np.arange(OBJECTS))
    engine = load_engine(tiny.TABLE, prior)
    return Survey(spectra, draws, engine, prior, SurveyNoise(), Grid().settings())


def told(store, survey, capsys):
    """errors.json and what is printed."""
    tell_error(store, survey, "a demonstration")
    return json.loads(store.path.with_suffix(".json").read_text()), capsys.readouterr().out


def test_nothing_asked_for_is_said(tmp_path, survey, capsys):
    """And that it is stable."""
    store = store_of(tmp_path / "errors.zarr", RNG.normal(size=(RANKS, OBJECTS)) - 3)
    report, words = told(store, survey, capsys)

    assert report["asked_for"] is None and report["mean_rms"] == 0 and "classes" not in report
    assert "do not ask for an error" in words and "left out, AGN: 3" in words
    assert report["notice"] == "a demonstration"


@pytest.mark.parametrize("worth", [2.0, -2.0])
def test_classes_that_ask_have_their_ids_beside_the_store(tmp_path, survey, capsys, worth):
    """As `learn.ids` takes them; others have none; small ones are named."""
    gains = np.array([5.0, 4.9, 4.8])[:, None] + RNG.normal(size=OBJECTS)
    store = store_of(tmp_path / "errors.zarr", gains, of_class=gains + worth)
    report, words = told(store, survey, capsys)
    ids = tmp_path / "errors.odd.txt"

    assert report["asked_for"] == 0 and not report["stable"]
    assert report["classes"]["odd"]["gain"] == pytest.approx(worth)
    assert report["classes_too_small"] == {"even": 1}
    assert "even: 1 objects are too few" in words and "odd (30, odd ones)" in words
    assert ids.exists() == (worth > 0) == (f"learn.ids={ids}" in words)
    if worth > 0:
        assert ids.read_text().split() == [
            f"{x}" for i in range(1, OBJECTS, 2) for x in ("object", i)
        ]
