import pytest
import torch

from hpcsbi.inference.network.flow import Flow, build_network
from hpcsbi.inference.network.networks import NETWORKS


@pytest.mark.parametrize("network", NETWORKS)
def test_seed_decides_the_weights(network):
    """Equal seeds, equal weights; the global generator is left as it was."""
    state = torch.get_rng_state()
    a, b, c = (build_network(Flow(network, 8, 2), 3, 2, seed).state_dict() for seed in (0, 0, 1))

    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)
    assert torch.equal(state, torch.get_rng_state())


def test_bad_networks_are_refused():
    """The value and the choices are named."""
    with pytest.raises(ValueError, match=r"'nsf'.*sbi_maf, zuko_maf"):
        Flow("nsf")
    with pytest.raises(ValueError, match=r"flow\.hidden is 1: .* 2 or more"):
        Flow(hidden=1)
