"""A comparison in words: the verdict names columns and objects, the table has them all."""

import csv
import io

import numpy as np
from test_row_comparison import ROWS, catalogue

from hpcsbi.flags import Flag
from hpcsbi.release.comparison_words import comparison_lines, comparison_table, few, verdict
from hpcsbi.release.row_comparison import compare_rows


def test_rows_that_agree():
    """The largest difference is told all the same, and whose flags differ."""
    first, second = catalogue(0), catalogue(1)
    second["flags"][3] = int(Flag.EDGE)
    columns = compare_rows(first, second, False)
    lines = [*comparison_lines(columns, first, second)]

    assert verdict(columns, first["key"]) == "agrees"
    assert "half widths of a posterior apart (t" in lines[0] and "_p50)" in lines[0]
    assert "(1 for independent draws)" in lines[1]
    assert lines[2] == "other flags: o3/1 (EDGE)"


def test_rows_that_do_not():
    """One line, the farthest column first, the object with most columns first."""
    first, second = catalogue(0), catalogue(1)
    first["tage_p50"][5] = 40.0
    first["tau_p50"][[5, 7]] = 40.0
    columns = compare_rows(first, second, False)
    told = verdict(columns, first["key"])

    assert told.startswith("does not agree: columns ta") and "\n" not in told
    assert "tau_p50" in told and told.endswith("; objects o5/1, o7/1")


def test_the_table_has_a_line_a_column():
    """As other programs read it."""
    first, second = catalogue(0), catalogue(1)
    first["zred"][2] = np.nan
    columns = compare_rows(first, second, False)
    rows = [*csv.DictReader(io.StringIO(comparison_table(columns, first["key"]).decode()))]

    assert [row["name"] for row in rows] == [*first]
    zred = next(row for row in rows if row["name"] == "zred")
    assert (zred["agrees"], zred["equal"], zred["far"]) == ("False", str(ROWS - 1), "o2/1")
    assert few("abcdefgh") == "a, b, c, d, e, f and 2 more"
