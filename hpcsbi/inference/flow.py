"""The flow: density of theta given what a representation measured of a spectrum.

Two networks: the masked autoregressive flow of the paper, as `sbi` builds it, and the wider and
shallower one of zuko that reaches more in the same time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch

from hpcsbi.arguments import AtLeast, Count, OneOf
from hpcsbi.errors import BadInput
from hpcsbi.inference.maf_inverse import Inverse, Map
from hpcsbi.seeds import torch_generator

__all__ = ["Flow", "build_network"]

NETWORKS = ("sbi_maf", "zuko_maf")


@dataclass(frozen=True)
class Flow:
    """Which network.

    Arguments:
        network: "sbi_maf" (the paper's: one hidden width per transform, tanh) or "zuko_maf"
            (two hidden layers per transform, ReLU).
        hidden: hidden units of a layer.
        transforms: number of autoregressive transforms.
    """

    network: Annotated[str, OneOf(NETWORKS)] = "zuko_maf"
    hidden: Annotated[int, AtLeast(2)] = 128
    transforms: Count = 5

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise BadInput(f"flow.network is {self.network!r}: choose from {', '.join(NETWORKS)}.")
        if self.hidden < 2 or self.transforms < 1:
            raise BadInput(
                f"flow.hidden={self.hidden}, flow.transforms={self.transforms}: at least 2 and 1."
            )


class _ZukoMaf(torch.nn.Module):
    def __init__(self, flow: Flow, n_theta: int, n_context: int) -> None:
        super().__init__()
        import zuko

        self.maf = zuko.flows.MAF(
            n_theta,
            n_context,
            transforms=flow.transforms,
            randperm=True,
            hidden_features=[flow.hidden] * 2,
        )

    def log_prob(self, u: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.maf(context).log_prob(u)

    def inverse(self) -> Inverse:
        """Gives, for a context, the map from base draws, with the weights of now: see `Inverse`."""
        return Inverse(self.maf)


class _SbiMaf(torch.nn.Module):
    def __init__(self, flow: Flow, n_theta: int, n_context: int) -> None:
        super().__init__()
        from sbi.neural_nets import posterior_nn

        build = posterior_nn(
            "maf",
            hidden_features=flow.hidden,
            num_transforms=flow.transforms,
            z_score_theta="none",
            z_score_x="none",
        )
        self.maf = build(torch.randn(100, n_theta), torch.randn(100, n_context)).net

    def log_prob(self, u: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.maf.log_prob(u, context)

    def inverse(self) -> Callable[[torch.Tensor], Map]:
        """See `_ZukoMaf.inverse`."""
        return lambda context: lambda z: self._invert(z, context)

    def _invert(self, z: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shape = z.shape
        context = context.expand(*shape[:-1], -1).reshape(-1, context.shape[-1])
        u, log_det = self.maf._transform.inverse(z.reshape(-1, shape[-1]), context)
        return u.reshape(shape), log_det.reshape(shape[:-1])


def build_network(flow: Flow, n_theta: int, n_context: int, seed: int) -> torch.nn.Module:
    """The network with its first weights, a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch_generator(seed).get_state())
        kind = {"zuko_maf": _ZukoMaf, "sbi_maf": _SbiMaf}[flow.network]
        return kind(flow, n_theta, n_context)
