import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.cluster.deadline import OutOfTime
from hpcsbi.errors import BadInput
from hpcsbi.inference.network import training_pairs
from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.optimiser import Optimiser
from hpcsbi.inference.summary.optimum import Optimum
from hpcsbi.run.flows import load_engine, load_posterior
from hpcsbi.run.folder import FlowFolder
from hpcsbi.run.progress import work_left
from hpcsbi.simulator.pairs import split_of
from hpcsbi.stages import train as stage
from hpcsbi.stages.train import speed
from hpcsbi.store.opening import open_complete
from hpcsbi.store.settings import Mismatch

TESTS = Path(__file__).parent
CHILD = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {root!r}]
import tiny
tiny.trained(Path({run!r}), Path({training!r}), source={source!r}, steps=300, checkpoint=50)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("train")
    tiny.pairs(path, n=700, copies=4)
    return path


def start(folder: Path, training: Path, source: str) -> subprocess.Popen:
    code = CHILD.format(
        tests=str(TESTS),
        root=str(TESTS.parent),
        run=str(folder),
        training=str(training),
        source=source,
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL
    )


@pytest.mark.slow
@pytest.mark.parametrize("source", ["fresh", "stored"])
def test_killed_and_resumed_gives_the_same_weights(run, tmp_path, source):
    """SIGKILL after a checkpoint, then the same call: weights and history equal to the bit."""
    training = run / "training.zarr"
    whole = tiny.trained(tmp_path / "whole", training, source=source, steps=300, checkpoint=50)

    child = start(tmp_path / "killed", training, source)
    checkpoint = tmp_path / "killed" / "flow" / "checkpoint.safetensors"
    deadline = time.time() + 120
    while not checkpoint.exists() and time.time() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert checkpoint.exists() and not (checkpoint.parent / "flow.safetensors").exists()
    assert start(tmp_path / "killed", training, source).wait() == 0

    assert tiny.all_bytes(checkpoint.parent) == tiny.all_bytes(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "more"),
    [("fresh", {}), ("stored", {}), ("fresh", {"representation": "optimum", "passes": 2})],
)
def test_killed_between_any_two_files_gives_the_same_bytes(
    run, tmp_path, monkeypatch, boundaries, source, more
):
    """Before each file that gets its name or goes: nothing is lost, and nothing is left over."""
    engine = load_engine(tiny.TABLE, tiny.prior())
    monkeypatch.setattr(stage, "load_engine", lambda *_: engine)
    monkeypatch.setattr(training_pairs, "SAMPLE", 1000)
    monkeypatch.setattr(Optimum, "rounds", 2)
    options = {"source": source, "steps": 6, "batch": 64, "checkpoint": 3} | more
    training = run / "training.zarr"
    whole = tiny.all_bytes(tiny.trained(tmp_path / "whole", training, **options))
    total = boundaries.count

    for kill in range(total):
        with boundaries.killed_at(kill):
            tiny.trained(tmp_path / str(kill), training, **options)
        assert tiny.all_bytes(tiny.trained(tmp_path / str(kill), training, **options)) == whole
    assert total >= 7  # two checkpoints with their history, table, flow, checkpoint gone


@pytest.mark.slow
def test_training_learns(run, tmp_path):
    """The score of unseen spectra rises by nats, and every spectrum of the curve was held out."""
    flow = tiny.trained(tmp_path, run / "training.zarr")
    history = json.loads((flow / "history.json").read_text())

    scores = [entry["validation_log_prob"] for entry in history]
    assert [entry["step"] for entry in history] == [100, 200, 300]
    assert scores[-1] > scores[0] + 0.5
    assert not (flow / "checkpoint.safetensors").exists()
    assert load_posterior(flow).names == tiny.prior().names


def test_a_trained_flow_is_left_alone(run, tmp_path):
    """The same settings find the work done, other settings are refused by key."""
    flow = tiny.trained(tmp_path, run / "training.zarr", steps=20)
    before = tiny.all_bytes(flow)

    tiny.trained(tmp_path, run / "training.zarr", steps=20)
    assert tiny.all_bytes(flow) == before
    with pytest.raises(Mismatch, match="steps: 20 in the store, 30 asked"):
        tiny.trained(tmp_path, run / "training.zarr", steps=30)


def test_wrong_sources_are_refused(run, tmp_path):
    """An unknown source, and stored training from a store without training pairs."""
    with pytest.raises(ValueError, match="'live': choose from fresh, stored"):
        tiny.trained(tmp_path, run / "training.zarr", source="live")
    bare = tiny.pairs(tmp_path / "bare", n=220)
    with pytest.raises(ValueError, match=r"augment\.copies=0"):
        tiny.trained(tmp_path, bare, source="stored")


@pytest.mark.slow
def test_overfitting_is_not_kept(tmp_path):
    """Few spectra seen often are learned by heart; the flow is that of the best held-out score."""
    training = tiny.pairs(tmp_path, n=240, copies=50)
    flow = tiny.trained(
        tmp_path, training, source="stored", representation="plain", steps=1500, rate=5e-3
    )
    history = json.loads((flow / "history.json").read_text())
    scores = [entry["validation_log_prob"] for entry in history]
    store = open_complete(training, "augment")
    rows = split_of(store.settings, store.rows, "validation")
    posterior = load_posterior(flow)
    theta, *spectra = (store.read(name, rows) for name in ("theta", "flux", "ivar"))
    score = posterior.log_prob(posterior.prior.coordinates(theta), *spectra)

    assert max(scores) > scores[-1] + 0.1
    assert np.mean(score) == pytest.approx(max(scores), abs=1e-3)


