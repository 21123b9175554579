"""Which spectra are fitted."""

import numpy as np
import pytest

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.run.selection import checksum_of, select_rows
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import Incomplete, create

IDS = [f"g{i}" for i in range(7)]


@pytest.fixture
def store(tmp_path):
    """Spectra and catalogue in one: shards of three rows, rows 1 and 5 with weak weights."""
    arrays = {"id": Array({"row": 7}, "string"), "flags": Array({"row": 7}, "int32")}
    made = create(tmp_path / "catalogue.zarr", arrays, {}, 3)
    flags = np.full(7, int(Flag.LOW_SN), np.int32)
    flags[[1, 5]] |= Flag.WEAK_WEIGHTS
    for shard in made.shards:
        rows = made.rows_of(shard)
        made.write(shard, id=np.array(IDS[rows], dtype=object), flags=flags[rows])
    return made


def test_weak_first_or_named(store):
    """In the order of the rows, or in the order asked."""
    assert select_rows(None, store, store).tolist() == [1, 5]
    assert select_rows(4, store, None).tolist() == [0, 1, 2, 3]
    assert select_rows(100, store, None).tolist() == list(range(7))
    assert select_rows(["g6", "g0"], store, None).tolist() == [6, 0]
    with pytest.raises(BadInput, match="no spectrum 'g7'"):
        select_rows(["g0", "g7"], store, None)


def test_damaged_flags_choose_nothing(store):
    """The queue is not made of what a disk has changed."""
    (store.path / "flags" / "c.1").write_bytes(b"")
    with pytest.raises(Incomplete, match=r"shard 1 .*damaged"):
        select_rows(None, store, store)


def test_other_rows_have_another_checksum():
    """And the same rows in another order, too."""
    sums = {checksum_of(np.array(rows)) for rows in ([0, 1], [1, 0], [0, 1, 2])}

    assert len(sums) == 3
