"""Objects of a catalogue in words and rows of a table; nothing here is escaped."""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi import flags
from hpcsbi.flags import Flag
from hpcsbi.inference.columns.row_checks import EDGE_SHARE, EDGE_WIDTH
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.report.tables import number, quantity
from hpcsbi.simulator.theta.prior import Prior

__all__ = [
    "certificate_words",
    "edges",
    "fact_words",
    "flag_words",
    "flow_words",
    "object_title",
    "table_rows",
]

Columns = Mapping[str, np.ndarray]
LEVELS = np.array([*QUANTILES.values()])


def object_title(name: str, zred: float, chi2: float) -> str:
    """Heading of one object."""
    return f"{name}, z = {number(zred, 4)}, χ²/pixel = {number(chi2)}"


def certificate_words(
    origin: str | None,
    ess: float | None,
    drawn: int | None,
    pareto_k: float | None,
    of_flow: int | None = None,
) -> str:
    """What the weights of one object say; None of all where there are none.

    Arguments:
        origin, ess, drawn, pareto_k: columns of the certificate.
        of_flow: draws of the flow, `n_draws`; those of a rescue take their place.
    """
    if ess is None:
        return "No certificate was made (infer.certificate=false)."
    whose = (
        "the flow's draws, for the weights are weak" if origin == "flow" else "re-weighted draws"
    )
    rescue = ""
    if of_flow is not None and drawn is not None and drawn != of_flow:
        rescue = f" The flow's own {of_flow} draws had weak weights: these are of a rescue."
    return (
        f"Certificate: {whose}; effective sample {number(ess)} of {drawn}, Pareto k "
        f"{number(pareto_k)} (below 0.7 weights can be trusted).{rescue}"
    )


def flow_words(prior: Prior, quantiles: np.ndarray, of_flow: np.ndarray | None) -> str:
    """How far the flow's own median is from the published one, in its worst parameter.

    Arguments:
        prior: of theta.
        quantiles: published, at the levels of QUANTILES, own units, shape (levels, n_theta).
        of_flow: of the flow's draws, the same shape; None without a certificate.
    """
    if of_flow is None or not np.isfinite([quantiles, of_flow]).all():
        return ""
    published, flow = prior.coordinates(quantiles), prior.coordinates(of_flow)
    half = np.maximum((published[3] - published[1]) / 2, 1e-12)
    off = np.where(prior.inferred, np.abs(flow[2] - published[2]) / half, 0)
    worst = int(np.argmax(off))
    return (
        f"The median of the flow alone is {off[worst]:.1f} half widths off in "
        f"{prior.names[worst]}, its worst parameter."
    )


def edges(prior: Prior, quantiles: np.ndarray, zred: float) -> list[str]:
    """At which edges of the prior a posterior piles up, such as "tage upper".

    That of the flag EDGE, over a tenth of the draws in the outer 2 %, from quantiles: between them
    draws are taken for evenly spread, so that a small mode at an edge can go without a name.

    Arguments:
        prior: of theta.
        quantiles: at the levels of QUANTILES, own units, shape (levels, n_theta).
        zred: redshift, which may end ages.
    """
    values, high = prior.coordinates(quantiles), np.ravel(prior.upper(np.array([zred])))
    width = EDGE_WIDTH * (prior.high - prior.low)
    told = []
    for i, name in enumerate(prior.names):
        if name in (*prior.nuisance, *prior.given.names) or not np.isfinite(values[:, i]).all():
            continue
        places = np.concatenate([[prior.low[i]], values[:, i], [high[i]]])
        shares = np.concatenate([[0.0], LEVELS, [1.0]])
        lower = np.interp(prior.low[i] + width[i], places, shares)
        upper = 1 - np.interp(high[i] - width[i], places, shares)
        told += [f"{name} lower"] if lower > EDGE_SHARE else []
        told += [f"{name} upper"] if upper > EDGE_SHARE else []
    return told


def fact_words(snr: float | None, position: np.ndarray | None) -> str:
    """Signal to noise and place on the sky, as far as they are known.

    Arguments:
        snr: median, a pixel.
        position: right ascension and declination, degrees.
    """
    told = []
    if snr is not None and np.isfinite(snr):
        told.append(f"Median S/N {number(float(snr))} a pixel")
    if position is not None and np.isfinite(position).all():
        ra, dec = map(float, position)
        told.append(f"right ascension {ra:.5f}°, declination {dec:+.5f}°")
    return f"{'; '.join(told)}." if told else ""


def flag_words(value: int, at: Sequence[str]) -> str:
    """Names of the flags of an object, EDGE with the edges where they are known."""
    names = flags.names(value)
    if Flag.EDGE.name in names and at:
        names[names.index(Flag.EDGE.name)] = f"{Flag.EDGE.name} ({', '.join(at)})"
    return ", ".join(names)


def table_rows(columns: Columns, prior: Prior, other: Columns | None) -> list[dict]:
    """One dictionary for each object of a table, with the numbers that it is sorted by.

    Arguments:
        columns: id, zred, flags, chi2, ess, quantiles (rows, levels, n_theta), row, and
            <name>_p16, _p50, _p84 of each parameter, each of shape (rows,); ess may lack.
        prior: of theta.
        other: the same of a second catalogue of the same objects; it may lack parameters.
    """
    rows = []
    for i, name in enumerate(columns["id"]):
        zred, chi2 = float(columns["zred"][i]), float(columns["chi2"][i])
        ess = float(columns["ess"][i]) if "ess" in columns else np.nan
        at = edges(prior, columns["quantiles"][i], zred)
        rows.append(
            {
                "id": str(name),
                "row": int(columns["row"][i]),
                "zred": (number(zred, 4), zred),
                "quantities": [
                    (_cell(columns, each, i), _cell(other, each, i), _key(columns, each, i))
                    for each in prior.inferred_names
                ],
                "chi2": (number(chi2), _finite(chi2)),
                "ess": (number(ess), _finite(ess)),
                "flags": flag_words(columns["flags"][i], at),
            }
        )
    return rows


def _cell(columns: Columns | None, name: str, row: int) -> tuple[str, str, str] | None:
    if columns is None or f"{name}_p50" not in columns:
        return None
    return quantity(*(float(columns[f"{name}_{p}"][row]) for p in ("p16", "p50", "p84")))


def _key(columns: Columns, name: str, row: int) -> float | str:
    return _finite(float(columns[f"{name}_p50"][row]))


def _finite(value: float) -> float | str:
    """What a cell is sorted by; nothing where there is no number, which goes last."""
    return value if np.isfinite(value) else ""
