"""Arrays of a store from a table of what they are."""

import numpy as np
import tiny

from hpcsbi.store.opening import create
from hpcsbi.store.schema import Schema, empty_columns, store_arrays

SCHEMA: Schema = {
    "id": (("row",), "string", ""),
    "n_draws": (("row",), "int32", "draws inside the prior"),
    "quantiles": (("row", "level", "parameter"), "float32", "of the posterior"),
}
SIZES = {"row": 4, "level": 2, "parameter": 3}
COORDINATES = {"level": [0.16, 0.84], "parameter": ("tage", "tau", "dust2")}


def empty(folder):
    attributes = {"quantiles": {"units": "see description"}}
    return create(folder / "a.zarr", store_arrays(SCHEMA, SIZES, COORDINATES, attributes), {}, 4)


def test_a_store_has_what_its_schema_says(tmp_path):
    """Arrays in their order, what they are, and names and numbers along their dimensions."""
    store = empty(tmp_path)

    assert store.sharded == tuple(SCHEMA)
    assert store.read("parameter").tolist() == ["tage", "tau", "dust2"]
    assert store.read("level").tolist() == [0.16, 0.84]
    about = dict(store.arrays["quantiles"].attrs)
    assert about == {"long_name": "of the posterior", "units": "see description"}
    assert not dict(store.arrays["id"].attrs)


def test_empty_columns_are_what_was_never_written(tmp_path):
    """In shape, type and contents, so that a row that nothing is known of is one in both."""
    store, written = empty(tmp_path), empty(tmp_path / "written")
    columns = empty_columns(SCHEMA, SIZES)
    written.write(0, **columns)

    for name in SCHEMA:
        np.testing.assert_array_equal(written.read(name), store.read(name))
    assert np.isnan(columns["quantiles"]).all() and not columns["n_draws"].any()
    assert tiny.all_bytes(written.path) != tiny.all_bytes(store.path)  # one has a mark
