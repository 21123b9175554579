"""Panels of one posterior onto axes that somebody else made, whose style stays theirs."""

import numpy as np
from matplotlib.axes import Axes

from hpcsbi.report.diagnostic_plots import BAND, BLUE, ORANGE

__all__ = ["Axes", "draw_history", "draw_marginal", "fill_bands"]

BINS = 40
LEAST = 1e-4  # of the largest median: smaller rates are below the panel


def draw_marginal(
    axes: Axes, values: np.ndarray, weights: np.ndarray, prior: np.ndarray, title: str
) -> None:
    """Densities of a parameter's posterior and, filled, of its prior.

    Arguments:
        axes: to draw on.
        values, weights: draws of the posterior, shape (n,).
        prior: draws of the prior, shape (m,).
        title: label of the parameter.
    """
    low, high = min(prior.min(), values.min()), max(prior.max(), values.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    axes.hist(prior, edges, density=True, color=BAND, label="prior")
    narrow = np.linspace(*_ends(values, edges), BINS + 1)
    axes.hist(
        values, narrow, weights=weights, density=True, histtype="step", color=BLUE, lw=1.3,
        label="posterior",
    )  # fmt: skip
    axes.set(xlabel=title, yticks=[])


def draw_history(
    axes: Axes, edges: np.ndarray, quantiles: np.ndarray, prior: np.ndarray | None = None
) -> None:
    """Star formation rate against lookback time, both in the logarithm, with its bands.

    Arguments:
        axes: to draw on.
        edges: Gyr, ascending, shape (bins + 1,).
        quantiles: solar masses a year at 2.5, 16, 50, 84 and 97.5 %, shape (5, bins).
        prior: the same of the prior, drawn behind; None for none.
    """
    edges = np.where(edges > 0, edges, edges[1] / 2)
    if prior is not None:
        fill_bands(axes, edges, prior, prior=True)
    fill_bands(axes, edges, quantiles)
    top, middle = float(quantiles.max()), float(quantiles[2].max())
    if top > 0:
        axes.set(yscale="log", ylim=(LEAST * (middle or top), 2 * top))
    axes.set(
        xscale="log",
        xlim=(edges[0], edges[-1]),
        xlabel="lookback time [Gyr]",
        ylabel=r"star formation rate [$M_\odot\,\mathrm{yr}^{-1}$]",
    )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def fill_bands(axes: Axes, x: np.ndarray, quantiles: np.ndarray, prior: bool = False) -> None:
    """Bands of 95 and 68 % and the median, in steps where x are the edges of bins.

    Arguments:
        axes: to draw on.
        x: edges of bins, shape (bins + 1,), or places of the quantiles.
        quantiles: at 2.5, 16, 50, 84 and 97.5 %, shape (5, bins) or (5, places).
        prior: drawn in grey, and without a median.
    """
    colour, shades = ("0.55", (0.22, 0.3)) if prior else (ORANGE, (0.25, 0.45))
    whose = "prior " if prior else ""
    for (low, high), shade, size in zip(((0, 4), (1, 3)), shades, ("95 %", "68 %"), strict=True):
        style = {"color": colour, "alpha": shade, "lw": 0, "label": f"{whose}{size}"}
        if quantiles.shape[1] == len(x):
            axes.fill_between(x, quantiles[low], quantiles[high], **style)
        else:
            axes.stairs(quantiles[high], x, baseline=quantiles[low], fill=True, **style)
    if prior:
        return
    if quantiles.shape[1] == len(x):
        axes.plot(x, quantiles[2], color=colour, lw=1.3, label="median")
    else:
        axes.stairs(quantiles[2], x, baseline=None, color=colour, lw=1.3, label="median")


def _ends(values: np.ndarray, edges: np.ndarray) -> tuple[float, float]:
    """Range of a posterior, not of no width."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (float(edges[0]), float(edges[-1]))
