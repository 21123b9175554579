"""Train: fit the flow to pairs of theta and spectrum, flows/<name>."""

import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch

from hpcsbi.arguments import Count, Natural, OneOf, Positive, checked
from hpcsbi.cluster.deadline import OutOfTime, leaves
from hpcsbi.errors import BadInput
from hpcsbi.inference.network.compilation import refuse_no_compiler
from hpcsbi.inference.network.devices import DEVICES, device_of
from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.optimiser import network_inputs
from hpcsbi.inference.network.training_pairs import (
    FreshPairs,
    Pairs,
    StoredPairs,
    Supply,
    batches,
    read_pairs,
)
from hpcsbi.inference.summary.representations import REPRESENTATIONS, fit_representation
from hpcsbi.run.checkpoint import Training, optimiser_of, resume, weights_of
from hpcsbi.run.flows import load_engine
from hpcsbi.run.folder import FlowFolder
from hpcsbi.run.noise_banks import stored_bank
from hpcsbi.run.training_folder import copy_table, remove_leftovers
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.table.pixel_dispersions import check_instrument
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.store.files import save_weights
from hpcsbi.store.locks import Lock, locked
from hpcsbi.store.machine import machine
from hpcsbi.store.opening import open_complete
from hpcsbi.store.provenance import code_of
from hpcsbi.store.store import Store
from hpcsbi.terminal import progress
from hpcsbi.threads import use_one_thread

__all__ = ["speed", "train"]

SOURCES = ("fresh", "stored")
LAST_STEPS = 10.0  # seconds: a step and its checkpoint
MEND = "Choose another name=... or train.out=..., or remove that folder."


@checked()
def train(
    out: str,
    training: str,
    table: str,
    source: Annotated[str, OneOf(SOURCES)],
    flow: Flow,
    representation: Annotated[str, OneOf(REPRESENTATIONS)],
    steps: Count,
    batch: Count,
    passes: Count,
    rate: Positive,
    seed: Natural,
    device: Annotated[str, OneOf(DEVICES)],
    compiled: bool,
    threads: Count,
    checkpoint: Count,
) -> None:
    """Fit the flow with a stated budget of steps; the learning rate ends at zero with it.

    Killed at any point and started again it goes on from the last checkpoint, to the same weights.
    Stored pairs can be learned by heart: of them the weights of the best held-out score are kept.

    Arguments:
        out: folder of the flow.
        training: the store of pairs; its held-out ones give the validation curve.
        table: the SSP table, for `source=fresh`.
        source: "stored" (pairs of `training`, streamed) or "fresh" (parameters, spectra from the
            table and noise drawn in the step; none is seen twice).
        flow: the network.
        representation: what the network sees, see `hpcsbi.inference.summary.representation`.
        steps: length of the run; quality comes with the decay of the rate, so that a run cut
            short is worth less than a short run.
        batch: pairs in a step.
        passes: how often pairs are learned from, in another order each time, before new ones are
            made: for representations whose pairs cost more than a step.
        rate: highest learning rate, reached after 200 steps.
        seed: seed of weights and draws.
        device: where the network is trained and fresh pairs are made: "cpu", "cuda" or "auto", a
            GPU where there is one. Each gives weights of its own.
        compiled: take the steps by machine code made of the network, which takes a C++ compiler and
            up to a minute at every start. For long runs; the last bits are others.
        threads: threads of the matrix products; the weights depend on it in their last bits.
        checkpoint: steps between checkpoints.

    Raises:
        ValueError: unknown source or representation.
        Mismatch: `out` holds a flow made with other settings.
        Held: another job trains this flow.
        BadInput: no such device or no compiler, or a GPU whose memory the batch does not fit into.
        OutOfTime: the job ends first; the checkpoint is written, and the same command goes on.
    """
    torch.set_num_threads(threads)
    pairs, where = open_complete(training, "augment"), device_of(device, "train")
    if compiled:
        refuse_no_compiler()
    settings = _settings(
        pairs, source, flow, representation, steps, batch, passes, rate, seed, where, compiled
    )
    folder = Path(out)
    if Path(table).exists():
        settings["table"] = open_complete(table, "tabulate").settings
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as lock:
        done = weights_of(FlowFolder(folder).weights, settings, MEND) is not None
        remove_leftovers(folder, done)
        if done:
            if Path(table).exists():
                copy_table(table, folder)
            print(f"{folder}: trained already.")
        else:
            _train(folder, settings, pairs, table, where, checkpoint, lock)


def _settings(
    pairs: Store,
    source: str,
    flow: Flow,
    representation: str,
    steps: int,
    batch: int,
    passes: int,
    rate: float,
    seed: int,
    device: torch.device,
    compiled: bool,
) -> dict:
    """What decides the weights; see `train`."""
    settings = {
        "code": code_of("train"),
        "training": pairs.settings,
        "source": source,
        "flow": asdict(flow),
        "representation": representation,
        "steps": steps,
        "batch": batch,
        "rate": rate,
        "seed": seed,
    }
    if device.type != "cpu":
        settings["device"] = device.type
    if compiled:
        settings["compiled"] = True
    return settings if passes == 1 else settings | {"passes": passes}


