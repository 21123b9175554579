"""Retry submits what failed or is missing: whole stages, or the parts of an array that lack it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
from markupsafe import escape
from omegaconf import OmegaConf

from hpcsbi.cluster import sbatch, slurm
from hpcsbi.cluster.slurm import JobState
from hpcsbi.launch.frozen import configuration_of, thaw
from hpcsbi.launch.retry import retry
from hpcsbi.launch.submit import submit
from hpcsbi.run.page_sources import written_of
from hpcsbi.run.progress import work_left
from hpcsbi.store.files import Damaged
from hpcsbi.store.opening import open_store

ROOT = Path(__file__).parents[2]
STAGES = ("tabulate", "simulate", "augment", "train")


class Queue:
    """In the place of SLURM: takes jobs, and says of them what it was told to say."""

    def __init__(self) -> None:
        self.states: dict[str, JobState] = {}
        self.taken: list[dict] = []

    def submit(self, script, arguments, options, folder, hurry=None):
        number = str(len(self.taken) + 1)
        settings = Path(arguments[2]).read_text()
        config = re.search("HPCSBI_CONFIG=(.*)", settings)[1]
        cluster = OmegaConf.to_container(OmegaConf.load(config).cluster)
        self.taken.append({"number": number, "stage": arguments[0],
                           "parts": cluster.get("count"), **options})  # fmt: skip
        return number

    def jobs(self, ids, own=False):
        ids = set(ids)
        return {job: state for job, state in self.states.items() if job.split("_")[0] in ids}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A table, five shards of simulations and one of pairs."""
    run = tmp_path_factory.mktemp("retry")
    shutil.copytree(tiny.TABLE, run / "ssp.zarr")
    tiny.pairs(run)
    return run


@pytest.fixture
def run(made, tmp_path):
    return tiny.copy(made, tmp_path / "run")


@pytest.fixture
def queue(monkeypatch):
    found = Queue()
    monkeypatch.setattr(sbatch, "submit", found.submit)
    monkeypatch.setattr(sbatch, "would_submit", lambda *_: "")
    monkeypatch.setattr(slurm, "jobs", found.jobs)
    monkeypatch.setattr(slurm, "largest_array", lambda: 1000)
    monkeypatch.setattr(slurm, "cluster", lambda: "lab")
    return found


def submitted(run: Path, *overrides: str, stages=STAGES) -> None:
    """A first submission of a run."""
    sizes = ("simulate.n=300", "augment.validation=100", "augment.test=100")  # of tiny.pairs
    given = [f"run={run}", "name=n", "site.tasks=4", *sizes, *overrides]
    submit(configuration_of(given), stages, dry_run=False)


def again(run: Path, queue: Queue, *overrides: str) -> list[dict]:
    """What a retry submits."""
    before = len(queue.taken)
    retry("n", [f"run={run}", *overrides])
    return queue.taken[before:]


def unmade(run: Path, store: str, shard: int) -> None:
    (run / store / ".marks" / f"{shard:06d}.done").unlink()


def test_a_copy_of_a_submission_is_none(run, queue):
    """A folder that somebody keeps beside the numbered ones is not taken for the newest."""
    submitted(run, "cluster=array")
    shutil.copytree(run / "slurm/0001", run / "slurm/0001.old")
    unmade(run, "simulations.zarr", 4)

    assert [job["stage"] for job in again(run, queue)] == ["simulate", "simulate", "train"]
    assert {path.name for path in (run / "slurm").glob("0*")} == {"0001", "0001.old", "0002"}


def test_only_parts_that_lack_shards(run, queue):
    """Of an array of four the parts of shards 1 (cut short) and 4 (lost) run again, then its end.

    What is done is not submitted, and what was never begun waits for the stage before it.
    """
    submitted(run, "cluster=array")
    unmade(run, "simulations.zarr", 4)
    file = run / "simulations.zarr/flux/c.1.0"
    file.write_bytes(file.read_bytes()[:-5])

    array, finish, train = again(run, queue)

    assert (array["stage"], array["array"], array["parts"]) == ("simulate", "0,1", 4)
    assert finish["stage"] == "simulate" and finish["dependency"] == f"afterok:{array['number']}"
    assert train["stage"] == "train" and "dependency" not in train
    assert queue.jobs(["1"]) == {}


