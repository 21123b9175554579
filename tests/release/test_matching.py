"""Objects of two catalogues find each other, and nobody else."""

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.release.matching import match_names, match_places

NAMES = st.lists(st.sampled_from([0, 7, 8, 9, 2**63 + 1]), max_size=6)


@given(NAMES, NAMES)
def test_names_match_one_to_one(first, second):
    """Equal names that each side has once, all of them."""
    rows = match_names(np.array(first, np.uint64), np.array(second, np.uint64))

    assert rows[0].tolist() == sorted(rows[0])
    assert [first[i] for i in rows[0]] == [second[j] for j in rows[1]]
    both = {n for n in {*first} & {*second} - {0} if first.count(n) == second.count(n) == 1}
    assert {first[i] for i in rows[0]} == both and len(rows[0]) == len(both)


def places(n, seed):
    rng = np.random.default_rng(seed)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    return np.stack([rng.uniform(0, 360, n), dec], 1)


def test_places_are_those_of_astropy():
    """Rows and distances, of neighbours on the whole sky, poles and 0 h among them."""
    first = np.concatenate([places(500, 0), [[0.0001, 10], [10, 89.9999], [np.nan, 5]]])
    moved = [[359.9999, 10], [190, 89.9999]]
    second = np.concatenate([first[:300] + np.array([0, 0.5 / 3600]), places(300, 1), moved])
    rows = match_places(first, second, 1.0)

    np.testing.assert_array_equal(rows[0], [*range(300), 500, 501])
    np.testing.assert_array_equal(rows[1], [*range(300), 600, 601])
    one, other = (
        SkyCoord(*side[index].T, unit=units.deg)
        for side, index in zip((first, second), rows[:2], strict=True)
    )
    np.testing.assert_allclose(rows[2], one.separation(other).arcsec, atol=1e-6)


def test_of_two_candidates_the_nearer_one_counts():
    """A match is of each other's nearest: no row twice."""
    first = np.array([[10.0, 0.0], [10.0, 0.4 / 3600]])
    rows = match_places(first, np.array([[10.0, 0.3 / 3600]]), 1.0)

    assert rows[0].tolist() == [1] and rows[1].tolist() == [0]
    assert not len(match_places(first, np.full((1, 2), np.nan), 1.0)[0])
