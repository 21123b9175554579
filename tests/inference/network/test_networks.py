"""Networks: densities that integrate to one, their inverses, and one that is added."""

import pytest
import torch

from hpcsbi.inference.network.flow import Flow, build_network
from hpcsbi.inference.network.networks import NETWORKS, Network, ZukoMaf


@pytest.mark.parametrize("network", NETWORKS)
def test_density_integrates_to_one(network):
    """In two dimensions the density of every context sums to one on a fine grid."""
    built = build_network(Flow(network, 16, 3), 2, 3, seed=0)
    axis = torch.linspace(-20, 20, 801)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    with torch.no_grad():
        density = built.log_prob(grid, torch.ones(1, 3).expand(len(grid), 3)).exp()

    assert abs(density.sum() * (axis[1] - axis[0]) ** 2 - 1) < 0.01


@pytest.mark.parametrize("network", NETWORKS)
def test_inverse_agrees_with_the_density(network):
    """log q of a draw by the change of variables is the density that the network gives it."""
    built = build_network(Flow(network, 16, 3), 4, 3, seed=1)
    generator = torch.Generator().manual_seed(0)
    z, context = (torch.randn(*s, generator=generator) for s in ((6, 5, 4), (5, 3)))
    with torch.no_grad():
        u, log_det = built.inverse()(context)(z)
        base = torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
        log_q = torch.stack([built.log_prob(draw, context) for draw in u])

    assert torch.allclose(base - log_det, log_q, atol=1e-4)


class Embedded(Network):
    """Two learned numbers of the context, and the flow of these."""

    def __init__(self, hidden, transforms, n_theta, n_context):
        super().__init__()
        self.embedding = torch.nn.Linear(n_context, 2)
        self.flow = ZukoMaf(hidden, transforms, n_theta, 2)

    def log_prob(self, u, context):
        return self.flow.log_prob(u, self.embedding(context))

    def inverse(self):
        invert = self.flow.inverse()
        return lambda context: invert(self.embedding(context))


def test_a_network_can_learn_an_embedding(monkeypatch):
    """A class of its own is enough: its score rises, and draws go through what it has learned."""
    monkeypatch.setitem(NETWORKS, "zuko_maf", Embedded)
    network = build_network(Flow("zuko_maf", 16, 2), 2, 40, seed=0)
    first = network.embedding.weight.detach().clone()
    adam = torch.optim.Adam(network.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(120):
        context = torch.randn(128, 40, generator=generator)
        truth = torch.stack([context[:, :20].mean(1), context[:, 20:].mean(1)], 1)
        loss = -network.log_prob(truth, context).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    with torch.no_grad():
        draws = network.inverse()(context)(torch.randn(50, 128, 2, generator=generator))[0]

    assert not torch.allclose(first, network.embedding.weight)
    assert sum(losses[-20:]) / 20 < losses[0] - 1
    assert torch.corrcoef(torch.stack([draws.mean(0)[:, 0], truth[:, 0]]))[0, 1] > 0.9


@pytest.mark.parametrize("network", NETWORKS)
def test_the_context_counts(network):
    """The same numbers have another density given another spectrum, each row its own."""
    built = build_network(Flow(network, 16, 3), 3, 4, seed=2)
    generator = torch.Generator().manual_seed(0)
    u, context = (torch.randn(6, size, generator=generator) for size in (3, 4))
    with torch.no_grad():
        log_prob, other = built.log_prob(u, context), built.log_prob(u, context.flip(0))
        alone = torch.cat([built.log_prob(u[[i]], context[[i]]) for i in range(6)])

    assert log_prob.shape == (6,) and torch.allclose(log_prob, alone, atol=1e-5)
    assert (abs(other - log_prob) > 1e-3).all()
