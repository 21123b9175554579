"""Names of objects: integers or text, and what a row without one is called."""

from collections.abc import Iterable, Sequence
from typing import Any

from hpcsbi.errors import BadInput
from hpcsbi.survey.record.spectra import text

__all__ = ["check_ids", "names_or", "row_names"]

WHOLE = 2.0**53  # beyond, float64 has no odd numbers


def check_ids(kind: str, where: str) -> None:
    """Refuse ids that are floats.

    Raises:
        ValueError: different objects may share one.
    """
    if kind == "f":
        raise BadInput(
            f"{where} holds floats: above 2^53 = {WHOLE:.0f} different ids become one; write ids "
            "as integers or text"
        )


def names_or(values: Iterable[Any], names: Sequence[str]) -> list[str]:
    """Names as text, or the others where there is none.

    Arguments:
        values: integers, text or bytes; None or "" for a row without a name.
        names: as many.
    """
    ids = [text(value) if value is not None else "" for value in values]
    return [a or b for a, b in zip(ids, names, strict=True)]


def row_names(stem: str, rows: slice) -> list[str]:
    """What rows without names are called: the file's stem, and their number.

    Example:
        >>> row_names("stack", slice(3, 5))
        ['stack-3', 'stack-4']
    """
    return [f"{stem}-{row}" for row in range(rows.start, rows.stop)]
