"""Rows of a catalogue beside the same rows made again: column by column, and a verdict.

Four kinds of columns. What was taken from the spectra has to be the same. What draws estimate has a
Monte Carlo error, by which differences are judged, and no object may be far off; but a flow that
begins at an optimum searches for it, last bits may lead to another one, and then a few objects may
have other draws of the flow (where the weights are good, their quantiles are the exact posterior's
all the same). Flags and `origin` are thresholds of such numbers: a few objects may stand on the
other side. What says how the draws did (effective numbers, tails, chi squared, shares of the prior)
has no error that is known, and follows from the same draws: it is told, and not judged.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpcsbi.inference.columns.row_checks import P_VALUES
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.simulator.probability.predictive import N_DRAWS
from hpcsbi.statistics.reproduction import level_pulls, pulls, summary_of_pulls

__all__ = ["JUDGED", "THRESHOLD", "ComparedColumn", "compare_rows", "disagreements"]

OF_SPECTRUM = (
    "id", "zred", "survey_class", "ra", "dec", "survey", "program", "file", "key", "file_row",
    "n_pixels",
)  # fmt: skip
THRESHOLDS = ("flags", "origin")
EXACT, JUDGED, THRESHOLD, TOLD = "of the spectrum", "judged", "threshold", "told"
OF_FLOW = "_flow_"
OTHER_SIDE = 0.1  # share of the objects that may stand on the other side of a threshold
NEAR = (100.0, 400.0), (0.5, 0.9)  # effective draws and Pareto k about the limits of good weights
Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ComparedColumn:
    """One column of both.

    Arguments:
        name: of the column.
        kind: EXACT, JUDGED, THRESHOLD or TOLD.
        count: objects that are compared.
        equal: of these, with the same bits.
        largest: the largest difference in Monte Carlo errors; of a JUDGED column.
        mean_square: of these differences, 1 for independent draws.
        widths: the largest difference in half widths of the central 68 % of the posterior; NaN
            where the column is no quantile of one.
        agrees: the verdict.
        far: rows that differ too much, with the others of a column that agrees.
    """

    name: str
    kind: str
    count: int
    equal: int
    largest: float = 0.0
    mean_square: float = 0.0
    widths: float = np.nan
    agrees: bool = True
    far: tuple[int, ...] = ()


def compare_rows(released: Columns, rerun: Columns, searched: bool) -> list[ComparedColumn]:
    """Compare two tables of the same objects.

    Arguments:
        released: columns of the published rows, by name; n_draws and acceptance among them.
        rerun: the same, of the rows made again, in the same order.
        searched: the flow begins at an optimum that it searches for.
    """
    rows, common = len(released["n_draws"]), [name for name in released if name in rerun]
    tables = [{name: table[name] for name in common} for table in (released, rerun)]
    size, widths = _pulls(*tables), _widths(*tables)
    columns = []
    for name in common:
        same = _same(released[name], rerun[name])
        if name not in size:
            columns.append(_plain(name, same, *tables))
            continue
        alike, exact = _origins(name, *tables)
        strict = exact | (not searched)
        told = summary_of_pulls(np.where(alike, size[name], np.nan), strict, len(size))
        columns.append(
            ComparedColumn(
                name, JUDGED, rows, int(same.sum()), told.largest, told.mean_square,
                float(np.max(widths[name], where=alike & np.isfinite(widths[name]), initial=0.0))
                if name in widths else np.nan,
                told.agrees, _marked(told.far),
            )
        )  # fmt: skip
    alone = sorted(released.keys() ^ rerun.keys())
    return columns + [ComparedColumn(name, EXACT, rows, 0, agrees=False) for name in alone]


def disagreements(columns: Sequence[ComparedColumn]) -> list[ComparedColumn]:
    """Columns that do not agree, the farthest first."""
    bad = [column for column in columns if not column.agrees]
    return sorted(bad, key=lambda column: (-column.largest, column.name))


def _plain(name: str, same: np.ndarray, released: Columns, rerun: Columns) -> ComparedColumn:
    """A column without a Monte Carlo error."""
    rows, equal = len(same), int(same.sum())
    if name in OF_SPECTRUM:
        return ComparedColumn(name, EXACT, rows, equal, agrees=bool(same.all()), far=_marked(~same))
    if name in THRESHOLDS:
        few = rows - equal <= max(int(OTHER_SIDE * rows), 1)
        if name == "origin":
            few &= bool((same | _near(released) | _near(rerun)).all())
        return ComparedColumn(name, THRESHOLD, rows, equal, agrees=few, far=_marked(~same))
    return ComparedColumn(name, TOLD, rows, equal)


def _near(rows: Columns) -> np.ndarray:
    """True for rows whose weights are neither clearly good nor clearly weak."""
    columns = zip(("ess", "pareto_k"), NEAR, strict=True)
    return np.any([(rows[name] > low) & (rows[name] < high) for name, (low, high) in columns], 0)


def _marked(rows: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(rows).tolist())


def _same(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """True where both have the same value, or both none."""
    if first.dtype.kind == "f":
        return (first == second) | (np.isnan(first) & np.isnan(second))
    return np.asarray(first == second, bool)


def _origins(name: str, released: Columns, rerun: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose numbers are of the same kind of draws in both, and of these the exact ones."""
    everywhere = np.ones(len(released["n_draws"]), bool)
    if OF_FLOW in name or name == "acceptance" or "origin" not in released:
        return everywhere, ~everywhere
    alike = np.asarray(released["origin"] == rerun["origin"], bool)
    return alike, alike & _exact(released)


