"""Figures of posteriors: what parameters may be, and how far a flow is from a chain."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy.ndimage import gaussian_filter

from hpcsbi.report.diagnostic_plots import BAND, COLOURS, DASHES, GREEN, ORANGE, limits_of, styled

__all__ = ["Figure", "corner", "distances_by_pareto_k", "draw_corner"]


@styled
def corner(
    sets: Sequence[np.ndarray],
    titles: Sequence[str],
    truth: np.ndarray | None = None,
    keys: Sequence[str] = (),
) -> Figure:
    """Marginal distributions and the 68 and 95 % regions of each pair of parameters.

    Arguments:
        sets: draws, each of shape (n, n_theta); the first is filled, the others are contours. One
            may be empty, or NaN in columns that it does not have.
        titles: label of each parameter.
        truth: true parameters, shape (n_theta,).
        keys: legend of the sets.
    """
    n = len(titles)
    figure = Figure(figsize=(1.15 * n + 0.8, 1.15 * n + 0.6))
    draw_corner(figure, sets, titles, truth, keys)
    return figure


def draw_corner(
    figure: Figure,
    sets: Sequence[np.ndarray],
    titles: Sequence[str],
    truth: np.ndarray | None = None,
    keys: Sequence[str] = (),
) -> None:
    """`corner` onto a figure that somebody else made, whose size and style stay theirs.

    Arguments:
        figure: to draw on.
        sets, titles, truth, keys: see `corner`.
    """
    n = len(titles)
    figure.subplots_adjust(0.11, 0.1, 0.985, 0.985, 0.06, 0.06)
    grid = figure.add_gridspec(n, n)
    limits = [limits_of(np.concatenate([draws[:, i] for draws in sets]), 0.12) for i in range(n)]
    for i, j in zip(*np.tril_indices(n), strict=True):
        axes = figure.add_subplot(grid[i, j])
        for draws, colour, dash in zip(sets, COLOURS, DASHES, strict=False):
            _panel(axes, draws, (i, j), limits, colour, dash)
        if truth is not None:
            axes.axvline(truth[j], color="black", lw=0.8, ls=":")
            if i != j:
                axes.axhline(truth[i], color="black", lw=0.8, ls=":")
        _dress(axes, (i, j), titles, limits)
    if any(keys):
        lines = [
            Line2D([], [], color=colour, ls=dash, label=key)
            for draws, colour, dash, key in zip(sets, COLOURS, DASHES, keys, strict=False)
            if len(draws)
        ]
        legend = figure.legend(handles=lines, loc="upper right", fontsize=9)
        for text in legend.texts:
            text.set_parse_math(False)
    figure.align_labels()


@styled
def distances_by_pareto_k(k: np.ndarray, distances: np.ndarray, titles: Sequence[str]) -> Figure:
    """Distance of flow, re-weighted draws and halves of the chain from it against Pareto k.

    Arguments:
        k: of the flow's own draws, shape (n,); what is infinite is drawn at the edge.
        distances: of flow, re-weighted draws and halves, in posterior standard deviations, NaN
            where there is none, shape (n, 3).
        titles: legend of the three.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    flow, weighted, halves = distances.T
    k = np.where(np.isinf(k), np.clip(k, *limits_of(np.append(k, 0.7), 0.08)), k)
    axes.vlines(k, weighted, flow, color="0.8", lw=0.7, zorder=1, rasterized=True)
    axes.plot(k, flow, "o", ms=4.5, color=GREEN, label=titles[0], rasterized=True)
    axes.plot(k, weighted, "s", ms=4.5, mfc="white", color=ORANGE, label=titles[1], rasterized=True)
    if np.isfinite(halves).any():
        low, middle, high = np.nanquantile(halves, [0.16, 0.5, 0.84])
        axes.axhspan(low, high, color=BAND, lw=0, zorder=0)
        axes.axhline(middle, color="0.4", lw=0.8, ls="--", label=titles[2])
    axes.axvline(0.7, color="black", lw=0.8, ls=":")
    axes.annotate(
        "k = 0.7", (0.7, 1.01), xycoords=("data", "axes fraction"), ha="center", color="0.3"
    )
    axes.set(
        xlabel="Pareto k of the flow's draws",
        ylabel="largest Wasserstein distance\n[posterior standard deviations]",
        yscale="log",
    )
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _panel(
    axes: Axes, draws: np.ndarray, at: tuple[int, int], limits: list, colour: str, dash: str
) -> None:
    """One set of draws in the panel of row i, column j."""
    i, j = at
    x, y = draws[:, j], draws[:, i]
    if not (np.isfinite(x) & np.isfinite(y)).any():
        return
    if i == j:
        counts, edges = np.histogram(x, 30, limits[j])
        axes.stairs(gaussian_filter(counts / counts.sum(), 1), edges, color=colour, lw=1.2, ls=dash)
        return
    counts, *edges = np.histogram2d(x, y, 44, (limits[j], limits[i]))
    density = gaussian_filter(counts, 1.2 if len(draws) > 2000 else 1.6)
    centres = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    ordered = np.sort(density.ravel())[::-1]
    held = np.cumsum(ordered) / ordered.sum()
    cuts = np.unique([ordered[np.searchsorted(held, share)] for share in (0.95, 0.68)])
    if dash == DASHES[0]:
        axes.contourf(*centres, density.T, [*cuts, ordered[0] * 1.001], cmap=_tints(colour))
    axes.contour(*centres, density.T, cuts, colors=[colour], linewidths=1, linestyles=[dash])


def _tints(colour: str) -> Colormap:
    ends = [tuple(1 - share * (1 - c) for c in to_rgb(colour)) for share in (0.2, 0.5)]
    return LinearSegmentedColormap.from_list("tint", ends)


def _dress(axes: Axes, at: tuple[int, int], titles: Sequence[str], limits: list) -> None:
    """Ticks and labels on the outer panels only."""
    i, j = at
    axes.set_xlim(*limits[j])
    axes.set_xticks(_inner_ticks(*limits[j]))
    if i == j:
        axes.set(yticks=[], ylim=(0, None))
    else:
        axes.set_ylim(*limits[i])
        axes.set_yticks(_inner_ticks(*limits[i]))
    last = i == len(titles) - 1
    axes.tick_params(labelbottom=last, labelleft=j == 0 and i > 0, labelsize=7.5)
    axes.tick_params(axis="x", rotation=45)
    axes.set_xlabel(titles[j] if last else "", fontsize=8)
    axes.set_ylabel(titles[i] if j == 0 and i > 0 else "", fontsize=8)


def _inner_ticks(low: float, high: float) -> np.ndarray:
    """Two or three ticks, for one tells no scale, that do not touch those of the next panel."""
    margin = 0.1 * (high - low)
    for steps in range(3, 9):
        ticks = MaxNLocator(steps).tick_values(low, high)
        ticks = ticks[(ticks > low + margin) & (ticks < high - margin)]
        if len(ticks) >= 2:
            break
    return ticks if len(ticks) < 4 else ticks[:: len(ticks) - 1]
