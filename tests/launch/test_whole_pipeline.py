import os
import random
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest
import tiny

from hpcsbi.errors import BadInput
from hpcsbi.launch import whole_pipeline
from hpcsbi.launch.frozen import configuration_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SMALL = [
    "experiment=demo", "beside=null", "simulate.n=260", "simulate.shard=64", "augment.shard=128",
    "augment.validation=100", "augment.test=100", "train.steps=120", "train.batch=128",
    "train.checkpoint=40", "flow.hidden=32", "flow.transforms=2", "calibrate.draws=50",
    "calibrate.shard=40", "infer.draws=200", "infer.keep_draws=100",
]  # fmt: skip
# A flow of 120 steps need not be calibrated: the status of that is 1.
ENDED = (0, 1)


def start(run: Path) -> subprocess.Popen:
    environment = {key: value for key, value in os.environ.items() if key != "SPS_HOME"}
    return subprocess.Popen(
        [sys.executable, "jobs/pipeline.py", *SMALL, f"run={run}"],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def products(run: Path) -> dict[str, bytes]:
    """Everything that a run leaves, but what tells how long it took."""
    return {
        name: content
        for name, content in tiny.all_bytes(run).items()
        if not name.startswith(("costs", "rates", "hydra", "dask", ".matplotlib", "report.html"))
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("pipeline") / "whole"
    process = start(run)
    out = process.communicate(timeout=900)[0]
    assert process.returncode in ENDED, out
    return run, out


def test_from_nothing_to_the_page(whole):
    """All stages run, and the last line is the path of a page that says it is not for science."""
    run, out = whole
    page = (run / "report.html").read_text()

    assert out.splitlines()[-1] == str(run / "report.html")
    assert "NOT FOR SCIENCE" in page
    assert all(name in page for name in ("NGC 3073", "NGC 3522", "NGC 4636"))
    assert (run / "catalogue.parquet").exists() and (run / "calibration.json").exists()


def test_again_makes_nothing_again(whole):
    """The same command finds everything done: no file of a store is written."""
    run, _ = whole
    before = {path: path.stat().st_mtime_ns for path in run.glob("*.zarr/*/c.*")}
    process = start(run)
    process.communicate(timeout=600)

    assert process.returncode in ENDED
    assert before and before == {path: path.stat().st_mtime_ns for path in run.glob("*.zarr/*/c.*")}


def test_killed_anywhere_gives_the_same_bytes(whole, tmp_path):
    """SIGKILL of the whole process group at moments drawn by chance, until it is done."""
    run = tmp_path / "killed"
    moments = random.Random(os.getpid())
    for _ in range(3):
        process = start(run)
        time.sleep(moments.uniform(4, 14))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    process = start(run)
    out = process.communicate(timeout=900)[0]

    assert process.returncode in ENDED, out
    assert products(run) == products(whole[0])


def test_demo_data_ship_with_the_package():
    """Table and spectra are small, and the notice that they need is beside them."""
    data = Path(str(files("hpcsbi"))) / "data"
    table = sum(path.stat().st_size for path in (data / "ssp_demo.zarr").rglob("*"))

    assert table < 8_000_000
    assert (data / "sdss_nuclei.fits.gz").stat().st_size < 100_000
    assert "SDSS" in (data / "NOTICE").read_text()


def test_the_page_comes_before_the_second_pipeline(tmp_path, monkeypatch, capsys):
    """Whoever tries the demo looks at the page while the second prior runs, and at both after."""
    done = []
    monkeypatch.setattr(whole_pipeline, "run_stage", lambda name, cfg: done.append(name) or 0)
    done_well = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done.append("beside") or done_well)

    assert whole_pipeline.pipeline(configuration_of(["experiment=demo", f"run={tmp_path}"])) == 0
    assert done[-4:] == ["infer", "report", "beside", "report"]
    out = capsys.readouterr().out
    assert "minutes" in out.splitlines()[0] and out.splitlines()[-1] == f"{tmp_path}/report.html"


def test_the_pipeline_beside_is_checked_too(tmp_path):
    """Its overrides are wrong before the first pipeline begins."""
    cfg = configuration_of(
        ["experiment=demo", f"run={tmp_path}", "beside=[experiment=demo,train.step=3]"]
    )
    with pytest.raises(BadInput, match=r"did you mean train\.steps"):
        whole_pipeline.check(cfg)


@pytest.mark.parametrize("stage", ["train", "infer"])
def test_a_gpu_that_is_not_here_is_told_before_the_first_stage(tmp_path, monkeypatch, stage):
    """The pipeline trains and infers on this machine; without spectra it does not infer."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    cfg = configuration_of(["experiment=demo", f"run={tmp_path}", f"{stage}.device=cuda"])
    with pytest.raises(BadInput, match=rf"{stage}\.device is cuda.*{stage}\.device=auto"):
        whole_pipeline.check(cfg)
    cfg.ingest.files, cfg.beside, cfg.train.device = [], None, "cpu"
    assert "infer" not in whole_pipeline.check(cfg)


def test_a_compiler_that_is_not_here_is_told_before_the_first_stage(tmp_path, monkeypatch):
    """Where the training is compiled."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    cfg = configuration_of(["experiment=demo", f"run={tmp_path}", "train.compiled=true"])
    with pytest.raises(BadInput, match=r"no-such-compiler.*train\.compiled=false"):
        whole_pipeline.check(cfg)
