"""Tables on their way into files."""

import numpy as np
import pyarrow
import pyarrow.parquet

from hpcsbi.inference.columns.catalogue_descriptions import described_draws
from hpcsbi.release import released_table as module
from hpcsbi.release.released_table import Released, ascii_text, blocks_of_file, empty_table


def test_rows_come_in_blocks_each_time(tmp_path, monkeypatch):
    """All of them, in order, no block longer than what fits into memory."""
    monkeypatch.setattr(module, "BLOCK", 4)
    pyarrow.parquet.write_table(pyarrow.table({"x": np.arange(11)}), tmp_path / "x.parquet")
    blocks = blocks_of_file(str(tmp_path / "x.parquet"))

    for _ in range(2):
        some = [block.column("x").to_numpy() for block in blocks()]
        assert max(map(len, some)) <= 4
        np.testing.assert_array_equal(np.concatenate(some), np.arange(11))


def test_text_of_fits_is_ascii():
    """Nothing is lost, and an empty column has a width."""
    values = ["NGC 1", "", "\N{GREEK SMALL LETTER ALPHA} Cen", "\N{LEFT SINGLE QUOTATION MARK}"]
    text = ascii_text(pyarrow.array(values))

    assert [each.decode("unicode_escape") for each in text.tolist()] == values
    assert ascii_text(pyarrow.array([], pyarrow.string())).dtype == "S1"


def test_an_empty_table_has_types_and_words():
    """Arrays along rows, texts of their width, the header as meta."""
    columns = described_draws(["tage"], 3)
    released = Released(columns, 5, lambda: iter(()), {"notice": "n"}, {"key": 7, "origin": 4})
    table = empty_table(released)

    assert table["tage"].shape == (0, 3) and str(table["tage"].unit) == "Gyr"
    assert table["key"].dtype == "S7" and table.meta == {"notice": "n"}
    assert table["tage"].description.startswith("draws of tage")
