"""The data model is that of the files: every column, in order, of its type, with words."""

import numpy as np
import pyarrow.parquet
import pytest

from hpcsbi.inference.columns.catalogue_columns import ARRAYS, arrays_of
from hpcsbi.inference.columns.catalogue_descriptions import described_columns, described_draws
from hpcsbi.inference.columns.line_excess import MOMENTS
from hpcsbi.store.opening import open_complete

KINDS = {"string": "string", "double": "float64", "float": "float32", "int32": "int32"}


def test_columns_are_those_of_a_catalogue(small_run):
    """Names, order and types of catalogue.parquet."""
    store = open_complete(small_run / "catalogue.zarr", "infer")
    along = {
        dim: store.read(dim).tolist()
        for dim in ("parameter", "quantity", "blend", "axis", "name")
        if dim in store.arrays
    }
    schema = pyarrow.parquet.read_schema(small_run / "catalogue.parquet")

    columns = described_columns(store.sharded, along)

    assert [column.name for column in columns] == schema.names
    assert [column.kind for column in columns] == [KINDS[str(each.type)] for each in schema]
    assert all(column.meaning for column in columns)
    assert len({column.name for column in columns}) == len(columns)


@pytest.mark.parametrize("certificate", [True, False])
def test_a_catalogue_has_what_its_options_make(certificate):
    """Without a certificate nothing of it; groups of lines have a mean and an error each."""
    sizes = {"row": 1, "draw": 9, "line_group": 2}
    along = {"parameter": ["tage"], "line_group": ["hbeta", "oii"], "moment": MOMENTS}
    columns = {each.name: each for each in described_columns(
        [*arrays_of(certificate, False, sizes)], along
    )}  # fmt: skip

    assert ("ess" in columns) == ("tage_flow_p50" in columns) == certificate
    assert columns["line_excess_hbeta"].unit == "Angstrom"
    assert columns["line_excess_oii_error"].meaning.startswith("standard deviation")
    assert columns["tage_p2_5"].family == columns["tage_p97_5"].family == "tage_*"
    assert not {"samples", "flow_quantiles"} & {*columns} and {*ARRAYS} & {*columns}
    assert np.all([len(each.meaning) > 8 for each in columns.values()])


def test_what_is_given_by_the_level_is_in_the_ucd():
    """The median is one, the other quantiles are percentiles; who reads by UCD finds one value."""
    columns = described_columns(["quantiles"], {"parameter": ["tage"]})

    assert [column.ucd for column in columns if column.ucd.endswith("median")] == [
        "time.age;stat.median"
    ]
    assert sum(column.ucd == "time.age;stat.percentile" for column in columns) == 4
    assert columns[0].meaning.startswith("2.5 % quantile of the posterior of tage")


def test_gaps_are_told():
    """Without a likelihood chi squared lacks everywhere, with one only where there are no draws."""
    with_table, without = (
        {column.name: column for column in described_columns(arrays, {"quantity": ["av"]})}
        for arrays in (["ra", "position", "chi2", "derived_quantiles"], ["chi2", "position"])
    )

    assert with_table["chi2"].gap_without_draws and not without["chi2"].gap_without_draws
    assert with_table["ra"].gap == without["dec"].gap == "its file has none"


def test_draws_are_described_as_their_quantiles():
    """Unit and kind of thing; key first."""
    key, origin, tage = described_draws(["tage"], 7)

    assert (key.name, origin.name, tage.length) == ("key", "origin", 7)
    assert (tage.unit, tage.ucd) == ("Gyr", "time.age")
