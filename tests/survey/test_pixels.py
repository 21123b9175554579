"""Edges of native pixels, and the gaps between them."""

import numpy as np
import pytest
from survey_files import NATIVE

from hpcsbi.survey.pixels import edges_of, native_pixels, too_wide


@pytest.mark.parametrize(
    "wave", [[4000.0], [4000.0, 3999.0], [0.0, 1.0], [4000.0, np.nan], [4000.0, 4000.0]]
)
def test_bad_wavelengths_are_refused(wave):
    """Wavelengths that do not increase, or are not numbers, are refused with the mend."""
    with pytest.raises(ValueError, match="wavelengths"):
        edges_of(np.array(wave))


def test_random_removals_are_gaps():
    """With 30 % of the pixels gone at random no pixel grows, but for rounding."""
    wave = NATIVE["linear"]
    keep = np.random.default_rng(0).random(len(wave)) > 0.3

    edges, places = native_pixels(wave[keep])

    np.testing.assert_allclose(np.diff(edges)[places], 0.8, rtol=1e-6)
    np.testing.assert_allclose((0.5 * (edges[1:] + edges[:-1]))[places], wave[keep], rtol=1e-9)


@pytest.mark.parametrize(
    "wave",
    [
        np.concatenate([np.arange(3000, 5500, 0.2), np.arange(5500.35, 9000, 0.5)]),
        6000 + np.cumsum(np.geomspace(20, 200, 400)),
        np.array([4000.0, 5000.0, 7000.0]),
        10.0 ** (3.58 + 1e-4 * np.arange(3848)).astype(np.float32),
    ],
)
def test_steps_that_change_are_no_gaps(wave):
    """Two arms that meet, a prism, a few points and rounded wavelengths have no gaps."""
    assert native_pixels(wave)[1] is None


def test_edges_lie_half_way():
    """Each pixel's centre is the middle of its edges where steps are equal."""
    edges = edges_of(NATIVE["linear"])

    np.testing.assert_allclose(0.5 * (edges[1:] + edges[:-1]), NATIVE["linear"], rtol=1e-12)
    np.testing.assert_allclose(np.diff(edges), 0.8, rtol=1e-9)


def test_a_gap_is_a_pixel_of_its_own():
    """What was cut out is covered by no pixel beside it; a whole spectrum has no gap."""
    wave = NATIVE["linear"][:200]
    keep = np.delete(np.arange(200), slice(80, 90))

    edges, places = native_pixels(wave[keep])

    assert native_pixels(wave)[1] is None
    (gap,) = set(range(len(edges) - 1)) - set(places.tolist())
    np.testing.assert_allclose(edges[gap : gap + 2], edges_of(wave)[[80, 90]], rtol=1e-12)


def test_pixels_wider_than_the_grid_are_told_by_row():
    """The grid's pixels grow with redshift, in the observed frame; a pixel as wide is none."""
    edges = np.array([4000.0, 4010.0, 4030.0, 4071.0])

    wide = too_wide(edges, np.array([0.0, 1.0, 9.0]), np.array([4000.0, 4020.0, 4040.0]))

    assert wide.tolist() == [[False, False, True], [False, False, True], [False] * 3]


def test_each_pixel_is_held_against_the_output_at_its_place():
    """Logarithmic pixels of three quarters of the output's are fine at the red end, too."""
    output = np.exp(np.linspace(np.log(4000), np.log(9000), 1001))
    width = np.log(9000 / 4000) / 1000
    for share, wide in ((0.75, False), (1.0, False), (1.5, True)):
        native = np.exp(np.arange(np.log(4000), np.log(9000), share * width))

        told = too_wide(native * 1.3, np.array([0.3]), output)

        assert (told == wide).all(), share
    equal = np.arange(4000, 9000, 4.0)  # wider than the output's first pixel, not than its last
    told = too_wide(equal, np.zeros(1), output)[0]
    assert told[0] and not told[-1] and (np.diff(told.astype(int)) <= 0).all()
