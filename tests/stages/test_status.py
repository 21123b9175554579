"""Status counts what the marks say, tells how long the rest takes, and writes nothing."""

import errno
import json
import os
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny
from markupsafe import escape

from hpcsbi.cluster import slurm
from hpcsbi.cluster.executors import Serial
from hpcsbi.run.page_sources import written_of
from hpcsbi.stages.status import status
from hpcsbi.store.files import Damaged, save_weights
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_store
from hpcsbi.store.shards import run_shards


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
    assert "beside/calibration.json is damaged" in printed and "remove it and run" in printed
    assert "beside/catalogue.zarr" in printed


def test_an_old_page_is_told(tmp_path, capsys):
    """A page that shows less than what lies there is named with the job, another is not."""
    half_done(tmp_path)
    note = written_of(tmp_path / "report.html", [tmp_path / "simulations.zarr"])
    page = f'<meta name="hpcsbi-made-of" content="{escape(note)}">'
    (tmp_path / "report.html").write_text(page)
    status(str(tmp_path))
    before = capsys.readouterr().out

    open_store(tmp_path / "simulations.zarr", check=False).write(3, x=np.zeros(5))
    status(str(tmp_path))

    assert "report.html" not in before
    assert re.search(r"report.html +is older than simulations.zarr: run", capsys.readouterr().out)


@pytest.mark.parametrize("text", ["", "[1, 2]", "7", "{}", "\0", '{"passed": tr'])
def test_one_damaged_file_does_not_hide_the_others(tmp_path, capsys, text):
    """Whatever lies in the place of a file, the line of its product says so, and the rest is told.

    A folder in its place is no other case.
    """
    half_done(tmp_path)
    spoilt = ("spectra.zarr/zarr.json", "calibration.json", "catalogue.parquet",
              "flows/a/flow.safetensors", "rates.jsonl", "slurm/jobs.jsonl")  # fmt: skip
    create(tmp_path / "spectra.zarr", {"x": Array({"row": 4}, "int8")}, {}, 2)
    create(tmp_path / "catalogue.zarr", {"x": Array({"row": 4}, "int8")}, {}, 2)
    for name in spoilt:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    told = as_json(tmp_path, capsys)

    stores = {store["name"]: store for store in told["stores"]}
    assert "spectra.zarr" in stores["spectra.zarr"]["error"]
    assert all("error" not in store for name, store in stores.items() if name != "spectra.zarr")
    assert [flow["step"] for flow in told["flows"]] == [0] and told["jobs"] == []
    for name in spoilt[:4]:
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
    told = as_json(tmp_path, capsys)
    assert "folder is in the place of a file" in told["flows"][0]["error"]
    assert "folder is in the place of a file" in told["verdicts"][0]["error"]


def test_what_is_anothers_is_neither_absent_nor_damaged(tmp_path, capsys, monkeypatch):
    """It is told as such with its owner, beside the rest, and nobody is told to make it again."""
    half_done(tmp_path)
    for name in ("a", "b"):
        save_weights(tmp_path / "flows" / name / "flow.safetensors", {"w": np.zeros(9)}, {})
    real = Path.open

    def refuse(path, *arguments, **options):
        if "flows/a" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(os, "access", lambda path, _: "flows/a" not in str(path))

    first, second = as_json(tmp_path, capsys)["flows"]

    assert "not for you to read" in first["error"] and second["trained"]
    with pytest.raises(Damaged, match="is as it was") as caught:
        status(str(tmp_path), verify=True)
    assert "train.py again" not in str(caught.value)


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


SUBMITTED = [
    {"job": "10", "stage": "simulate", "parts": 4, "config": "0001/config.yaml"},
    {"job": "11", "stage": "simulate", "parts": 0, "config": "0001/finish.yaml"},
    {"job": "12", "stage": "train", "parts": 0, "config": "0001/config.yaml"},
    {"job": "13", "stage": "calibrate", "parts": 0, "config": "0001/config.yaml"},
    {"job": "14", "stage": "report", "parts": 0, "config": "0001/config.yaml"},
    {"job": "20", "stage": "train", "parts": 0, "config": "0002/config.yaml"},
]
SQUEUE = """\
10_3|RUNNING|None
13|PENDING|QOSMaxCpuPerUserLimit
20|RUNNING|None
99|PENDING|Resources
15|CANCELLED|DependencyNeverSatisfied
16|FAILED|NonZeroExitCode
"""
SACCT = f"""\
10_0|COMPLETED|None|0:0
10_1|TIMEOUT|None|0:0
10_2|OUT_OF_MEMORY|None|0:125
10_3|PENDING|Priority|0:0
15|CANCELLED|None|0:0
16|PENDING|None|0:0
12|CANCELLED by {os.getuid()}|None|0:0
11|CANCELLED|Dependency|0:0
"""


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """A run with six jobs, of which SLURM remembers five."""
    (tmp_path / "slurm").mkdir()
    logs = {0: "-%j.log", 4: "-%A_%a.log"}
    entries = [
        job | {"log": f"{tmp_path}/{job['stage']}{logs[job['parts']]}", "submitted": 0.0}
        for job in SUBMITTED
    ]
    noted = "".join(json.dumps(entry) + "\n" for entry in entries)
    (tmp_path / "slurm" / "jobs.jsonl").write_text(noted + '{"job": "2')
    (tmp_path / "simulate-10_1.log").write_bytes(
        b"began\n\rsimulate: 10%|\x1b[31m\rsimulate: 40%|##\r\n\n"
    )
    bin = tmp_path / "bin"
    bin.mkdir()
    for name, text in (("squeue", SQUEUE), ("sacct", SACCT), ("scontrol", "")):
        (bin / f"{name}.txt").write_text(text)
        (bin / name).write_text(f"#!/bin/sh\ncat {bin}/{name}.txt\n")
        (bin / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}:{os.environ['PATH']}")
    return tmp_path