@pytest.mark.slow
def test_a_damaged_flow_is_made_again(run, tmp_path, capsys):
    """Truncated or with a bit flipped, flow and checkpoint are named, and trained anew."""
    training = run / "training.zarr"
    flow = tiny.trained(tmp_path, training, steps=20)
    whole = tiny.all_bytes(flow)
    path = flow / "flow.safetensors"
    raw = path.read_bytes()
    for harmed in (raw[:-10], raw[:-10] + bytes([raw[-10] ^ 4]) + raw[-9:]):
        path.write_bytes(harmed)
        (flow / "checkpoint.safetensors").write_bytes(harmed)
        tiny.trained(tmp_path, training, steps=20)

        assert "flow.safetensors is damaged" in capsys.readouterr().out
        assert tiny.all_bytes(flow) == whole


@pytest.mark.slow
def test_out_of_time_is_a_pause(run, tmp_path, monkeypatch):
    """A run that three jobs make between them has the weights, bit for bit, of one long one."""
    training = run / "training.zarr"
    whole = tiny.all_bytes(tiny.trained(tmp_path / "whole", training, steps=60, checkpoint=25))
    for _ in range(2):
        left = iter(range(17))
        monkeypatch.setattr(stage, "leaves", lambda _, left=left: next(left, None) is not None)
        with pytest.raises(OutOfTime, match="stopped at step"):
            tiny.trained(tmp_path / "jobs", training, steps=60, checkpoint=25)
    monkeypatch.setattr(stage, "leaves", lambda _: True)

    flow = tiny.trained(tmp_path / "jobs", training, steps=60, checkpoint=25)
    assert tiny.all_bytes(flow) == whole


def test_a_damaged_copy_of_the_table_is_made_again(tmp_path):
    """The same command on a trained flow mends its table, and leaves the weights alone."""
    training = tiny.pairs(tmp_path)
    flow = tiny.trained(tmp_path, training, steps=2)
    whole = tiny.all_bytes(flow)
    for name in ("continuum/c.0.0.0.0", "wave/c.0"):
        (flow / "ssp.zarr" / name).write_bytes(b"")
        assert "ssp.zarr is damaged" in work_left("train", flow).why
        tiny.trained(tmp_path, training, steps=2)
        assert tiny.all_bytes(flow) == whole
    assert work_left("train", flow) is None


def test_speed_is_tried_without_a_trace(tmp_path):
    """Steps a second are told, and the run has no new file."""
    training = tiny.pairs(tmp_path)
    before = tiny.all_bytes(tmp_path)

    found = speed(str(training), str(tiny.TABLE), "fresh", Flow("zuko_maf", 32, 3), "equivariant",
                  64, 1, "cpu", False, 1, warm=2, steps=5)  # fmt: skip

    assert 1 < found < 1e5
    assert tiny.all_bytes(tmp_path) == before


@pytest.mark.slow
def test_compiled_steps_go_on_to_the_same_weights(run, tmp_path, monkeypatch):
    """To the bit when the job ended in between; a flow that is not compiled is another flow."""
    training = run / "training.zarr"
    straight, stopped = (tmp_path / name for name in ("straight", "stopped"))
    options = {"steps": 24, "checkpoint": 10, "compiled": True}
    tiny.trained(straight, training, **options)

    with monkeypatch.context() as patch:
        ends = iter([True] * 12 + [False])
        patch.setattr(stage, "leaves", lambda _: next(ends))
        with pytest.raises(OutOfTime):
            tiny.trained(stopped, training, **options)
    tiny.trained(stopped, training, **options)

    weights = [FlowFolder(tmp_path / name / "flow").weights for name in ("straight", "stopped")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    with pytest.raises(Mismatch, match="compiled"):
        tiny.trained(straight, training, **options | {"compiled": False})


def test_steps_are_compiled_only_where_there_is_a_compiler(run, tmp_path, monkeypatch):
    """Told before the first step, with the mend."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        BadInput, match=r"no C\+\+ compiler no-such-compiler.*train\.compiled=false"
    ):
        tiny.trained(tmp_path, run / "training.zarr", steps=5, compiled=True)
    assert not tiny.all_bytes(tmp_path)


def test_fresh_pairs_have_labels_of_their_own(tmp_path):
    """A store of others is for stored pairs, and is refused by name."""
    training = tiny.pairs(tmp_path, labels="nearest", copies=1)
    with pytest.raises(BadInput, match=r"training\.zarr has augment\.labels=nearest.*stored"):
        tiny.trained(tmp_path, training, steps=5)
    tiny.trained(tmp_path, training, steps=5, source="stored")


def test_a_flow_of_another_device_is_another_flow(run, tmp_path, monkeypatch):
    """The device is a setting as soon as it is no processor, and a GPU that is not here is told."""
    training = run / "training.zarr"
    tiny.trained(tmp_path, training, steps=5)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    tiny.trained(tmp_path, training, steps=5, device="auto")  # is there already
    with pytest.raises(BadInput, match=r"train\.device is cuda.*no GPU"):
        tiny.trained(tmp_path, training, steps=5, device="cuda")
    monkeypatch.setattr(stage, "device_of", lambda name, _: torch.device(name))
    with pytest.raises(Mismatch, match="device"):
        tiny.trained(tmp_path, training, steps=5, device="cuda")


def test_a_batch_that_does_not_fit_is_told_with_a_smaller_one(run, tmp_path, monkeypatch):
    """One line, and the checkpoint of before stays."""

    def full(*_: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Optimiser, "update", full)
    with pytest.raises(BadInput, match=r"train\.batch=256: take train\.batch=128"):
        tiny.trained(tmp_path, run / "training.zarr", steps=5)
