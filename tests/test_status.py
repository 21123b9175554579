"""Status counts what the marks say, tells how long the rest takes, and writes nothing."""

import json
import os

import numpy as np
import pytest

from hpcsbi.files import save_weights
from hpcsbi.status import status
from hpcsbi.store import Array, create


def half_done(folder, rows=35, shard=10):
    """A store of four shards: two done ten seconds apart, one failed, one missing."""
    store = create(folder / "simulations.zarr", {"x": Array({"row": rows}, "float32")}, {}, shard)
    for i, when in ((0, 1000.0), (2, 1010.0)):
        store.write(i, x=np.zeros(shard))
        os.utime(store.path / ".marks" / f"{i:06d}.done", (when, when))
    store.mark_failed(1, "Traceback\nValueError: spec\x1b[31m.fits: row 3")
    return store


def as_json(folder, capsys):
    """What status prints for programs."""
    status(str(folder), json=True)
    return json.loads(capsys.readouterr().out)


def test_counts_of_a_store_half_done(tmp_path, capsys):
    """Done, failed and missing shards add up, and the time left follows from the marks' times."""
    half_done(tmp_path)

    store = as_json(tmp_path, capsys)["stores"][0]

    assert (store["done"], store["failed"], store["missing"], store["shards"]) == (2, 1, 1, 4)
    assert (store["rows_done"], store["rows"]) == (20, 35)
    assert store["rows_per_second"] == pytest.approx(1.0)
    assert store["seconds_left"] == pytest.approx(15.0)


def test_lines_name_the_failure_and_the_job_that_mends_it(tmp_path, capsys):
    """A reader sees the failed shard, its reason without control characters, and what to run."""
    half_done(tmp_path)

    status(str(tmp_path))

    printed = capsys.readouterr().out
    assert "2 of 4 shards, 1 failed, 1 missing" in printed
    assert "shard 1 failed: ValueError: spec?[31m.fits: row 3" in printed
    assert "jobs/simulate.py" in printed
    assert "\x1b" not in printed


def test_a_pause_between_two_starts_is_not_work(tmp_path, capsys):
    """A night between the shards of a resumed run does not spoil the rate."""
    store = create(tmp_path / "training.zarr", {"x": Array({"row": 60}, "int8")}, {}, 10)
    for i, when in enumerate((0, 10, 20, 30_000, 30_010)):
        store.write(i, x=np.zeros(10))
        os.utime(store.path / ".marks" / f"{i:06d}.done", (when, when))

    assert as_json(tmp_path, capsys)["stores"][0]["rows_per_second"] == pytest.approx(1.0)


def test_flows_show_their_step(tmp_path, capsys):
    """A flow in training shows the step of its checkpoint, a trained one all its steps."""
    weights, settings = {"w": np.zeros(9)}, {"steps": 500}
    checkpoint = {"settings": settings, "step": 200}
    save_weights(tmp_path / "flows/a/checkpoint.safetensors", weights, checkpoint)
    save_weights(tmp_path / "flows/b/flow.safetensors", weights, {"settings": settings})
    (tmp_path / "flows/c").mkdir()

    flows = as_json(tmp_path, capsys)["flows"]

    assert [(flow["step"], flow["trained"]) for flow in flows] == [
        (200, False),
        (500, True),
        (0, False),
    ]


def test_verdicts_and_a_run_beside_are_shown(tmp_path, capsys):
    """The verdict is told with its reasons, also that of the run beside; damage is told too."""
    verdict = {"passed": False, "n": 900, "reasons": ["ranks of tage are not uniform"]}
    (tmp_path / "calibration.json").write_text(json.dumps(verdict))
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "calibration.json").write_text('{"passed": tr')
    (tmp_path / "beside" / "catalogue.zarr").mkdir()

    status(str(tmp_path))

    printed = capsys.readouterr().out
    assert "NOT calibrated, 900 spectra; ranks of tage are not uniform" in printed
    assert "cannot be read" in printed
    assert "beside/catalogue.zarr" in printed


def test_nothing_is_written(tmp_path, capsys):
    """The folder is the same, name by name and time by time, after status has looked at it."""
    half_done(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    status(str(tmp_path))

    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_an_empty_run_and_no_run(tmp_path, capsys):
    """An empty run says how to start; a folder that does not exist is an error that says so too."""
    status(str(tmp_path))

    assert "jobs/tabulate.py" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist: start it with python"):
        status(str(tmp_path / "nowhere"))
