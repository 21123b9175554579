import pytest
import torch

from hpcsbi.inference.network.flow import Flow, build_network
from hpcsbi.inference.network.maf_inverse import Inverse


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
        u, log_det = Inverse(network.maf)(context)(z)
        expected, expected_log_det = network.maf(context).transform.inv.call_and_ladj(z)

    scale = expected.abs().clamp_min(1)
    assert ((u - expected).abs() / scale).max() < 1e-5
    assert (log_det - expected_log_det).abs().max() < 1e-4


@pytest.mark.slow
def test_a_spectrum_keeps_its_bits():
    """Alone or among others, with more draws or fewer, a draw is the same to the last bit."""
    network = build_network(Flow(), 5, 28, seed=2)
    generator = torch.Generator().manual_seed(2)
    z, context = (torch.randn(*s, generator=generator) for s in ((150, 7, 5), (7, 28)))
    inverse = network.inverse()
    u, log_det = inverse(context)(z)

    for some in (slice(0, 150), slice(30, 131)):
        one = slice(4, 5)
        alone, log_det_alone = inverse(context[one])(z[some, one])
        assert torch.equal(alone, u[some, one])
        assert torch.equal(log_det_alone, log_det[some, one])


def test_what_is_not_finite_stays_where_it_is():
    """A base draw of NaN spoils its own row, a context of NaN its own spectrum, and no other."""
    network = build_network(Flow(hidden=16), 5, 3, seed=3)
    z, context = torch.zeros(70, 2, 5), torch.ones(2, 3)
    z[66, 1, 0] = torch.nan
    u, log_det = network.inverse()(context)(z)

    spoiled = u.isnan().any(-1) | log_det.isnan()
    assert spoiled[66, 1] and spoiled.sum() == 1

    context[0, 1] = torch.nan
    u, log_det = network.inverse()(context)(z[:60])
    assert u[:, 0].isnan().all() and log_det[:, 0].isnan().all()
    assert u[:, 1].isfinite().all() and log_det[:, 1].isfinite().all()


def test_inverse_undoes_the_flow():
    """Base draws that are inverted and sent through the flow come back."""
    network = build_network(Flow("zuko_maf", 16, 4), 5, 3, seed=1)
    generator = torch.Generator().manual_seed(1)
    z, context = (torch.randn(*s, generator=generator) for s in ((20, 2, 5), (2, 3)))

    with torch.no_grad():
        u, _ = Inverse(network.maf)(context)(z)
        back = network.maf(context).transform(u)

    assert (back - z).abs().max() < 1e-4