def ended(folder, *states):
    """Let SLURM say of the jobs 10 (simulate) and 12 (train) how they are."""
    lines = "".join(
        f"{job}|{state}|None\n" for job, state in zip(("10", "12"), states, strict=True)
    )
    (folder / "bin/squeue.txt").write_text(lines)
    (folder / "bin/sacct.txt").write_text("")
    line = {"log": f"{folder}/log-%j", "config": "1/config.yaml", "submitted": 0.0, "parts": 0}
    jobs = [line | {"job": "10", "stage": "simulate", "outs": ["simulations.zarr"]},
            line | {"job": "12", "stage": "train", "outs": ["flows/a"]}]  # fmt: skip
    (folder / "slurm/jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))


def test_a_run_of_jobs_is_mended_by_a_retry(submitted, capsys, monkeypatch):
    """Nobody is told to run by hand what SLURM ran, and nothing is advised while a job is at it."""
    monkeypatch.chdir(submitted)
    run = Path("runs/mine")
    run.parent.mkdir()
    run.symlink_to(submitted)
    ended(submitted, "RUNNING", "CANCELLED")
    status(str(run))
    nothing = capsys.readouterr().out
    half_done(submitted)
    status(str(run))
    during = capsys.readouterr().out
    ended(submitted, "FAILED", "CANCELLED")
    status(str(run))
    after = capsys.readouterr().out.splitlines()
    status(str(submitted))
    elsewhere = capsys.readouterr().out.splitlines()

    assert "nothing is there yet: its jobs wait or run" in nothing
    assert "job 10 makes it again: it makes only what is missing" in during
    assert "retry" not in during and "jobs/simulate.py" not in "".join([during, *after])
    told = "python jobs/retry.py mine submits what failed or is missing: simulate, train"
    assert after[-1] == told
    assert "python jobs/retry.py mine: it makes only what is missing" in "\n".join(after)
    assert f"python jobs/retry.py {submitted.name} run={submitted} submits" in elsewhere[-1]


def test_states_of_jobs_are_told_apart(submitted, capsys):
    """Array tasks are summed, each way to end keeps its name, and forgotten jobs are unknown."""
    jobs = {job["job"]: job for job in as_json(submitted, capsys)["jobs"]}

    assert jobs["10"]["state"] == "1 COMPLETED, 1 OUT_OF_MEMORY, 1 RUNNING, 1 TIMEOUT"
    assert [failure["why"] for failure in jobs["10"]["failures"]] == [
        "the limit site.time was reached",
        "raise site.memory",
    ]
    assert jobs["11"]["failures"][0]["why"] == "what it waited for failed"
    assert jobs["12"]["failures"][0]["why"].startswith("by ")
    assert jobs["13"]["waits"][0]["mend"].startswith("over a limit of the QOS")
    assert jobs["14"]["state"] == "unknown"
    assert "99" not in jobs


def test_the_accounting_lags_behind_the_queue(submitted):
    """What has just ended has not its reason there yet, or waits there still."""
    found = slurm.jobs(["10", "15", "16"])

    assert found["10_3"].state == "RUNNING"
    assert found["15"] == slurm.JobState("CANCELLED", "DependencyNeverSatisfied", "0:0")
    assert found["16"].state == "FAILED"


def test_newest_jobs_first_and_the_last_line_of_a_log(submitted, capsys):
    """Of a stage submitted twice a reader sees the second; of a log what it said last, cleaned."""
    assert [job["newest"] for job in as_json(submitted, capsys)["jobs"]] == [True] * 5 + [False]

    status(str(submitted))

    printed = capsys.readouterr().out
    assert "job 20" in printed and "job 12" not in printed
    assert "1 RUNNING, 1 TIMEOUT\n" in printed
    assert "10_1 TIMEOUT (the limit site.time was reached)" in printed
    assert "simulate: 40%|##" in printed
    assert "10_2 OUT_OF_MEMORY (raise site.memory)\n" in printed
    assert "QOSMaxCpuPerUserLimit: over a limit of the QOS" in printed
    assert "\x1b" not in printed and "\r" not in printed


def test_without_slurm_states_are_unknown(submitted, capsys, monkeypatch):
    """Where squeue is not on the path the run is told all the same, without an error."""
    monkeypatch.setenv("PATH", str(submitted))

    found = as_json(submitted, capsys)

    assert {job["state"] for job in found["jobs"]} == {"unknown"}
    assert "squeue is not on the path" in found["slurm"]


def test_tasks_on_one_line_of_the_accounting_are_spread():
    """Tasks cancelled while they waited together are counted one by one."""
    found = slurm.account_states("7_[0-2,5,8-12:2%3]|CANCELLED by 0|None|0:0\n")

    assert sorted(int(job.split("_")[1]) for job in found) == [0, 1, 2, 5, 8, 10, 12]
    assert {(state.state, state.reason) for state in found.values()} == {("CANCELLED", "by 0")}


def test_those_at_work_are_running(tmp_path, capsys):
    """Shards in the hands of a driver count as running, never more than are left."""
    store = half_done(tmp_path, rows=60)
    with store.locked() as lock:
        lock.note(workers=2)
        at_work = as_json(tmp_path, capsys)["stores"][0]
        lock.holder["workers"] = 64
        lock._written = 0.0
        lock.note(made=1)
        crowd = as_json(tmp_path, capsys)["stores"][0]
    after = as_json(tmp_path, capsys)["stores"][0]

    counted = ("done", "running", "failed", "missing")
    assert [at_work[name] for name in counted] == [2, 2, 1, 1]
    assert [crowd[name] for name in counted] == [2, 4, 0, 0]
    assert [after[name] for name in counted] == [2, 0, 1, 3]
    assert at_work["holders"][0]["pid"] == os.getpid()


HARM = {
    "truncated": lambda store: harm_file(store / "x/c.1", lambda raw: raw[:-1]),
    "flipped": lambda store: harm_file(store / "x/c.1", flip),
    "lost": lambda store: (store / "x/c.1").unlink(),
    "mark flipped": lambda store: harm_file(store / ".marks/000001.done", flip),
    "mark emptied": lambda store: harm_file(store / ".marks/000001.done", lambda raw: b""),
    "mark removed": lambda store: (store / ".marks/000001.done").unlink(),
    "coordinate truncated": lambda store: harm_file(store / "wave/c.0", lambda raw: raw[:-1]),
    "coordinate flipped": lambda store: harm_file(store / "wave/c.0", flip),
    "coordinate lost": lambda store: (store / "wave/c.0").unlink(),
    "names flipped": lambda store: harm_file(store / "parameter/c.0", flip),
}


def harm_file(path, change):
    path.write_bytes(change(path.read_bytes()))


def flip(raw):
    return raw[:9] + bytes([raw[9] ^ 1]) + raw[10:]


def make(store_path):
    """What a stage does: make the store, then its shards that are not there."""
    names = np.array(["tage", "tau"])
    arrays = {
        "x": Array({"row": 30}, "float32"),
        "wave": Array({"pixel": 5}, "float64", values=np.arange(5.0)),
        "parameter": Array({"parameter": 2}, "string", values=names),
    }
    store = create(store_path, arrays, {"seed": 1}, 10)
    run_shards(partial(fill, store_path), store, Serial(), "simulate")


def fill(path, shard):
    open_store(path).write(shard, x=np.full(10, shard, dtype=np.float32))


@pytest.mark.parametrize("kind", HARM)
def test_damage_is_named_and_made_again(tmp_path, capsys, kind):
    """Every kind of damage is found with the job that mends it; the next run gives equal bytes."""
    path = tmp_path / "simulations.zarr"
    make(path)
    whole = tiny.all_bytes(path)
    status(str(tmp_path), verify=True)
    assert "every file has its checksum" in capsys.readouterr().out

    HARM[kind](path)

    if kind == "mark removed":  # as if it had never been made
        assert as_json(tmp_path, capsys)["stores"][0]["missing"] == 1
    else:
        what = "array" if kind.startswith(("coordinate", "names")) else "shard 1;"
        with pytest.raises(Damaged, match=rf"simulations.zarr: {what}.*jobs/simulate.py again"):
            status(str(tmp_path), verify=True)
        told = capsys.readouterr().out
        assert "damaged" in told and ("1 damaged" in told) == (what == "shard 1;")
    make(path)
    assert tiny.all_bytes(path) == whole
    status(str(tmp_path), verify=True)


def test_verify_names_a_flow_that_is_cut_short(tmp_path, capsys):
    """The weights are read as well; without verify nobody looks at them."""
    path = tmp_path / "flows/a/flow.safetensors"
    save_weights(path, {"w": np.zeros(9)}, {"settings": {"steps": 5}})
    harm_file(path, lambda raw: raw[:-1])

    status(str(tmp_path))
    with pytest.raises(Damaged, match=r"flow.safetensors is damaged .*remove it and run again"):
        status(str(tmp_path), verify=True)
