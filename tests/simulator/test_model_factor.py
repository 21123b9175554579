import numpy as np
import torch

from hpcsbi.grid import Grid
from hpcsbi.simulator.model_factor import draw_factor
from hpcsbi.simulator.random_tensors import RandomTensors
from hpcsbi.simulator.templates import SmoothError, line_curves, response_curves

WAVE = torch.from_numpy(Grid().wave)


def test_the_covariance_is_the_sum_of_all_templates():
    """Of 40 000 draws, to five of its standard errors; without one kind it is another."""
    n, smooth, learned = 40_000, SmoothError(300.0), 0.03 * torch.sin(WAVE / 500)[None].float()
    draw = RandomTensors(torch.Generator().manual_seed(0))
    factor = draw_factor(WAVE.float(), n, draw, 0.04, smooth, 0.02, 1.5, learned) - 1
    parts = [
        0.04 * response_curves(WAVE),
        0.02 * smooth.curves(WAVE.numpy()).dense(WAVE),
        1.5 * line_curves(WAVE),
        learned.double(),
    ]
    whole = sum(part.T @ part for part in parts).numpy()
    found = (factor.double().T @ factor.double() / n).numpy()
    sigma = np.sqrt(whole.diagonal())
    allowed = 5.5 * np.outer(sigma, sigma) * np.sqrt(2 / n)

    assert (np.abs(found - whole) < allowed).all()
    for part in parts:
        assert (np.abs(found - whole + (part.T @ part).numpy()) > allowed).any()
