import pytest
import torch

from hpcsbi.flow import Flow, build_network
from hpcsbi.sampler import Inverse


@pytest.mark.parametrize(("n_theta", "hidden"), [(2, 5), (5, 25), (7, 64), (5, 4), (7, 2)])
def test_inverse_is_that_of_the_library(n_theta, hidden):
    """One pass gives the draws and densities that zuko finds in one pass per dimension.

    Also with fewer hidden units than dimensions, when some dimensions have no unit of their own.
    """
    network = build_network(Flow("zuko_maf", hidden, 3), n_theta, 4, seed=n_theta)
    for weights in network.parameters():
        weights.data *= 1.5
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(50, 3, n_theta, generator=generator)
    context = torch.randn(3, 4, generator=generator)

    with torch.no_grad():
        u, log_det = Inverse(network.maf)(z, context)
        expected, expected_log_det = network.maf(context).transform.inv.call_and_ladj(z)

    scale = expected.abs().clamp_min(1)
    assert ((u - expected).abs() / scale).max() < 1e-5
    assert (log_det - expected_log_det).abs().max() < 1e-4


def test_inverse_undoes_the_flow():
    """Base draws that are inverted and sent through the flow come back."""
    network = build_network(Flow("zuko_maf", 16, 4), 5, 3, seed=1)
    generator = torch.Generator().manual_seed(1)
    z, context = (torch.randn(*s, generator=generator) for s in ((20, 2, 5), (2, 3)))

    with torch.no_grad():
        u, _ = Inverse(network.maf)(z, context)
        back = network.maf(context).transform(u)

    assert (back - z).abs().max() < 1e-4
