"""Crossmatch: a catalogue beside another one, ours or anybody's, as a page of differences."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from hpcsbi import __version__, flags
from hpcsbi.arguments import OneOf, Positive, checked
from hpcsbi.errors import BadInput
from hpcsbi.release.catalogue_file import CatalogueFile
from hpcsbi.release.matching import match_names, match_places
from hpcsbi.report import page
from hpcsbi.report.crossmatch_plots import comparison
from hpcsbi.report.tables import number
from hpcsbi.run.merges import table_of
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.simulator.theta.parameters import PARAMETERS
from hpcsbi.statistics.agreement import agreement, half_width
from hpcsbi.store.files import read_parquet_header, write_atomically

__all__ = ["crossmatch"]

NAMES = ("key", "id")
WAYS = (*NAMES, "position")
MEDIAN, SIDES = "_p50", ("_p16", "_p84")
WHO = ("key", "id", "ra", "dec")
LISTED = 12  # objects that differ most


def _named(other: str | None) -> None:
    if other is None:
        raise BadInput(
            "crossmatch.other is null: name the other catalogue, FITS or Parquet, as "
            "crossmatch.other=runs/other/catalogue.parquet."
        )


@checked(_named)
def crossmatch(
    out: str,
    catalogue: str,
    other: str | None,
    by: Annotated[str, OneOf(WAYS)] | None,
    radius: Positive,
    columns: Mapping[str, str],
    errors: Mapping[str, str],
) -> None:
    """Compare a catalogue with another one; write the page.

    Arguments:
        out: the HTML file.
        catalogue: the store of the catalogue, with its Parquet file beside it.
        other: FITS or Parquet table with a column of names or places that ours has too.
        by: what objects are matched by; None: key, else id, else position, as both have it.
        radius: arcseconds that places may be apart.
        columns: of ours -> of theirs; key, id, ra and dec too, where theirs are called otherwise.
            Without any numbers among them: all medians that both have under one name.
        errors: of ours -> column of their standard deviation.

    Raises:
        FileNotFoundError: one of the files is not there.
        BadInput: a column that is not there, or nothing in common.
    """
    table = table_of(Path(catalogue))
    ours, theirs = CatalogueFile(table), CatalogueFile(other)
    pairs = _pairs(ours, theirs, columns)
    way, rows, apart = _matched(ours, theirs, by, radius, columns)
    if not len(rows[0]):
        raise BadInput(
            f"{table} and {other} have no object in common by {way}: choose another crossmatch.by "
            f"of {', '.join(WAYS)}, or name their columns in crossmatch.columns."
        )
    names = _names(table, Path(other))
    compared = [
        _compared(ours, theirs, first, second, errors.get(first), rows, names)
        for first, second in pairs.items()
    ]
    _name_far_ones(compared, ours)
    notices = [read_parquet_header(each.path).get("notice", "") for each in (ours, theirs)]
    content = {
        "title": f"hpcsbi: {names[0]} beside {names[1]}",
        "version": __version__,
        "notices": sorted({*notices} - {""}),
        "names": names,
        "by": way,
        "matched": len(rows[0]),
        "ours": ours.rows,
        "theirs": theirs.rows,
        "apart": f"{np.median(apart):.2f} arcseconds" if len(apart) else "",
        "without": int((ours.numbers("n_draws")[rows[0]] == 0).sum()),
        "rows": compared,
    }
    html = page.html("crossmatch.html.j2", content)
    write_atomically(Path(out), html)
    print(f"{out}: {len(rows[0])} objects in both by {way}, {len(html) / 1e6:.1f} MB.")
    for row in compared:
        print(f"  {row['label']}: median difference {row['median']}, scatter {row['scatter']}")


def _pairs(
    ours: CatalogueFile, theirs: CatalogueFile, columns: Mapping[str, str]
) -> dict[str, str]:
    """Columns of numbers that are compared, ours -> theirs."""
    for first, second in columns.items():
        ours.require(first)
        theirs.require(second)
    chosen = {first: second for first, second in columns.items() if first not in WHO}
    chosen = chosen or {
        name: name
        for name in ours.names
        if name.endswith(MEDIAN) and "_flow_" not in name and name in theirs.names
    }
    if not chosen:
        raise BadInput(
            f"{theirs.path} has no median under a name of ours: name pairs, as "
            "crossmatch.columns={logmass_p50: LOGMSTAR}."
        )
    return chosen


def _matched(
    ours: CatalogueFile,
    theirs: CatalogueFile,
    by: str | None,
    radius: float,
    columns: Mapping[str, str],
) -> tuple[str, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """How objects are matched, in words, rows of both, and how far they are apart."""
    told = {name: columns.get(name) or theirs.named(name) for name in WHO}
    names = [by or name for name in NAMES if by == name or (by is None and told[name])]
    for name in names:
        if told[name] is None:
            raise BadInput(
                f"{theirs.path} has no column {name}: name it, as "
                f"crossmatch.columns={{{name}: ...}}."
            )
        rows = match_names(ours.name_digests(name), theirs.name_digests(told[name]))
        if len(rows[0]):
            return name, rows, np.empty(0)
    if names and (by or not (told["ra"] and told["dec"])):
        return " or ".join(names), rows, np.empty(0)
    return _matched_by_place(ours, theirs, radius, (told["ra"], told["dec"]))


def _matched_by_place(
    ours: CatalogueFile,
    theirs: CatalogueFile,
    radius: float,
    columns: tuple[str | None, str | None],
) -> tuple[str, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """As `_matched`; columns are their right ascension and declination."""
    lacking = [name for name, column in zip(("ra", "dec"), columns, strict=True) if not column]
    if lacking:
        raise BadInput(
            f"{theirs.path} has no {' and no '.join(lacking)}: name them, as "
            "crossmatch.columns={ra: TARGET_RA, dec: TARGET_DEC}."
        )
    first, second = (
        np.stack([table.numbers(name) for name in pair], 1)
        for table, pair in ((ours, ("ra", "dec")), (theirs, columns))
    )
    *rows, apart = match_places(first, second, radius)
    return f"position within {radius:g} arcseconds", tuple(rows), apart


def _names(first: Path, second: Path) -> tuple[str, str]:
    """Of the two catalogues, as short as they can be told apart."""
    folders = [f"{path.absolute().parent.name}/{path.name}" for path in (first, second)]
    return (folders[0], folders[1] if folders[0] != folders[1] else str(second))


def _compared(
    ours: CatalogueFile,
    theirs: CatalogueFile,
    first: str,
    second: str,
    error: str | None,
    rows: tuple[np.ndarray, np.ndarray],
    names: tuple[str, str],
) -> dict[str, Any]:
    """One quantity: a row of the table, its figure, and the objects that differ most."""
    values = ours.numbers(first)[rows[0]], theirs.numbers(second)[rows[1]]
    sides = [_error(ours, first, None)[rows[0]], _error(theirs, second, error)[rows[1]]]
    known = np.isfinite(values[0]) & np.isfinite(values[1])
    difference = np.where(known, values[0] - values[1], np.nan)
    quoted = np.where(known, np.hypot(*np.nan_to_num(sides)), 0.0)
    told = agreement(difference, quoted)
    row = {
        "label": _label(first),
        "theirs": second,
        "count": told.count,
        "median": f"{number(told.median)} \N{PLUS-MINUS SIGN} {number(told.median_error, 2)}",
        "scatter": number(told.scatter),
        "pull_median": number(told.pull_median),
        "pull_scatter": number(told.pull_scatter),
        "outliers": number(100 * told.outliers, 2),
        "errors": bool((quoted > 0).any()),
        "image": "",
        "far": [],
    }
    if told.count > 1:
        both = [each[known] for each in values]
        figure = comparison(*both, quoted[known], row["label"], names)
        row["image"] = page.picture(figure, "svg" if told.count <= 300 else "png")
        row["far"] = _far(rows[0], values, difference, quoted)
    return row


def _label(column: str) -> str:
    """Head of a column, with its unit where it is one of ours."""
    name = column.removesuffix(MEDIAN)
    heads = {each.name: each.header for each in (*PARAMETERS.values(), *QUANTITIES)}
    return heads.get(name, column)


def _error(table: CatalogueFile, name: str, column: str | None) -> np.ndarray:
    """Quoted standard deviation of a column, 0 where none is."""
    if column is not None:
        return table.numbers(column)
    sides = [name.removesuffix(MEDIAN) + end for end in SIDES]
    if name.endswith(MEDIAN) and all(side in table.names for side in sides):
        return half_width(*(table.numbers(side) for side in sides))
    return np.zeros(len(table.numbers(name)))


def _far(
    rows: np.ndarray,
    values: Sequence[np.ndarray],
    difference: np.ndarray,
    quoted: np.ndarray,
) -> list[dict[str, Any]]:
    """Objects that differ most in quoted errors; where none is quoted, as they are."""
    with np.errstate(invalid="ignore", divide="ignore"):
        pulls = np.where(quoted > 0, difference / quoted, np.nan)
    size = np.abs(pulls if (quoted > 0).any() else difference)
    order = np.argsort(-np.nan_to_num(size, nan=-1.0), kind="stable")[:LISTED]
    return [
        {
            "row": int(rows[i]),
            "first": number(values[0][i], 4),
            "second": number(values[1][i], 4),
            "difference": number(difference[i]),
            "pull": number(pulls[i]),
        }
        for i in order
        if np.isfinite(size[i])
    ]


def _name_far_ones(compared: Sequence[Mapping], ours: CatalogueFile) -> None:
    """Add to each object that is listed who it is, read once for all of them."""
    rows = sorted({each["row"] for row in compared for each in row["far"]})
    known = zip(rows, *(ours.texts(name, rows) for name in ("key", "id", "flags")), strict=True)
    about = {
        row: {"key": key, "id": name, "flags": ", ".join(flags.names(int(value)))}
        for row, key, name, value in known
    }
    for each in (each for row in compared for each in row["far"]):
        each |= about[each["row"]]
