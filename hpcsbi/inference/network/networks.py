"""The networks that a flow can be: each a class with one interface, registered in one place.

The masked autoregressive flow of the paper, as `sbi` builds it, and the wider and shallower one of
zuko that reaches more in the same time.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from hpcsbi.inference.network.maf_inverse import Inverse, Map

__all__ = ["NETWORKS", "Network"]


class Network(torch.nn.Module, ABC):
    """A conditional density, and how it is drawn from; a new one is a class and a line below.

    It is made of `hidden` units of a layer, a number of `transforms`, `n_theta` (numbers that are
    inferred) and `n_context` (numbers that are known of a spectrum). It may begin with an embedding
    of the context that it learns: the representation "pixels" shows it the whole spectrum.
    """

    @abstractmethod
    def log_prob(self, u: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Log density of u, shape (n, n_theta), given contexts (n, n_context); shape (n,)."""

    @abstractmethod
    def inverse(self) -> Callable[[torch.Tensor], Map]:
        """Gives, for contexts (objects, n_context), the map from base draws (n, objects, n_theta).

        With the weights of now, where these are. The map returns u and the log-determinant of its
        slope.
        """


class ZukoMaf(Network):
    """Two hidden layers per transform, ReLU (zuko); on a processor drawn from by compiled loops."""

    def __init__(self, hidden: int, transforms: int, n_theta: int, n_context: int) -> None:
        super().__init__()
        import zuko

        self.maf = zuko.flows.MAF(
            n_theta,
            n_context,
            transforms=transforms,
            randperm=True,
            hidden_features=[hidden] * 2,
        )

    def log_prob(self, u: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """See `Network.log_prob`."""
        return self.maf(context).log_prob(u)

    def inverse(self) -> Callable[[torch.Tensor], Map]:
        """See `Network.inverse`."""
        if next(self.parameters()).device.type == "cpu":
            return Inverse(self.maf)
        return lambda context: self.maf(context).transform.inv.call_and_ladj


class SbiMaf(Network):
    """The paper's: one hidden width per transform, tanh (sbi)."""

    def __init__(self, hidden: int, transforms: int, n_theta: int, n_context: int) -> None:
        super().__init__()
        from sbi.neural_nets import posterior_nn

        build = posterior_nn(
            "maf",
            hidden_features=hidden,
            num_transforms=transforms,
            z_score_theta="none",
            z_score_x="none",
        )
        self.maf = build(torch.randn(100, n_theta), torch.randn(100, n_context)).net

    def log_prob(self, u: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """See `Network.log_prob`."""
        return self.maf.log_prob(u, context)

    def inverse(self) -> Callable[[torch.Tensor], Map]:
        """See `Network.inverse`."""
        return lambda context: lambda z: self._invert(z, context)

    def _invert(self, z: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shape = z.shape
        context = context.expand(*shape[:-1], -1).reshape(-1, context.shape[-1])
        u, log_det = self.maf._transform.inverse(z.reshape(-1, shape[-1]), context)
        return u.reshape(shape), log_det.reshape(shape[:-1])


NETWORKS: dict[str, type[Network]] = {"sbi_maf": SbiMaf, "zuko_maf": ZukoMaf}
