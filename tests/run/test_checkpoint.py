"""A training goes on from its checkpoint as if nothing had stopped it."""

import json

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.grid import Grid
from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.optimiser import Optimiser
from hpcsbi.inference.summary.flow_coordinates import Representation
from hpcsbi.inference.summary.representations import make_representation
from hpcsbi.run.checkpoint import Training, resume, weights_of
from hpcsbi.run.folder import FlowFolder
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.files import save_weights
from hpcsbi.store.settings import Mismatch

CPU = torch.device("cpu")


def identity() -> Representation:
    prior = Prior({name: tiny.DIGS[name] for name in ("logmass", "dust2")})
    return make_representation("plain", prior, {"context_mean": torch.zeros(3)})


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
    """The best weights are those of the highest finite score, whatever came before it."""
    fit = Optimiser(Flow("zuko_maf", 8, 1), identity(), 10, 1e-3, seed=0)
    kept = Training(tmp_path, {}, fit)
    was_best = []
    for score in (np.nan, 1.0, np.nan, 0.5, 2.0):
        kept.best = {}
        kept.note(score)
        was_best.append(bool(kept.best))

    assert was_best == [False, True, False, False, True]


SETTINGS = {
    "flow": {"network": "zuko_maf", "hidden": 8, "transforms": 1},
    "representation": "plain",
    "steps": 10,
    "rate": 1e-3,
    "seed": 0,
    "training": {"simulations": Model(tiny.prior(), Grid(), Physics()).settings()},
}


def training(folder, steps=3):
    """A training of a few steps, on numbers of no meaning."""
    representation = make_representation("plain", tiny.prior(), {"context_mean": torch.zeros(3)})
    optimiser = Optimiser(Flow(**SETTINGS["flow"]), representation, 10, 1e-3, seed=0)
    made = Training(folder, SETTINGS, optimiser)
    for step in range(steps):
        further(made, step)
    return made


def further(made, step):
    """One step more; its batch is told by its number."""
    generator = torch.Generator().manual_seed(step)
    u, context = (torch.randn(16, n, generator=generator) for n in (len(tiny.DIGS), 3))
    made.optimiser.update(u, context)


def equal(ours, theirs):
    """Weights, moments and best weights to the bit."""
    pairs = [
        (ours.optimiser.tensors(), theirs.optimiser.tensors()),
        (ours.optimiser.moments(), theirs.optimiser.moments()),
        (ours.best, theirs.best),
    ]
    return all(
        a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
        for a, b in pairs
    )


def test_a_resumed_training_takes_the_same_steps(tmp_path, capsys):
    """To the bit, with its history and its best weights; one that lost a step does not."""
    made = training(tmp_path)
    made.note(1.5)

    resumed = resume(tmp_path, SETTINGS, None, CPU, "mend")

    assert resumed.optimiser.step == 3 and resumed.history == made.history
    assert "goes on from step 3" in capsys.readouterr().out
    assert equal(resumed, made) and resumed.best
    for step in (3, 4):
        further(resumed, step)
    further(made, 3)
    assert not equal(resumed, made)
    further(made, 4)
    assert equal(resumed, made)


def test_history_has_the_score_of_each_checkpoint(tmp_path):
    """A score that is no number has none, as JSON knows no NaN."""
    made = training(tmp_path, steps=1)
    for score in (0.5, None):
        made.note(score)

    history = json.loads(FlowFolder(tmp_path).history.read_text())

    assert history == made.history and [entry["step"] for entry in history] == [1, 1]
    assert 0 < history[0]["learning_rate"] <= 1e-3


def test_other_settings_are_refused_with_the_mend(tmp_path):
    """By the key that differs; nothing of the checkpoint is lost."""
    training(tmp_path).save()
    before = FlowFolder(tmp_path).checkpoint.read_bytes()

    with pytest.raises(Mismatch, match=r"rate: 0\.001 in the store, 0\.1 asked.*\n?.*remove it"):
        resume(tmp_path, SETTINGS | {"rate": 0.1}, None, CPU, "remove it")
    assert FlowFolder(tmp_path).checkpoint.read_bytes() == before


def test_nothing_to_go_on_from_is_a_training_from_the_start(tmp_path, capsys):
    """Where no checkpoint is, or a damaged one, which is named and goes."""
    assert resume(tmp_path, SETTINGS, None, CPU, "mend") is None
    assert weights_of(FlowFolder(tmp_path).checkpoint, SETTINGS, "mend") is None
    training(tmp_path).save()
    path = FlowFolder(tmp_path).checkpoint
    assert weights_of(path, SETTINGS, "mend") and capsys.readouterr().out == ""

    path.write_bytes(path.read_bytes()[:-10])

    assert resume(tmp_path, SETTINGS, None, CPU, "mend") is None
    assert "checkpoint.safetensors is damaged" in capsys.readouterr().out
    assert not path.exists()


def test_a_flow_is_there_when_its_weights_are_of_the_same_settings(tmp_path):
    """Others are refused with the key; a checkpoint alone is no flow."""
    save_weights(FlowFolder(tmp_path).checkpoint, {}, {"settings": {"rate": 0.1}})
    weights = FlowFolder(tmp_path).weights
    assert weights_of(weights, {"rate": 0.1}, "mend") is None
    save_weights(weights, {}, {"settings": {"rate": 0.1}})

    assert weights_of(weights, {"rate": 0.1}, "mend") is not None
    with pytest.raises(Mismatch, match="rate"):
        weights_of(weights, {"rate": 0.2}, "mend")