def speed(
    training: str,
    table: str,
    source: str,
    flow: Flow,
    representation: str,
    batch: int,
    passes: int,
    device: str,
    compiled: bool,
    threads: int,
    warm: int = 10,
    steps: int = 50,
) -> float:
    """Steps a second of a training, tried without writing anything; other arguments as of `train`.

    Arguments:
        warm: steps that are not counted, which load and compile.
        steps: steps that are, or a block's if it has more.
    """
    use_one_thread()
    torch.set_num_threads(threads)
    pairs, where = open_complete(training, "augment"), device_of(device, "train")
    settings = _settings(
        pairs, source, flow, representation, warm + steps, batch, passes, 1e-4, 0, where, compiled
    )
    with TemporaryDirectory() as folder:
        run, supply = _prepared(Path(folder), settings, pairs, table, where)
    steps = max(steps, passes * supply.batches_in(0))  # the making of a block counts
    began = 0.0
    for u, context in batches(supply, run.optimiser.representation, 0, warm + steps, passes):
        run.optimiser.update(u, context)
        if run.optimiser.step == warm:
            began = time.monotonic()
    return steps / (time.monotonic() - began)


def _prepared(
    folder: Path, settings: dict, pairs: Store, table: str, device: torch.device
) -> tuple[Training, Supply]:
    prior = Model.of(pairs.settings).prior
    ssp = load_engine(table, prior) if Path(table).exists() else None
    supply = _supply(settings["source"], pairs, ssp, settings["batch"], settings["seed"])
    run = resume(folder, settings, ssp, device, MEND) or _begin(
        folder, settings, supply, ssp, device
    )
    return run, supply


def _train(
    folder: Path,
    settings: dict,
    pairs: Store,
    table: str,
    device: torch.device,
    checkpoint: int,
    lock: Lock,
) -> None:
    try:
        run, supply = _prepared(folder, settings, pairs, table, device)
        _go_on(run, supply, _held_out(pairs), checkpoint, lock)
    except torch.OutOfMemoryError as error:
        batch = settings["batch"]
        raise BadInput(
            f"{folder}: the memory of the {device.type} device does not hold train.batch={batch}: "
            f"take train.batch={max(batch // 2, 1)} and another name=... (a flow has one batch)."
        ) from error
    if Path(table).exists():
        copy_table(table, folder)
    header = {"settings": settings, "notice": pairs.attributes["notice"], "machine": machine()}
    # Fresh pairs cannot be learned by heart; of stored ones the best weights were kept on the way.
    stored = settings["source"] == "stored"
    tensors = run.best if stored and run.best else run.optimiser.tensors()
    save_weights(FlowFolder(folder).weights, tensors, header)
    remove_leftovers(folder, done=True)


def _begin(
    folder: Path, settings: dict, supply: Supply, ssp: Ssp | None, device: torch.device
) -> Training:
    """A training before its first step; what it measures by is fitted on the processor."""
    model = Model.of(settings)
    curve = torch.tensor(dust_curve(supply.wave.numpy(), model.physics.dust_type)).float()
    likelihood = ssp and of_simulator(ssp, model.prior.names, model.noise)
    representation = fit_representation(
        settings["representation"], supply.prior, curve, ssp, supply.sample, likelihood
    )
    return Training(folder, settings, optimiser_of(settings, representation, device))


def _go_on(
    run: Training, supply: Supply, held_out: Pairs | None, checkpoint: int, lock: Lock
) -> None:
    """Train to the end of the budget."""
    optimiser = run.optimiser
    representation, steps = optimiser.representation, optimiser.steps
    first, began, passes = optimiser.step, time.monotonic(), run.settings.get("passes", 1)
    inputs = None if held_out is None else network_inputs(representation, held_out)
    with progress(steps, first, "train", "step") as bar:
        for u, context in batches(supply, representation, first, steps, passes):
            optimiser.update(u, context)
            bar.update()
            made, seconds = optimiser.step - first, time.monotonic() - began
            lock.note(step=optimiser.step, steps=steps, made=made, seconds=seconds)
            if optimiser.step % checkpoint == 0 or optimiser.step == steps:
                score = None if inputs is None else optimiser.score(inputs)
                run.note(score)
                if score is not None:
                    bar.set_postfix(held_out=f"{score:.3f} nat")
            elif not leaves(LAST_STEPS):
                run.save()
                raise OutOfTime(f"{run.folder}: stopped at step {optimiser.step} of {steps}")
    if optimiser.skipped:
        print(f"{run.folder}: {optimiser.skipped} steps had no finite loss and were left out.")


def _supply(source: str, pairs: Store, ssp: Ssp | None, batch: int, seed: int) -> Supply:
    model = Model.of(pairs.settings)
    wave = torch.from_numpy(pairs.read("wave")).float()
    check_instrument(model.noise, model.prior.columns, ssp and ssp.kinematics)
    if source == "fresh" and ssp is None:
        raise FileNotFoundError("train.source=fresh needs the table: run jobs/tabulate.py first.")
    if source == "fresh" and "labels" in pairs.settings:
        raise BadInput(f"{pairs.path} has augment.labels=nearest: take train.source=stored.")
    if source == "fresh":
        noise = stored_bank(model.noise, pairs)
        return FreshPairs(model.prior, ssp, noise, wave, batch, seed)
    rows = split_of(pairs.settings, pairs.rows, "train")
    if rows.stop == 0:
        raise BadInput(
            f"{pairs.path} holds no training pairs (it was made with augment.copies=0): "
            "train with train.source=fresh, or augment with copies > 0."
        )
    return StoredPairs(model.prior, pairs, rows, wave, batch, seed)


def _held_out(pairs: Store) -> Pairs | None:
    rows = split_of(pairs.settings, pairs.rows, "validation")
    if rows.start == rows.stop:
        return None
    return read_pairs(Model.of(pairs.settings).prior, pairs, rows)
