"""Numbers and rows of tables as they stand on the page of a run; nothing here is escaped."""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi import flags
from hpcsbi.inference.columns.row_checks import P_VALUES
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.simulator.theta.column import Column
from hpcsbi.simulator.theta.parameters import parameter
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.statistics.calibration import score
from hpcsbi.statistics.verdict import BLUNT, IMPROBABLE
from hpcsbi.terminal import duration

__all__ = [
    "calibration_numbers",
    "cost_rows",
    "flag_rows",
    "number",
    "pair_rows",
    "prior_difference",
    "probability",
    "quantity",
    "verdict_rows",
]

PARTS = ("training", "validation", "test")
Columns = Mapping[str, np.ndarray]


def number(value: float, digits: int = 3) -> str:
    """A number to some significant digits; a dash when there is none."""
    return f"{value:.{digits}g}" if np.isfinite(value) else "\N{EN DASH}"


def probability(p: float) -> str:
    """A p-value to two digits, of which none rounds to 1.

    Example:
        >>> probability(0.997), probability(0.0123)
        ('0.997', '0.012')
    """
    if not 0.99 < p < 1:
        return number(p, 2)
    return f"{p:.3f}" if p < 0.9995 else "> 0.999"


def quantity(p16: float, p50: float, p84: float) -> tuple[str, str, str] | None:
    """Median and distances to the percentiles, to two digits of their typical size.

    Example:
        >>> quantity(10.412, 10.437, 10.481)
        ('10.437', '+0.044', '−0.025')
    """
    if not np.isfinite([p16, p50, p84]).all():
        return None
    up, down = p84 - p50, p50 - p16
    size = np.sqrt(abs(up * down)) or max(abs(up), abs(down)) or 0.01
    places = int(np.clip(1 - np.floor(np.log10(size)), 0, 4))
    return tuple(
        f"{sign}{value:.{places}f}".replace("-", "\N{MINUS SIGN}")
        for sign, value in (("", p50), ("+", up), ("-", down))
    )


def pair_rows(split: np.ndarray, base: np.ndarray) -> tuple[list[tuple[str, int, int]], int]:
    """Pairs and distinct spectra of each part, and how many spectra are in more than one part.

    Arguments:
        split: 0 training, 1 validation, 2 test, shape (rows,).
        base: number of the spectrum that a row is a noisy copy of, shape (rows,).
    """
    distinct = [np.unique(base[split == i]) for i in range(len(PARTS))]
    rows = [
        (name, int((split == i).sum()), len(distinct[i]))
        for i, name in enumerate(PARTS)
        if len(distinct[i])
    ]
    return rows, sum(map(len, distinct)) - len(np.unique(base))


def flag_rows(values: np.ndarray) -> list[tuple[str, int, str]]:
    """Name, number of objects and meaning of each flag that is set anywhere, shape (rows,)."""
    return [
        (name, number, flags.MEANINGS[flags.Flag[name]])
        for name, number in flags.counts(values).items()
    ]


def calibration_numbers(columns: Columns, without: int) -> list[tuple[str, str]]:
    """Figures of a calibration that have no picture.

    Arguments:
        columns: n_draws and, where there, log_prob, acceptance, those of P_VALUES, shape (n,).
        without: number of spectra without draws.
    """
    count = len(columns["n_draws"])
    numbers = [("spectra", f"{count}, and {without} without draws")]
    if "log_prob" in columns:
        mean, _ = score(columns["log_prob"])
        numbers.append(("mean log density of the truth", f"{mean:.3f} nat"))
    if "acceptance" in columns:
        low, middle = np.nanquantile(columns["acceptance"], [0.01, 0.5])
        text = f"{middle:.3f} at the median, {low:.3f} at the first percentile"
        numbers.append(("share of draws inside the prior", text))
    for name in (name for name in P_VALUES if name in columns):
        p = columns[name][np.isfinite(columns[name])]
        share = np.mean(p < IMPROBABLE) if len(p) else 0.0
        text = f"{share:.3f} of spectra"
        # A blunt posterior can be calibrated; only its own predictions give it away.
        text += "; many draws do not fit the data: train longer" if share > BLUNT else ""
        numbers.append((f"{name} below {IMPROBABLE}", text))
    return numbers


