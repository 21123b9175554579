"""A Parquet file with unit, UCD and description where each reader looks for them.

Fields have them as metadata (pyarrow, HATS); the file has astropy's own header, a VOTable header
as TOPCAT reads it, and the attributes of a frame of pandas.

References:
    Parquet with VOTable metadata, IVOA Note 1.0 (ivoa.net/documents/Notes/VOParquet).
"""

import io
import json
import warnings
from pathlib import Path
from xml.etree import ElementTree

import pyarrow
import pyarrow.parquet
from astropy.io.votable import from_table
from astropy.table.meta import get_yaml_from_table
from astropy.units import UnitsWarning

from hpcsbi.inference.columns.catalogue_descriptions import DescribedColumn
from hpcsbi.release.released_table import Released, empty_table
from hpcsbi.store.files import PANDAS, replacement

__all__ = ["schema_of", "write_parquet"]

GROUP = 65536  # rows of a row group
VOTABLE = "http://www.ivoa.net/xml/VOTable/v1.3"
TYPES = {
    "string": pyarrow.string(), "int32": pyarrow.int32(), "float32": pyarrow.float32(),
    "float64": pyarrow.float64(),
}  # fmt: skip


def write_parquet(path: Path, table: Released) -> None:
    """Write a table as one Parquet file, atomically and some rows at a time.

    Arguments:
        path: the file.
        table: what to write.
    """
    schema = schema_of(table)
    with (
        replacement(path) as half,
        pyarrow.parquet.ParquetWriter(half, schema, compression="zstd") as writer,
    ):
        waiting: list[pyarrow.RecordBatch] = []
        for block in table.blocks():
            waiting.append(block.select(schema.names).cast(schema))
            if sum(each.num_rows for each in waiting) >= GROUP:
                writer.write_table(pyarrow.Table.from_batches(waiting, schema), GROUP)
                waiting = []
        writer.write_table(pyarrow.Table.from_batches(waiting, schema), GROUP)


def schema_of(table: Released) -> pyarrow.Schema:
    """Names and types of a table, with all that is told of them and of the whole."""
    told = {PANDAS: json.dumps(dict(table.header))}
    told |= {f"table::len::{name}": str(width) for name, width in table.widths.items()}  # astropy
    told["table_meta_yaml"] = "\n".join(get_yaml_from_table(empty_table(table)))
    told["IVOA.VOTable-Parquet.version"] = "1.0"
    told["IVOA.VOTable-Parquet.content"] = _votable(table)
    return pyarrow.schema([_field(each) for each in table.columns], {**table.header, **told})


def _field(column: DescribedColumn) -> pyarrow.Field:
    kind = TYPES[column.kind]
    if column.length > 1:
        kind = pyarrow.list_(kind, column.length)
    told = {"unit": column.unit, "ucd": column.ucd, "description": column.meaning}
    told |= {"gap": column.gap} if column.gap else {}
    return pyarrow.field(column.name, kind, metadata=told)


def _votable(table: Released) -> str:
    """The fields of the table as a VOTable whose data are this file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnitsWarning)  # VOUnit would rather have 0.1 nm
        document = from_table(empty_table(table))
        for field, each in zip(document.get_first_table().fields, table.columns, strict=True):
            field.ucd, field.unit = each.ucd, each.unit or None
            if each.kind == "string":
                field.datatype, field.arraysize = "unicodeChar", str(table.widths[each.name])
        xml = io.BytesIO()
        document.to_xml(xml)
    ElementTree.register_namespace("", VOTABLE)
    root = ElementTree.fromstring(xml.getvalue())
    fields = root.find(f"{{{VOTABLE}}}RESOURCE/{{{VOTABLE}}}TABLE")
    for data in fields.findall(f"{{{VOTABLE}}}DATA"):
        fields.remove(data)
    ElementTree.SubElement(fields, f"{{{VOTABLE}}}PARQUET", type="Parquet-local-XML")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
