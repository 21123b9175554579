"""Parquet whose readers find units, UCDs and words where they look for them."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from astropy.table import Table
from test_fits_table import COLUMNS, DRAWS, N, table, values

from hpcsbi.release import parquet_table as module
from hpcsbi.release.parquet_table import schema_of, write_parquet

HEADER = {"notice": "not for science", "flags": "A: b"}


@pytest.fixture
def file(tmp_path):
    write_parquet(tmp_path / "x.parquet", replace(table(), header=HEADER))
    return tmp_path / "x.parquet"


def test_numbers_come_back(file):
    """To the last bit, vectors as lists of one length."""
    rows = pyarrow.parquet.read_table(file)
    for name, each in values().items():
        column = rows[name].combine_chunks()
        read = column.flatten() if name == "v" else column
        np.testing.assert_array_equal(read.to_pylist(), np.ravel(each).tolist())
    assert rows.schema.field("v").type == pyarrow.list_(pyarrow.float32(), DRAWS)


def test_every_reader_has_its_header(file):
    """pyarrow in fields, pandas in attrs, astropy in its table, TOPCAT in a VOTable."""
    schema = pyarrow.parquet.read_schema(file)
    assert schema.field("e").metadata == {
        b"unit": b"Gyr", b"ucd": b"time.age", b"description": b"a float32",
    }  # fmt: skip
    assert pd.read_parquet(file).attrs == HEADER
    read = Table.read(file)
    assert str(read["e"].unit) == "Gyr" and read["d"].description == "a float64"
    assert read.meta == HEADER and len(read) == N
    root = ElementTree.fromstring(schema.metadata[b"IVOA.VOTable-Parquet.content"])
    fields = [each for each in root.iter() if each.tag.endswith("FIELD")]
    assert [each.get("name") for each in fields] == [each.name for each in COLUMNS]
    assert fields[2].get("ucd") == "time.age" and fields[2].get("unit") == "Gyr"
    assert not [each for each in root.iter() if each.tag.endswith("DATA")]
    assert json.loads(schema.metadata[b"PANDAS_ATTRS"]) == HEADER


def test_groups_of_rows_are_whole(tmp_path, monkeypatch):
    """As large as asked for, whatever the blocks are, but for the last one."""
    monkeypatch.setattr(module, "GROUP", 256)
    write_parquet(tmp_path / "x.parquet", table(64))
    told = pyarrow.parquet.ParquetFile(tmp_path / "x.parquet").metadata

    assert [told.row_group(i).num_rows for i in range(told.num_row_groups)] == [256, 256, 256, 233]


def test_a_table_without_rows_is_one(tmp_path):
    """Of the same schema."""
    write_parquet(tmp_path / "x.parquet", replace(table(), rows=0, blocks=lambda: iter(())))

    assert pyarrow.parquet.read_schema(tmp_path / "x.parquet").equals(schema_of(table()))
