"""What a finished `learn` writes and says."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from learned_store import OBJECTS, RANKS, RNG, store_of

from hpcsbi.run.error_report import tell_error

PRIOR = tiny.prior(True)
POSTERIOR = SimpleNamespace(notice="a demonstration")
SURVEY = SimpleNamespace(
    spectra=range(OBJECTS), prior=PRIOR, coordinates=np.full((OBJECTS, 2, 7), 0.5)
)


def told(store, capsys):
    """errors.json and what is printed."""
    tell_error(store, POSTERIOR, SURVEY)
    return json.loads(store.path.with_suffix(".json").read_text()), capsys.readouterr().out


def test_nothing_asked_for_is_said(tmp_path, capsys):
    """And that it is stable."""
    store = store_of(tmp_path / "errors.zarr", RNG.normal(size=(RANKS, OBJECTS)) - 3)
    report, words = told(store, capsys)

    assert report["asked_for"] is None and report["mean_rms"] == 0 and "classes" not in report
    assert "do not ask for an error" in words and "left out, AGN: 3" in words
    assert report["notice"] == "a demonstration"


@pytest.mark.parametrize("worth", [2.0, -2.0])
def test_classes_that_ask_have_their_ids_beside_the_store(tmp_path, capsys, worth):
    """As `learn.ids` takes them; others have none; small ones are named."""
    gains = np.array([5.0, 4.9, 4.8])[:, None] + RNG.normal(size=OBJECTS)
    store = store_of(tmp_path / "errors.zarr", gains, of_class=gains + worth)
    report, words = told(store, capsys)
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
