"""Spectra of one object, by id and by place."""

import numpy as np
import pytest

from hpcsbi.survey.same_object import NEAR, object_names

NOWHERE = np.full((4, 2), np.nan)
ARCSECOND = 1 / 3600


@pytest.mark.parametrize("dec", [0.0, 60.0, -89.0])
@pytest.mark.parametrize("ra", [0.0, 123.4])
def test_what_lies_within_an_arcsecond_is_one_object(ra, dec):
    """On the sphere: across RA = 0 and near a pole, too; what lies farther is another."""
    step = NEAR * ARCSECOND / np.cos(np.radians(dec))
    place = np.column_stack([(ra + step * np.array([0.45, -0.45, 2.0])) % 360, [dec] * 3])

    assert object_names(np.array(["b", "a", "c"]), place).tolist() == ["a", "a", "c"]


def test_ids_count_without_a_place_and_places_without_an_id():
    """Both together: an object with two ids, one of which was seen again without a position."""
    ids = np.array(["x", "y", "x", "z"])
    place = NOWHERE.copy()
    place[0], place[1] = [10.0, 5.0], [10.0, 5.0 + 0.5 * ARCSECOND]

    assert object_names(ids, place).tolist() == ["x", "x", "x", "z"]
    assert object_names(ids, NOWHERE).tolist() == ids.tolist()


def test_neighbours_of_neighbours_are_one():
    """A row of spaxels; in any order the same."""
    rng = np.random.default_rng(0)
    place = np.column_stack([np.full(30, 20.0), np.arange(30) * 0.9 * ARCSECOND])
    ids = np.array([f"{i:02d}" for i in range(30)])
    order = rng.permutation(30)

    assert set(object_names(ids[order], place[order])) == {"00"}
    assert len(set(object_names(ids, 1.2 * place))) == 30