def test_an_allocation_is_one_job_again(run, queue):
    """With Dask in one job the stage is submitted as it was, with the same configuration."""
    submitted(run, "cluster=allocation", stages=("simulate", "augment"))
    unmade(run, "training.zarr", 0)

    (job,) = again(run, queue, "site.time=00:10:00")

    assert (job["stage"], job["ntasks"], job["time"]) == ("augment", "4", "00:10:00")
    configs = [OmegaConf.load(run / f"slurm/000{k}/config.yaml") for k in (1, 2)]
    assert configs[0].pop("site") != configs[1].pop("site")
    assert {k: v for k, v in configs[0].items() if k != "hydra"} == {
        k: v for k, v in configs[1].items() if k != "hydra"
    }


def test_what_is_in_the_queue_is_left_alone(run, queue, capsys):
    """A stage whose job runs is not submitted twice; the one behind it waits for that job."""
    submitted(run, "cluster=allocation")
    unmade(run, "simulations.zarr", 0)
    shutil.rmtree(run / "training.zarr")
    queue.states = {"2": JobState("RUNNING"), "3": JobState("CANCELLED", "Dependency")}

    augment, train = again(run, queue)

    assert (augment["stage"], augment["dependency"]) == ("augment", "afterok:2")
    assert (train["stage"], train["dependency"]) == ("train", f"afterok:{augment['number']}")
    assert "simulate   left alone, job 2: RUNNING" in capsys.readouterr().out


def test_a_driver_at_work_is_left_alone(run, queue, capsys):
    """A store that somebody makes without SLURM is theirs."""
    submitted(run, "cluster=allocation", stages=("simulate",))
    unmade(run, "simulations.zarr", 0)

    with open_store(run / "simulations.zarr").locked():
        assert again(run, queue) == []

    assert f"process {os.getpid()}" in capsys.readouterr().out


def test_nothing_to_do(run, queue, capsys):
    """A run that is done is told so, and no job and no configuration is made."""
    submitted(run, "cluster=allocation", stages=("simulate", "augment"))

    assert again(run, queue) == []

    assert "nothing is missing" in capsys.readouterr().out
    assert not (run / "slurm/0002").exists()


def test_a_report_older_than_what_it_shows_is_missing(run, queue, capsys):
    """Every product is there, but the page was written before the verdict was there."""
    submitted(run, "cluster=allocation", stages=("simulate", "report"))
    note = written_of(run / "report.html", [run / "calibration.json"])
    (run / "report.html").write_text(f'<meta name="hpcsbi-made-of" content="{escape(note)}">')
    assert again(run, queue) == []

    (run / "calibration.json").write_text("{}")

    (job,) = again(run, queue)
    assert job["stage"] == "report"
    assert "report.html is older than calibration.json" in capsys.readouterr().out


def test_what_was_refused_is_told_and_not_submitted_again(run, queue, capsys):
    """A product of other settings is whole; what failed for a time limit is submitted again."""
    submitted(run, "cluster=allocation", stages=("simulate", "augment"))
    queue.states = {"1": JobState("FAILED", "NonZeroExitCode", "2:0"),
                    "2": JobState("CANCELLED", "Dependency")}  # fmt: skip
    said = "simulating\nerror: simulations.zarr was made with other settings:\n  seed 1, not 0\n"
    (run / "logs/simulate-1.log").write_text(said)

    assert again(run, queue) == []

    printed = capsys.readouterr().out
    assert "simulate   job 1 FAILED (exit status 2:0), not submitted again" in printed
    assert "error: simulations.zarr was made" in printed and "seed 1, not 0" in printed
    assert "simulating\n" not in printed
    assert "augment    job 2 CANCELLED (what it waited for failed), not submitted" in printed
    assert printed.splitlines()[-1].startswith("simulate would fail again: mend it as told")

    unmade(run, "simulations.zarr", 0)
    queue.states["1"] = JobState("TIMEOUT")
    assert [job["stage"] for job in again(run, queue)] == ["simulate"]
    assert "job 1 TIMEOUT (the limit site.time was reached)\n" in capsys.readouterr().out


