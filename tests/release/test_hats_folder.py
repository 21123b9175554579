"""HATS by its own library."""

from dataclasses import replace

import hats
import numpy as np
import pyarrow
import pytest

from hpcsbi.inference.columns.catalogue_descriptions import described_columns
from hpcsbi.release.hats_folder import write_hats
from hpcsbi.release.parquet_table import write_parquet
from hpcsbi.release.released_table import Released

N = 300


def source(path):
    rng = np.random.default_rng(0)
    columns = [
        each
        for each in described_columns(["position", "identity"], {})
        if each.name in ("ra", "dec", "key")
    ]
    rows = pyarrow.table(
        {"ra": rng.uniform(0, 360, N), "dec": rng.uniform(-60, 60, N),
         "key": [f"k{i}" for i in range(N)]}
    )  # fmt: skip
    table = Released(columns, N, lambda: iter(rows.to_batches()), {"notice": "n"}, {"key": 4})
    write_parquet(path, replace(table, rows=N))


@pytest.mark.slow
def test_partitions_hold_all_rows_and_the_same_bytes(tmp_path):
    """Units in each field, no date, and nothing left of the work."""
    source(tmp_path / "x.parquet")
    for name in ("first", "second"):
        write_hats(tmp_path / name / "hats", tmp_path / "x.parquet", N, tmp_path / "scratch")

    files = sorted(path for path in (tmp_path / "first").rglob("*") if path.is_file())
    for path in files:
        other = tmp_path / "second" / path.relative_to(tmp_path / "first")
        assert path.read_bytes() == other.read_bytes(), path
    catalogue = hats.read_hats(tmp_path / "first" / "hats")
    assert len(catalogue) == N
    assert catalogue.schema.field("ra").metadata[b"unit"] == b"deg"
    assert not (tmp_path / "scratch").exists()
