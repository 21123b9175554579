"""Settings are compared name by name, and each difference is a line."""

import pytest

from hpcsbi.store.settings import Mismatch, differences, refuse_other_settings

STORED = {"code": "a1", "prior": {"tau": {"low": 0.1}, "dust2": {"low": 0.0}}, "levels": [1, 2]}


def test_equal_settings_have_no_difference():
    """Of whatever depth; numbers count by their value."""
    assert list(differences(STORED, {**STORED, "levels": [1.0, 2]})) == []
    refuse_other_settings("s.zarr", STORED, dict(STORED), "mend")


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (STORED | {"levels": [2, 1]}, "levels: [1, 2] in the store, [2, 1] asked"),
        ({"code": "a1", "prior": STORED["prior"]}, 'levels: [1, 2] in the store, "absent" asked'),
        (STORED | {"n": 3}, 'n: "absent" in the store, 3 asked'),
        (
            STORED | {"prior": dict(reversed(STORED["prior"].items()))},
            "prior: in the order tau, dust2 in the store, dust2, tau asked",
        ),
        (
            STORED | {"prior": {"tau": {"low": 0.2}, "dust2": {"low": 0.0}}},
            "prior.tau.low: 0.1 in the store, 0.2 asked",
        ),
    ],
)
def test_each_difference_is_a_line(asked, line):
    """With its key, both values, and the order of names where that is what differs."""
    assert list(differences(STORED, asked)) == [line]
    with pytest.raises(Mismatch, match=r"s\.zarr was made with other settings") as caught:
        refuse_other_settings("s.zarr", STORED, asked, "remove it")
    assert str(caught.value).endswith("remove it") and "git stash" not in str(caught.value)


def test_other_code_has_a_mend_of_its_own():
    """The settings are right then, and the version of hpcsbi is not."""
    with pytest.raises(Mismatch, match="go on with that version of hpcsbi"):
        refuse_other_settings("s.zarr", STORED, STORED | {"code": "b2"}, "remove it")


def test_long_values_are_cut():
    """A line stays one that can be read."""
    (line,) = differences({"ids": list(range(500))}, {"ids": []})

    assert len(line) < 200 and "..." in line
