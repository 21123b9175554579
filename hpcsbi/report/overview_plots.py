"""Figures of all objects of a catalogue: planes, and how well they were inferred."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from hpcsbi.report.diagnostic_plots import BLUE, limits_of, styled
from hpcsbi.statistics.importance_weights import FEWEST, LARGEST_K

__all__ = ["planes", "quality"]

Columns = Mapping[str, np.ndarray]
BARS, POINTS = 60, 1000  # objects that are drawn with their percentiles, and as points
CELLS, BINS = 80, 40
LEAST_RATE = 1e-5  # solar masses a year: lower ones are drawn there
PLANES = (
    ("logmass", "logzsol"),
    ("logmass", "mass_weighted_age"),
    ("logmass_surviving", "sfr_100myr"),
    ("zred", "logmass"),
)
LABELS = {
    "logmass": r"$\log\,M_\mathrm{formed}/M_\odot$",
    "logmass_surviving": r"$\log\,M_\mathrm{surviving}/M_\odot$",
    "logzsol": r"$\log\,Z/Z_\odot$",
    "mass_weighted_age": "mass-weighted age [Gyr]",
    "sfr_100myr": r"$\log\,\mathrm{SFR_{100\,Myr}}/(M_\odot\,\mathrm{yr}^{-1})$",
    "zred": "redshift",
}
LOGARITHMS = {"sfr_100myr": LEAST_RATE}


@styled
def planes(medians: Columns, percentiles: Columns | None = None) -> Figure | None:
    """Metallicity, age and star formation against mass, and mass against redshift.

    Few objects are points with bars from the 16th to the 84th percentile, more are points, many
    are counted in cells.

    Arguments:
        medians: of the columns of PLANES as far as there are any, shape (rows,).
        percentiles: p16, p50 and p84 of the same rows, shape (rows, 3); None where there are many.

    Returns:
        None where there is no plane.
    """
    shown = [(x, y) for x, y in PLANES if x in medians and y in medians]
    if not shown:
        return None
    figure = Figure(figsize=(9, 3.4 * -(-len(shown) // 2)), layout="constrained")
    grid = figure.subplots(-(-len(shown) // 2), 2, squeeze=False)
    for axes, (x, y) in zip(grid.flat, shown, strict=False):
        pair = [_drawn(name, medians[name]) for name in (x, y)]
        known = np.isfinite(pair).all(0)
        pair = [values[known] for values in pair]
        if len(pair[0]) > POINTS:
            _cells(axes, *pair)
        else:
            bars = [_bars(name, percentiles, known) for name in (x, y)]
            axes.errorbar(
                *pair, xerr=bars[0], yerr=bars[1], fmt="o", ms=3.5 if bars[1] is not None else 2,
                lw=0.8, color=BLUE, ecolor="#9CC6E0", rasterized=len(pair[0]) > BARS,
            )  # fmt: skip
        axes.set(xlabel=LABELS[x], ylabel=LABELS[y])
        axes.xaxis.set_major_locator(MaxNLocator(5))
    for axes in grid.flat[len(shown) :]:
        axes.remove()
    return figure


@styled
def quality(columns: Columns) -> Figure | None:
    """Numbers of objects by chi squared, Pareto k and effective sample size.

    Arguments:
        columns: chi2, pareto_k and ess as far as there are any, NaN where there is none.
    """
    wanted = {"chi2": "χ² a pixel", "pareto_k": "Pareto k of the weights", "ess": "log ESS"}
    shown = {
        name: values[~np.isnan(values)]
        for name in wanted
        if name in columns and np.isfinite(values := columns[name]).any()
    }
    if not shown:
        return None
    figure = Figure(figsize=(3.1 * len(shown), 2.4), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (name, values) in zip(panels, shown.items(), strict=True):
        values = np.log10(np.maximum(values, 1)) if name == "ess" else values
        limits = limits_of(values)
        bins = BINS if len(values) > 200 else 10
        axes.hist(np.clip(values, *limits), np.linspace(*limits, bins + 1), color=BLUE, alpha=0.75)
        mark = {"pareto_k": LARGEST_K, "ess": np.log10(FEWEST), "chi2": 1.0}[name]
        if limits[0] < mark < limits[1]:
            axes.axvline(mark, color="black", lw=0.8, ls=":")
        axes.set(xlabel=wanted[name])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    figure.axes[0].set_ylabel("objects")
    return figure


def _drawn(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return np.log10(np.maximum(values, LOGARITHMS[name])) if name in LOGARITHMS else values


def _bars(name: str, percentiles: Columns | None, known: np.ndarray) -> np.ndarray | None:
    if percentiles is None or name not in percentiles:
        return None
    low, middle, high = _drawn(name, percentiles[name][known]).T
    return np.clip([middle - low, high - middle], 0, None)


def _cells(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Objects counted in cells of the plane, in the logarithm; rare ones at its rim are inside."""
    ends = [limits_of(values) for values in (x, y)]
    x, y = (np.clip(values, *limits) for values, limits in zip((x, y), ends, strict=True))
    counts, *edges = np.histogram2d(x, y, CELLS, ends)
    mesh = axes.pcolormesh(
        *edges, np.ma.masked_equal(counts.T, 0), norm=LogNorm(1, max(counts.max(), 2)),
        cmap="viridis_r", rasterized=True,
    )  # fmt: skip
    bar = axes.figure.colorbar(mesh, ax=axes, label="objects a cell")
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
