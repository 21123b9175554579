from pathlib import Path

import pytest

from hpcsbi.health import fsps_tree as module
from hpcsbi.health.check import OK, WARNING, WRONG
from hpcsbi.health.fsps_tree import fsps_tree


@pytest.mark.parametrize(
    ("home", "demo", "needed", "state", "says"),
    [
        (None, True, False, OK, "Not needed"),
        (None, None, False, WARNING, "not for science"),
        (None, False, False, WRONG, "is not set"),
        (None, True, True, WRONG, "is not set"),
        ("/nowhere", None, False, WRONG, "not a folder"),
        ("/nowhere", True, False, OK, "Not needed"),
    ],
)
def test_a_tree_that_lacks_is_as_bad_as_the_run_needs_it(home, demo, needed, state, says):
    """The mend is that of `tabulate`: clone the commit that fits."""
    check = fsps_tree(home, demo, needed)

    assert check.state == state and says in check.words
    assert ("5b87175" in check.mend) == (state != OK)


def test_a_whole_tree_is_fine_and_a_stand_in_is_told(tmp_path, monkeypatch):
    """Whole is what `check_tree` passes; a stand-in is not for science."""
    monkeypatch.setattr(module, "check_tree", Path)
    assert fsps_tree(str(tmp_path), None).state == OK
    assert "not used" in fsps_tree(str(tmp_path), True).words
    (tmp_path / "STAND_IN.txt").touch()
    assert fsps_tree(str(tmp_path), None).state == WARNING
    assert fsps_tree(str(tmp_path), True).state == OK
