import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.grid import Grid


def test_default_is_that_of_the_paper():
    """138 pixels whose centres run from 3750 to 9500 Angstrom."""
    assert np.array_equal(Grid().wave, np.linspace(3750, 9500, 138))


@given(
    first=st.floats(1000, 9000),
    span=st.floats(100, 10_000),
    pixels=st.integers(20, 2000),
)
def test_pixels_tile_the_range(first, span, pixels):
    """Edges enclose the centres, and the fine points of a pixel have its centre as their mean."""
    grid = Grid(first, first + span, pixels)

    assert np.allclose((grid.edges[1:] + grid.edges[:-1]) / 2, grid.wave)
    assert np.allclose(np.diff(grid.edges), grid.width)
    assert np.allclose(grid.fine.mean(1), grid.wave)
    assert (grid.fine > grid.edges[:-1, None]).all() and (grid.fine < grid.edges[1:, None]).all()
    assert grid.fine.shape[1] == 1 or np.diff(grid.fine[0]).max() <= 2 * (1 + 1e-9)


def test_fine_points_integrate_the_narrowest_line():
    """The mean over fine points of a 350 km/s line is that of its integral, wherever it lies."""
    grid, sigma = Grid(), 3750 * 350 / 299792.458
    from scipy.stats import norm

    for centre in np.linspace(3750, 3834, 17):
        exact = np.diff(norm.cdf(grid.edges[:4], centre, sigma)) / grid.width
        mean = norm.pdf(grid.fine[:3], centre, sigma).mean(1)
        assert abs(mean - exact).max() < 5e-3 * exact.max()


def test_bad_grids_are_refused():
    """Too few pixels, a reversed range and an unknown sampling have their own words."""
    with pytest.raises(ValueError, match="at least 20 pixels"):
        Grid(3750, 9500, 10)
    with pytest.raises(ValueError, match="between 1000 and 25000"):
        Grid(9500, 3750, 138)
    with pytest.raises(ValueError, match="choose 'mean' or 'point'"):
        Grid(sampling="median")


def test_settings_make_an_equal_grid():
    """What travels in the stores is enough to make the grid again."""
    grid = Grid(4000, 7000, 600, "point")

    assert Grid(**grid.settings()) == grid