def prior_difference(prior: Prior, other: Prior) -> str:
    """What another prior has that this one has not.

    Example:
        >>> prior = Prior({"tage": {"low": 0, "high": 4}, "tau": {"low": 0.1, "high": 1}})
        >>> prior_difference(prior, Prior({"tage": {"low": 0, "high": 13}}))
        'the prior with tage from 0 to 13 (here 0 to 4), without tau'
    """
    parts = []
    for name, column in other.columns.items():
        counterpart = prior.columns.get(name)
        if counterpart is None:
            parts.append(f"{name} {_lies(column)}")
        elif _shape(counterpart) != _shape(column):
            parts.append(f"{name} {_lies(column)} (here {_span(counterpart)})")
    parts = [f"with {', '.join(parts)}"] if parts else []
    without = [name for name in prior.names if name not in other.names]
    parts += [f"without {', '.join(without)}"] if without else []
    return f"the prior {', '.join(parts)}" if parts else "the same prior"


def verdict_rows(verdict: Mapping) -> dict:
    """The verdict of `verdict.verdict` as rows of a table.

    Returns:
        {"passed", "n", "threshold", "reasons", "levels", "rows", "errors", "flow"}; what the
        verdict lacks is left empty; "flow" is the same of the flow alone, None where it is not
        told apart.
    """
    parameters = verdict.get("parameters", {})
    levels = list(next(iter(parameters.values()), {}).get("coverage", {}))
    threshold, n = verdict.get("threshold", 0.0), verdict.get("n", 0)
    rows = [
        _verdict_row(parameter(name).header, column, levels, threshold)
        for name, column in parameters.items()
    ]
    rows += [
        _verdict_row(each.header, verdict["derived"][each.name], levels, threshold)
        for each in QUANTITIES
        if each.name in verdict.get("derived", {})
    ]
    if joint := verdict.get("joint", {}):
        worst = min(joint, key=lambda name: joint[name]["ks_p"])
        name = f"joint: {worst}, the least of {len(joint)}"
        rows.append(_verdict_row(name, joint[worst], [], threshold))
    if "ks_p" in verdict.get("tarp", {}):
        rows.append(_verdict_row("TARP", verdict["tarp"], [], threshold))
    errors = [f"±{100 * np.sqrt(float(a) * (1 - float(a)) / n):.1f}" for a in levels] if n else []
    return {
        "passed": bool(verdict.get("passed")),
        "n": n,
        "threshold": f"{threshold:.2g}",
        "reasons": verdict.get("reasons", []),
        "levels": [f"{100 * float(a):g} %" for a in levels],
        "rows": rows,
        "errors": ", ".join(errors) + " %" if errors else "",
        "flow": verdict_rows(verdict["flow"]) if verdict.get("flow") else None,
    }


def cost_rows(notes: Sequence[Mapping]) -> tuple[list[dict], dict]:
    """Cost of each stage summed over its calls, in the order in which stages first ran.

    Arguments:
        notes: {"stage", "cpu_seconds", "wall_seconds"} of each call.

    Returns:
        Rows and the total, each {"stage", "calls", "cpu", "wall"}.
    """
    sums: dict[str, np.ndarray] = {}
    for note in notes:
        cost = np.array([1, note["cpu_seconds"], note["wall_seconds"]], dtype=float)
        sums[note["stage"]] = sums.get(note["stage"], 0) + cost
    rows = [_cost_row(stage, cost) for stage, cost in sums.items()]
    return rows, _cost_row("all", sum(sums.values(), np.zeros(3)))


def _shape(column: Column) -> tuple[float, float, Mapping | None, str | float | None]:
    return column.low, column.high, column.distribution, column.given


def _lies(column: Column) -> str:
    return _span(column) if column.is_fixed else f"from {_span(column)}"


def _span(column: Column) -> str:
    """Range of a column, and its distribution where it is not flat, or what gives it."""
    if column.is_fixed:
        return f"fixed at {column.given:g}"
    span = f"{column.low:g} to {column.high:g}"
    if column.given is not None:
        return f"{span}, given by the {column.given.replace('_', ' ')}"
    if column.distribution is None:
        return span
    numbers = (f"{k}={v:g}" for k, v in column.distribution.items() if k != "kind")
    return f"{span} by {column.distribution['kind']}({', '.join(numbers)})"


def _cost_row(stage: str, cost: np.ndarray) -> dict:
    calls, cpu, wall = cost
    return {"stage": stage, "calls": int(calls), "cpu": duration(cpu), "wall": duration(wall)}


def _verdict_row(name: str, column: Mapping, levels: list[str], threshold: float) -> dict:
    p = column.get("ks_p", np.nan)
    shares = [f"{100 * column['coverage'][level]:.1f} %" for level in levels]
    return {"name": name, "p": probability(p), "low": p < threshold, "coverage": shares}
