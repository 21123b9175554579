"""A training's state on disk and back: what a killed one goes on from."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.optimiser import Optimiser
from hpcsbi.inference.summary.flow_coordinates import Representation
from hpcsbi.inference.summary.representations import make_representation
from hpcsbi.run.folder import FlowFolder
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.store.files import Damaged, load_weights, save_weights, write_atomically
from hpcsbi.store.machine import machine, machine_difference
from hpcsbi.store.settings import refuse_other_settings

__all__ = ["Training", "optimiser_of", "resume", "weights_of"]


@dataclass
class Training:
    """A training under way: all that a checkpoint holds.

    Attributes:
        best: weights of the best held-out score so far; empty without held-out pairs.
    """

    folder: Path
    settings: dict
    optimiser: Optimiser
    history: list[dict] = field(default_factory=list)
    best: dict[str, np.ndarray] = field(default_factory=dict)

    def note(self, score: float | None) -> None:
        """Write history and checkpoint, and keep the weights if they are the best so far."""
        entry = {"step": self.optimiser.step, "learning_rate": self.optimiser.learning_rate}
        if score is not None:
            entry["validation_log_prob"] = score
            before = [earlier["validation_log_prob"] for earlier in self.history]
            if math.isfinite(score) and not any(earlier >= score for earlier in before):
                self.best = {
                    name: values.copy() for name, values in self.optimiser.tensors().items()
                }
        self.history.append(entry)
        # The checkpoint comes last: a run killed between the two writes the history again.
        write_atomically(FlowFolder(self.folder).history, json.dumps(self.history).encode())
        self.save()

    def save(self) -> None:
        """Write the checkpoint."""
        header = {
            "settings": self.settings,
            "machine": machine(),
            "step": self.optimiser.step,
            "skipped": self.optimiser.skipped,
            "history": self.history,
        }
        best = {f"best.{name}": values for name, values in self.best.items()}
        tensors = self.optimiser.tensors() | self.optimiser.moments() | best
        save_weights(FlowFolder(self.folder).checkpoint, tensors, header)


def optimiser_of(settings: dict, representation: Representation, device: torch.device) -> Optimiser:
    """The fit that settings of `stages.train` ask for, before its first step."""
    arguments = {name: settings[name] for name in ("steps", "rate", "seed")}
    compiled = settings.get("compiled", False)
    return Optimiser(
        Flow(**settings["flow"]), representation, **arguments, device=device, compiled=compiled
    )


def resume(
    folder: Path, settings: dict, ssp: Ssp | None, device: torch.device, mend: str
) -> Training | None:
    """The training that a checkpoint left, on the step after it; None where there is none.

    Arguments:
        folder: of the flow.
        settings: as of `stages.train`; those of the checkpoint must be the same.
        ssp: the table engine, for representations that measure with it.
        device: where the training goes on.
        mend: what the user can do about other settings.

    Raises:
        Mismatch: the checkpoint was made with other settings.
    """
    path = FlowFolder(folder).checkpoint
    loaded = weights_of(path, settings, mend)
    if loaded is None:
        return None
    tensors, header = loaded
    numbers, model = _without_prefix("representation.", tensors), Model.of(settings)
    representation = make_representation(
        settings["representation"],
        model.prior,
        {name: torch.from_numpy(values) for name, values in numbers.items()},
        ssp,
        ssp and of_simulator(ssp, model.prior.names, model.noise),
    )
    optimiser = optimiser_of(settings, representation, device)
    optimiser.load(tensors, header["step"], header["skipped"])
    print(f"{folder}: goes on from step {optimiser.step}.")
    if text := machine_difference(header.get("machine", machine())):
        print(f"{folder}: {text}.", flush=True)
    return Training(
        folder, settings, optimiser, header["history"], _without_prefix("best.", tensors)
    )


def _without_prefix(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): values
        for name, values in tensors.items()
        if name.startswith(prefix)
    }


def weights_of(
    path: Path, settings: dict, mend: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Tensors and header of a training's file; None where it is not there, or was damaged and
    so is removed, to be made again.

    Arguments:
        path: a checkpoint, or the trained flow.
        settings: as of `stages.train`.
        mend: what the user can do about other settings.

    Raises:
        Mismatch: the file is of other settings.
    """
    if not path.exists():
        return None
    try:
        tensors, header = load_weights(path)
    except Damaged as error:
        print(f"{error} It is made again.", flush=True)
        path.unlink()
        return None
    refuse_other_settings(path, header["settings"], json.loads(json.dumps(settings)), mend)
    return tensors, header