def _exact(rows: Columns) -> np.ndarray:
    """True for rows of the exact posterior."""
    return np.asarray(rows["origin"] == "reweighted", bool)


def _families(rows: Columns) -> list[str]:
    """Beginnings of the names of quantiles, such as tage_ and tage_flow_."""
    medians = [name.removesuffix("p50") for name in rows if name.endswith("_p50")]
    return [base for base in medians if all(f"{base}{level}" in rows for level in QUANTILES)]


def _quantiles(rows: Columns, base: str) -> np.ndarray:
    return np.stack([np.asarray(rows[f"{base}{level}"], float) for level in QUANTILES])


def _widths(released: Columns, rerun: Columns) -> dict[str, np.ndarray]:
    """Size of the differences of quantiles in half widths of the released posterior."""
    widths = {}
    for base in _families(released):
        first, second = _quantiles(released, base), _quantiles(rerun, base)
        half = (first[[*QUANTILES].index("p84")] - first[[*QUANTILES].index("p16")]) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            off = np.where(first == second, 0.0, np.abs(first - second) / half)
        widths |= {f"{base}{level}": off[i] for i, level in enumerate(QUANTILES)}
    return widths


def _pulls(released: Columns, rerun: Columns) -> dict[str, np.ndarray]:
    """Differences in Monte Carlo errors, of the columns that have one."""
    tables, size, levels = (released, rerun), {}, np.array([*QUANTILES.values()])
    drawn = [np.asarray(table["n_draws"], float) for table in tables]
    best = [_effective(table) for table in tables]
    for base in _families(released):
        numbers = drawn if base.endswith(OF_FLOW) else best
        both = (_quantiles(table, base) for table in tables)
        of_family = level_pulls(*both, levels, tuple(numbers))
        size |= {f"{base}{level}": of_family[i] for i, level in enumerate(QUANTILES)}
    errors = [dict(_errors(*each)) for each in zip(tables, best, strict=True)]
    for name in errors[0]:  # the smaller one counts for both: a large error hides nothing
        error = np.sqrt(2) * np.fmin(errors[0][name], errors[1][name])
        size[name] = pulls(released[name], rerun[name], error)
    return size


def _effective(rows: Columns) -> np.ndarray:
    """Effective number of the draws behind the quantiles, at least 1."""
    drawn = np.maximum(np.asarray(rows["n_draws"], float), 1.0)
    if "origin" not in rows:
        return drawn
    return np.where(_exact(rows), np.fmax(rows["ess"], 1.0), drawn)


def _errors(rows: Columns, best: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Columns that are no quantiles, and their Monte Carlo errors."""
    few, drawn = np.minimum(best, N_DRAWS), np.maximum(rows["n_draws"], 1)
    for name in (name for name in P_VALUES if name in rows):
        p = np.asarray(rows[name], float)
        yield name, np.sqrt((p * (1 - p) + 1 / few) / few)
    share = np.asarray(rows["acceptance"], float)
    yield "acceptance", np.sqrt((share * (1 - share) + share / drawn) * share / drawn)
    if "log_evidence" in rows:
        yield "log_evidence", np.asarray(rows["log_evidence_error"], float)
    for name in rows:  # means over N_DRAWS draws; what these differ by is a part of their error
        if f"{name}_error" in rows and name != "log_evidence":
            yield name, np.asarray(rows[f"{name}_error"], float) / np.sqrt(few)