def test_a_dry_run_submits_nothing(run, queue, capsys):
    """The commands are printed with what they would wait for."""
    submitted(run, "cluster=array")
    unmade(run, "simulations.zarr", 2)
    queue.states = {"9": JobState("PENDING", "Resources")}  # the training
    before = len(queue.taken)

    retry("n", [f"run={run}"], dry_run=True)

    printed = capsys.readouterr().out
    assert "--array=2 " in printed and "afterok:<simulate>" in printed
    assert len(queue.taken) == before


def test_never_submitted(tmp_path, queue):
    """A run without a submission says how to submit it, and that run=... may be missing."""
    with pytest.raises(FileNotFoundError, match=r"never submitted: slurm/pipeline.sh n .*run="):
        retry("n", [f"run={tmp_path}"])


def test_what_a_stage_has_left(run):
    """Shards by number; none when only the end is missing; all when there is no store."""
    store = run / "simulations.zarr"
    assert work_left("simulate", store) is None

    (store / "wave/c.0").write_bytes(b"")
    assert work_left("simulate", store).shards == []
    open_store(store, check=False).mark_failed(3, "no")
    unmade(run, "simulations.zarr", 3)
    assert work_left("simulate", store).shards == [3]
    assert "1 failed" in work_left("simulate", store).why

    assert work_left("calibrate", run / "training.zarr").shards == []  # no verdict beside it
    assert work_left("infer", run / "catalogue.zarr").shards is None
    assert work_left("train", run / "flows/a").why == "a is not there"
    assert work_left("report", run / "report.html") is not None
    (run / "odd.zarr").mkdir()
    with pytest.raises(Damaged, match="odd"):
        work_left("simulate", run / "odd.zarr")


def test_a_thawed_configuration_keeps_what_was_frozen(tmp_path, queue):
    """Changes of conf/ do not reach it; cluster, site and single values may be chosen anew."""
    submitted(tmp_path / "run", "cluster=array", "site=midway3", "simulate.n=777", "seed=5")
    path = tmp_path / "run/slurm/0001/config.yaml"
    path.write_text(path.read_text().replace("shard: 1024", "shard: 99"))

    cfg = thaw(path, ["cluster=slurm", "site=lab", "site.tasks=3", "simulate.seed=1"])

    assert (cfg.simulate.n, cfg.simulate.shard, cfg.simulate.seed, cfg.augment.seed) == (
        777,
        99,
        1,
        5,
    )
    assert (cfg.site.partition, cfg.site.tasks) == ("main", 3)
    assert cfg.simulate.cluster._target_.endswith("Elastic")
    assert thaw(path, []).site.partition == "caslake"


def ask(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HPCSBI_PYTHON": sys.executable},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_on_a_real_slurm(slurm_lab, tmp_path):
    """Failed, cancelled because of that, waiting, cancelled by hand: each is told apart."""
    run, options = tmp_path / "run", ["site=lab", f"run={tmp_path}/run"]
    job = {"stage": "simulate", "parts": 0, "log": f"{tmp_path}/log-%j", "config": "1/c"}
    wrap = ["sbatch", "--parsable", "--mem=100", f"--output={tmp_path}/log-%j"]
    failed = ask(*wrap, "--wrap", "echo one; echo two words; exit 3").strip()
    behind = ask(*wrap, f"--dependency=afterok:{failed}", "--kill-on-invalid-dep=yes",
                 "--wrap", "true").strip()  # fmt: skip
    held = ask(*wrap, "--begin=now+1hour", "--wrap", "true").strip()
    (run / "slurm").mkdir(parents=True)
    lines = [job | {"job": failed}, job | {"job": behind, "stage": "augment"},
             job | {"job": held, "stage": "train"}]  # fmt: skip
    (run / "slurm/jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def told() -> dict[str, dict]:
        found = json.loads(ask(sys.executable, "jobs/status.py", *options, "status.json=true"))
        return {entry["stage"]: entry for entry in found["jobs"]}

    end = time.monotonic() + 300
    while told()["augment"]["active"] and time.monotonic() < end:
        time.sleep(1)
    before = told()
    slurm.cancel([held])
    while told()["train"]["active"] and time.monotonic() < end:
        time.sleep(1)

    assert before["simulate"]["failures"][0]["line"] == "two words"
    assert before["simulate"]["state"] == "FAILED"
    assert before["augment"]["failures"][0]["why"] == "what it waited for failed"
    assert before["train"]["waits"][0]["reason"] == "BeginTime"
    assert told()["train"]["state"] == "CANCELLED"
