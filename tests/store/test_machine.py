"""What machines have worked on a product is noted in it, once for each type."""

import pytest

from hpcsbi.store.files import Damaged
from hpcsbi.store.machine import leave_word, machine, machine_difference, machines_of


def test_a_type_leaves_one_word(tmp_path):
    """However often it comes; a product without a note has none."""
    assert machines_of(tmp_path) == []
    for _ in range(2):
        leave_word(tmp_path)

    assert machines_of(tmp_path) == [machine()]
    assert machine_difference(machine()) == ""
    assert "numba: another there" in machine_difference(machine() | {"numba": "another"})


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b"7"])
def test_a_damaged_word_is_told_by_its_name(tmp_path, content):
    """Whether the last bits are those of one machine is then not known, and not taken for so."""
    leave_word(tmp_path)
    (file,) = (tmp_path / ".machines").iterdir()
    file.write_bytes(content)

    with pytest.raises(Damaged, match=file.name):
        machines_of(tmp_path)
