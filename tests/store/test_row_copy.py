"""Some rows of a store are a store of their own, with all that the other says of them."""

import numpy as np

from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete
from hpcsbi.store.row_copy import copy_rows


def test_rows_names_and_words_are_those_of_the_source(tmp_path):
    """Across shards, texts too; attributes of arrays and the notice come along."""
    arrays = {
        "x": Array({"row": 10, "pixel": 3}, "float32", {"units": "m"}),
        "name": Array({"row": 10}, "string"),
        "wave": Array({"pixel": 3}, "float64", {}, np.arange(3.0)),
    }
    source = create(tmp_path / "a.zarr", arrays, {"made": 1}, 4, {"notice": "a trial"})
    x = np.arange(30, dtype=np.float32).reshape(10, 3)
    names = np.array([f"n{i}" for i in range(10)], object)
    for shard in source.shards:
        source.write(shard, x=x[source.rows_of(shard)], name=names[source.rows_of(shard)])
    rows = np.array([1, 4, 5, 9])
    copy_rows(source, tmp_path / "b.zarr", rows, {"made": 1, "rows": 4}, 3)
    copy = open_complete(tmp_path / "b.zarr", "ingest")

    np.testing.assert_array_equal(copy.read("x"), x[rows])
    assert copy.read("name").tolist() == names[rows].tolist()
    assert copy.read("wave").tolist() == [0, 1, 2]
    assert copy.sharded == source.sharded
    assert copy.arrays["x"].attrs["units"] == "m" and copy.attributes["notice"] == "a trial"
    assert copy.settings == {"made": 1, "rows": 4} and (copy.rows, copy.shard) == (4, 3)
    assert copy.arrays["x"].metadata.dimension_names == ("row", "pixel")
