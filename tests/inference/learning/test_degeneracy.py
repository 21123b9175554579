import numpy as np
import pytest
import tiny
import torch

from hpcsbi.inference.learning.degeneracy import angles_to_theta
from hpcsbi.run.flows import load_engine


def test_what_theta_does_has_no_angle_and_noise_has_a_large_one():
    """Dust's own curve, dust and a constant, and white noise, in a space of five of 138."""
    prior = tiny.prior()
    engine = load_engine(tiny.TABLE, prior)
    theta = prior.sample(30, np.random.default_rng(0))
    reddening = engine.k.double().numpy()
    noise = np.random.default_rng(1).normal(size=138)
    angles = angles_to_theta(np.stack([reddening, 0.1 - reddening, noise]), engine, prior, theta)

    assert angles[:2] == pytest.approx(0, abs=0.5)
    assert angles[2] > 60
    without = angles_to_theta(np.stack([reddening]), engine, prior, theta, ("dust2",))
    assert without[0] > 2 and torch.is_tensor(engine.k)
