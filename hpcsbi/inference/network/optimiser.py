"""The fit of a network to batches: optimiser, schedule, and a state from which it goes on."""

import math
from collections.abc import Mapping

import numpy as np
import torch

from hpcsbi.inference.network.compilation import as_machine_code
from hpcsbi.inference.network.flow import Flow, build_network
from hpcsbi.inference.network.training_pairs import Pairs, parts_for
from hpcsbi.inference.summary.flow_coordinates import Representation

__all__ = ["Optimiser", "network_inputs"]

WARM_UP = 200
CLIP = 5.0


class Optimiser:
    """A network and Adam under a stated budget of steps.

    The rate rises for 200 steps and falls to zero along half a cosine that ends with the budget.

    Arguments:
        flow: the network.
        representation: fitted; it travels with the weights.
        steps: the budget.
        rate: highest learning rate.
        seed: seed of the first weights.
        device: where the network, the representation and its table go, and batches are taken.
        compiled: take the steps by machine code made of the network (torch.compile): faster after
            some seconds to a minute of compiling, with other last bits.

    Attributes:
        step: steps taken.
        skipped: steps without a finite loss, in which nothing was changed.
    """

    def __init__(
        self,
        flow: Flow,
        representation: Representation,
        steps: int,
        rate: float,
        seed: int,
        device: torch.device | str = "cpu",
        compiled: bool = False,
    ) -> None:
        self.representation, self.steps, self.rate = representation.to(device), steps, rate
        n_target = len(representation.inferred)
        network = build_network(flow, n_target, representation.n_context, seed)
        self.network = network.to(device)
        log_prob = self.network.log_prob
        self._log_prob = as_machine_code(log_prob) if compiled else log_prob
        self.adam = torch.optim.Adam(self.network.parameters(), lr=rate, fused=True)
        self.step = self.skipped = 0

    @property
    def learning_rate(self) -> float:
        """Rate of the next step."""
        rise = min(1.0, (self.step + 1) / WARM_UP)
        return self.rate * rise * (1 + math.cos(math.pi * self.step / self.steps)) / 2

    def update(self, u: torch.Tensor, context: torch.Tensor) -> float:
        """Take one step; returns the loss, NaN if it was skipped."""
        for group in self.adam.param_groups:
            group["lr"] = self.learning_rate
        self.step += 1
        loss = -self._log_prob(u, context).mean()
        self.adam.zero_grad()
        if not torch.isfinite(loss):
            self.skipped += 1
            return math.nan
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.adam.step()
        return float(loss.detach())

    @torch.no_grad()
    def score(self, inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> float:
        """Mean log density of the truths in `Prior.coordinates`, given their `network_inputs`."""
        u, context, log_det = inputs
        return float((self.network.log_prob(u, context) + log_det).mean())

    def tensors(self) -> dict[str, np.ndarray]:
        """Weights ("network.*") and the representation's numbers ("representation.*")."""
        parts = {"network": self.network, "representation": self.representation}
        return {
            f"{part}.{name}": values.detach().cpu().contiguous().numpy()
            for part, module in parts.items()
            for name, values in module.state_dict().items()
        }

    def moments(self) -> dict[str, np.ndarray]:
        """State of Adam ("optimiser.*")."""
        state = self.adam.state_dict()["state"]
        return {
            f"optimiser.{i}.{name}": np.atleast_1d(torch.as_tensor(values).cpu().numpy())
            for i, content in state.items()
            for name, values in content.items()
        }

    def load(self, tensors: Mapping[str, np.ndarray], step: int, skipped: int) -> None:
        """Go back to the state that `tensors` and `moments` gave."""
        self.step, self.skipped = step, skipped
        weights, state = {}, {}
        for key, values in tensors.items():
            part, _, name = key.partition(".")
            if part == "network":
                weights[name] = torch.from_numpy(values)
            elif part == "optimiser":
                i, _, moment = name.partition(".")
                value = torch.from_numpy(values)
                state.setdefault(int(i), {})[moment] = value[0] if moment == "step" else value
        self.network.load_state_dict(weights)
        groups = self.adam.state_dict()["param_groups"]
        self.adam.load_state_dict({"state": state, "param_groups": groups})


@torch.no_grad()
def network_inputs(
    representation: Representation, pairs: Pairs
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Flow coordinates, context and log-determinant of the pairs that can be read."""
    parts = []
    for part in parts_for(representation, pairs):
        good = representation.usable(*part[1:3])
        c, f, i, *instrument = (values[good] for values in part)
        context, shift = representation.context(f, i, c[:, representation.given], *instrument)
        u, log_det = representation.to_flow(c, shift)
        parts.append((u, context, log_det))
    return tuple(torch.cat(values) for values in zip(*parts, strict=True))
