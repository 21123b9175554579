"""Figures of two catalogues side by side: arrays in, a matplotlib figure out."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from hpcsbi.report.diagnostic_plots import BLUE, ORANGE, styled

__all__ = ["comparison"]

FEW = 2000  # objects that are drawn as points
WIDE = 6.0  # standard deviations of a pull that are shown


@styled
def comparison(
    first: np.ndarray, second: np.ndarray, error: np.ndarray, label: str, names: tuple[str, str]
) -> Figure:
    """One against the other, their difference along the mean of both, and the pulls.

    Arguments:
        first, second: values of the same objects, finite, shape (objects,).
        error: standard deviation of the difference as quoted, 0 where none is, shape (objects,).
        label: of the quantity, with its unit.
        names: of the two catalogues.
    """
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    one, along, pulls = figure.subplots(1, 3)
    low, high = _range(np.concatenate([first, second]))
    _points(one, second, first, (low, high), (low, high))
    one.plot([low, high], [low, high], color="black", lw=0.8)
    one.set(xlabel=f"{label}, {names[1]}", ylabel=f"{label}, {names[0]}")
    difference = first - second
    edge = max(np.max(np.abs(_range(difference))), 1e-12)
    _points(along, (first + second) / 2, difference, (low, high), (-edge, edge))
    along.axhline(0, color="black", lw=0.8)
    along.axhline(np.median(difference), color=ORANGE, ls="--", lw=1)
    along.set(xlabel=f"{label}, mean of both", ylabel="difference (dashed: its median)")
    known = error > 0
    pulls.set(xlabel="difference / quoted error", ylabel="density")
    if known.any():
        values = (difference[known] / error[known]).clip(-WIDE, WIDE)
        bins = np.linspace(-WIDE, WIDE, 13 if known.sum() < 200 else 49)
        pulls.hist(values, bins, density=True, color=BLUE, alpha=0.7)
        x = np.linspace(-WIDE, WIDE, 200)
        pulls.plot(x, stats.norm.pdf(x), color="black", lw=0.8)
    else:
        pulls.text(0.5, 0.5, "no errors are quoted", ha="center", transform=pulls.transAxes)
    return figure


def _range(values: np.ndarray) -> tuple[float, float]:
    """Where nearly all of them lie, with a margin."""
    low, high = np.quantile(values, [0.001, 0.999])
    margin = 0.05 * max(high - low, 1e-12)
    return low - margin, high + margin


def _points(axes: Axes, x: np.ndarray, y: np.ndarray, x_range: tuple, y_range: tuple) -> None:
    """Points where they are few, else their number in cells."""
    if len(x) <= FEW:
        axes.plot(x, y, "o", color=BLUE, ms=6 if len(x) < 100 else 3, alpha=0.6, mew=0)
    else:
        counts, *edges = np.histogram2d(x, y, 80, [x_range, y_range])
        axes.pcolormesh(
            *edges, np.ma.masked_equal(np.log10(np.maximum(counts.T, 0.1)), -1), cmap="Blues",
            vmin=-0.7, rasterized=True,
        )  # fmt: skip
    axes.set(xlim=x_range, ylim=y_range)
