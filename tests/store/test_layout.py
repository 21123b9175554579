"""How rows are cut into files: few of them, none too large, and each with its checksum."""

import numpy as np
import pytest
import zarr

from hpcsbi.store.layout import (
    LARGEST,
    SHARDS,
    Array,
    _chunk_rows,
    checksum,
    coordinate_checksum,
    lay_out,
    shard_rows,
)


@pytest.mark.parametrize("rows", [10, 10**5, 10**6, 10**7, 10**8])
@pytest.mark.parametrize("pixels", [1, 138, 10_000])
def test_files_are_few_and_none_is_too_large(rows, pixels):
    """A shard is a batch, or twice it again and again; of many it is the bytes that bound it."""
    arrays = {
        "flux": Array({"row": rows, "pixel": pixels}, "float32"),
        "id": Array({"row": rows}, "string"),
    }
    batch = 1024

    shard = shard_rows(arrays, rows, batch)

    doubled = shard // batch
    assert shard % batch == 0 and doubled & (doubled - 1) == 0
    size = 4 * pixels + 32
    assert shard == batch or shard * size <= LARGEST
    assert rows <= SHARDS * shard or 2 * shard * size > LARGEST
    if shard > batch:  # and not larger than it must be
        assert rows > SHARDS * shard // 2


@pytest.mark.parametrize("shard", [1, 7, 256, 1000, 4096, 5000, 2**20, 3 * 2**15])
def test_chunks_cut_a_shard_without_a_rest(shard):
    """A reader of a few rows unpacks at most some thousand."""
    chunk = _chunk_rows(shard)

    assert shard % chunk == 0 and (chunk <= 4096 or shard % 2)


def test_empty_rows_hold_no_number(tmp_path):
    """NaN and no text; what has values has a checksum that another byte changes."""
    row = {"row": 5}
    arrays = {
        "x": Array(row, "float32"),
        "id": Array(row, "string"),
        "wave": Array({"pixel": 3}, "float64", values=np.arange(3.0)),
    }
    lay_out(tmp_path / "s.zarr", arrays, {"settings": {}}, 2)

    group = zarr.open_group(tmp_path / "s.zarr", mode="r")

    assert np.isnan(group["x"][:]).all() and list(group["id"][:]) == [""] * 5
    assert group.attrs["coordinates"] == "id wave"
    (known,) = group.attrs["checksums"].values()
    assert known == coordinate_checksum(tmp_path / "s.zarr" / "wave") != ""
    file = tmp_path / "s.zarr" / "wave" / "c.0"
    file.write_bytes(file.read_bytes()[:-1])
    assert coordinate_checksum(tmp_path / "s.zarr" / "wave") != known


def test_no_file_has_no_checksum(tmp_path):
    """Nor has a folder, or what lies below a file; an empty file has one."""
    (tmp_path / "empty").touch()

    assert checksum(tmp_path / "none") == checksum(tmp_path) == ""
    assert checksum(tmp_path / "empty" / "below") == ""
    assert checksum(tmp_path / "empty") != ""
