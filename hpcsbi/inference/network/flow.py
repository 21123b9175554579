"""The flow: density of theta given what a representation measured of a spectrum."""

from dataclasses import dataclass
from typing import Annotated

import torch

from hpcsbi.arguments import AtLeast, Count, OneOf, refuse_wrong
from hpcsbi.inference.network.networks import NETWORKS, Network
from hpcsbi.seeds import torch_generator

__all__ = ["Flow", "build_network"]


@dataclass(frozen=True)
class Flow:
    """Which network.

    Arguments:
        network: one of `networks.NETWORKS`: "sbi_maf" is the paper's.
        hidden: hidden units of a layer.
        transforms: number of autoregressive transforms.

    Raises:
        BadInput: what the annotations do not allow.
    """

    network: Annotated[str, OneOf(tuple(NETWORKS))] = "zuko_maf"
    hidden: Annotated[int, AtLeast(2)] = 128
    transforms: Count = 5

    def __post_init__(self) -> None:
        refuse_wrong(Flow, vars(self), "flow")


def build_network(flow: Flow, n_theta: int, n_context: int, seed: int) -> Network:
    """The network with its first weights, a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch_generator(seed).get_state())
        return NETWORKS[flow.network](flow.hidden, flow.transforms, n_theta, n_context)
