"""A store of a few rows that tests of several modules share."""

import numpy as np

from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create

SETTINGS = {"seed": 3, "prior": {"columns": {"tau": {"low": 0.1}, "dust2": {"low": 0.0}}}}


def arrays(rows: int) -> dict[str, Array]:
    return {
        "theta": Array({"row": rows, "parameter": 2}, "float64", {"units": "Gyr"}),
        "id": Array({"row": rows}, "string"),
        "wave": Array({"pixel": 3}, "float64", {"units": "Angstrom"}, np.array([1.0, 2.0, 3.0])),
    }


def content(rows: slice) -> dict[str, np.ndarray]:
    index = np.arange(rows.start, rows.stop)
    return {
        "theta": np.stack([index, index**2], 1).astype(float),
        "id": np.array([f"NGC {i} é" for i in index], dtype=object),
    }


def filled(path, rows: int = 10, shard: int = 4, only: tuple[int, ...] | None = None):
    made = create(path, arrays(rows), SETTINGS, shard, {"notice": "n"})
    for number in made.shards if only is None else only:
        made.write(number, **content(made.rows_of(number)))
    return made


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))
