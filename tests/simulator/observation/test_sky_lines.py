"""Sky lines in the rest frame of an object: where they lie, and that none of them is lost."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.grid import Grid
from hpcsbi.simulator.observation.sky_lines import SKY_GROUPS, sky_shares

GRIDS = (Grid(), Grid(pixels=1151), Grid(pixels=1347, spacing="log"))


@pytest.mark.parametrize("grid", GRIDS)
@given(zred=st.floats(-0.01, 5))
def test_shares_add_up_to_the_width_of_their_lines(grid, zred):
    """Observed Angstrom, where the grid holds a group whole; none is where no line is."""
    shares = sky_shares(torch.from_numpy(grid.wave), torch.tensor([zred]).double())[0].numpy()
    edges = grid.edges * (1 + zred)

    assert shares.min() >= 0 and shares.max() <= 1 + 1e-12
    for share, intervals in zip(shares, SKY_GROUPS.values(), strict=True):
        inside = [np.clip(interval, edges[0], edges[-1]) for interval in intervals]
        width = sum(last - first for first, last in inside)
        assert (share * np.diff(edges)).sum() == pytest.approx(width, rel=1e-3, abs=0.05)
        away = np.all([(edges[1:] < a - 1) | (edges[:-1] > b + 1) for a, b in intervals], axis=0)
        assert not share[away].any()


def test_lines_move_through_the_rest_frame():
    """5579 Angstrom lie at 4463 at a redshift of 0.25; groups do not overlap."""
    grid = GRIDS[1]
    shares = sky_shares(torch.from_numpy(grid.wave), torch.tensor([0.0, 0.25]))
    weights = shares[:, 0] / shares[:, 0].sum(1, keepdim=True)

    middles = (weights * torch.from_numpy(grid.wave)).sum(1).tolist()
    assert middles == pytest.approx([5578.9, 5578.9 / 1.25], abs=0.2)
    assert shares.sum(1).max() <= 1 + 1e-9
    intervals = sorted(pair for group in SKY_GROUPS.values() for pair in group)
    assert all(a[1] <= b[0] for a, b in pairwise(intervals))
