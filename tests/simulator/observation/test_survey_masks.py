import numpy as np
import pytest
import torch

from hpcsbi.grid import REFERENCE_WIDTH, Grid
from hpcsbi.simulator.observation.instruments import WINDOWS
from hpcsbi.simulator.observation.random_tensors import RandomTensors
from hpcsbi.simulator.observation.survey_masks import draw_valid, odd_masks

GRIDS = (Grid(), Grid(pixels=1151), Grid(pixels=1347, spacing="log"))


def places(grid: Grid) -> np.ndarray:
    return (grid.wave - grid.wave[0]) / REFERENCE_WIDTH


def drawn(grid: Grid, n: int, cut: float, least: int = 20, seed: int = 0) -> np.ndarray:
    """Masks of the first window at redshifts up to 0.8."""
    zred = torch.linspace(0, 0.8, n)[:, None]
    observed = torch.from_numpy(grid.wave).float() * (1 + zred)
    window = torch.tensor(WINDOWS[0]).expand(n, 2)
    draw = RandomTensors(torch.Generator().manual_seed(seed))
    place = torch.from_numpy(places(grid)).float()
    return draw_valid(observed, place, window, least, cut, draw).numpy()


def test_no_pixel_beyond_the_window_is_kept():
    """But where the window alone is too little: then everything is."""
    grid = Grid()
    observed = grid.wave * (1 + np.linspace(0, 0.8, 500)[:, None])
    inside = (observed >= WINDOWS[0][0]) & (observed <= WINDOWS[0][1])
    valid = drawn(grid, 500, 0.3)
    short = inside.sum(1) < 60

    assert not (valid & ~inside).any() and (valid.sum(1) >= 20).all()
    assert short.any() and drawn(grid, 500, 0.3, 60)[short].all()


@pytest.mark.parametrize("grid", GRIDS)
def test_its_own_masks_are_not_odd(grid):
    """At most one in a thousand, cut to a stretch or not."""
    for cut in (0.0, 0.5):
        assert odd_masks(drawn(grid, 4000, cut), places(grid)).mean() <= 1e-3


@pytest.mark.parametrize("grid", GRIDS)
def test_other_masks_are_odd(grid):
    """Every second stretch of 84 Angstrom, three long gaps, one of 60 pixels of 42 Angstrom."""
    place = places(grid)
    combed = (place // 2).astype(int) % 2 == 0
    three = (place % 40) < 22
    long = (place < 40) | (place >= 100)

    assert odd_masks(np.stack([combed, three, long]), place).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_ends_that_are_not_seen_are_not_odd(grid):
    """Nor are two gaps of 20 beside each other or apart, a whole spectrum, or none."""
    place = places(grid)
    stretch = (place > 30) & (place < 70)
    beside = (place < 40) | (place >= 80)
    apart = ((place < 20) | (place >= 40)) & ((place < 80) | (place >= 100))
    whole, none = np.full((2, grid.pixels), [[True], [False]])

    assert not odd_masks(np.stack([stretch, beside, apart, whole, none]), place).any()
