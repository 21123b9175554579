"""A comparison of rows in words: what differs most, who stands on the other side, the verdict."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

import numpy as np

from hpcsbi.flags import names
from hpcsbi.release.row_comparison import (
    JUDGED,
    THRESHOLD,
    ComparedColumn,
    disagreements,
)

__all__ = ["comparison_lines", "comparison_table", "few", "verdict"]

NAMED = 6  # columns and objects that a line names
Columns = Mapping[str, np.ndarray]


def verdict(columns: Sequence[ComparedColumn], keys: Sequence[str]) -> str:
    """`agrees`, or which columns and objects do not; one line.

    Arguments:
        columns: that were compared.
        keys: of the rows.
    """
    bad = disagreements(columns)
    if not bad:
        return "agrees"
    rows = Counter(row for column in bad for row in column.far)
    who = [keys[row] for row, _ in rows.most_common()]
    objects = f"; objects {few(who)}" if who else ""
    return f"does not agree: columns {few([column.name for column in bad])}{objects}"


def comparison_lines(
    columns: Sequence[ComparedColumn], released: Columns, rerun: Columns
) -> Iterator[str]:
    """What differs most, and which objects stand apart though all agrees."""
    keys = released["key"]
    judged = [column for column in columns if column.kind == JUDGED and column.count]
    of_theta = [column for column in judged if column.name.endswith("_p50")]
    of_theta = [column for column in of_theta if "_flow_" not in column.name]
    if of_theta:
        far = max(of_theta, key=lambda column: column.widths)
        yield f"medians are at most {far.widths:.2g} half widths of a posterior apart ({far.name})"
    if judged:
        far = max(judged, key=lambda column: column.largest)
        mean = float(np.median([column.mean_square for column in judged]))
        yield (
            "differences in Monte Carlo errors: mean square "
            f"{mean:.2g} (1 for independent draws), largest {far.largest:.2g} ({far.name})"
        )
    for column in (column for column in columns if column.kind == THRESHOLD and column.far):
        told = [_crossed(column.name, row, keys, released, rerun) for row in column.far]
        yield f"other {column.name}: {few(told)}"


def comparison_table(columns: Sequence[ComparedColumn], keys: Sequence[str]) -> bytes:
    """A line a column, CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(ComparedColumn)])
    for column in columns:
        values = [getattr(column, field.name) for field in fields(column)]
        values[-1] = " ".join(keys[row] for row in column.far)
        writer.writerow([f"{v:.4g}" if isinstance(v, float) else v for v in values])
    return text.getvalue().encode()


def _crossed(name: str, row: int, keys: Sequence[str], released: Columns, rerun: Columns) -> str:
    """Who stands on the other side of a threshold, and of which."""
    first, second = released[name][row], rerun[name][row]
    if name == "flags":
        return f"{keys[row]} ({', '.join(names(int(first) ^ int(second)))})"
    return f"{keys[row]} ({first}, now {second})"


def few(words: Sequence[str]) -> str:
    """The first of some words, and how many more there are."""
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return ", ".join(map(str, words[:NAMED])) + more
