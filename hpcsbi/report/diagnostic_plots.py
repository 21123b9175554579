"""Figures: arrays in, a matplotlib figure out; no files, no global state.

Parameters arrive in the coordinates of the prior (log10 where it is defined in the logarithm) with
the labels that `labels` gives them.
"""

import io
from collections.abc import Callable, Sequence
from functools import wraps

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from hpcsbi.simulator.theta.parameters import parameter
from hpcsbi.statistics.bands import histogram_band, pointwise_band, simultaneous_band
from hpcsbi.statistics.calibration import chi, tarp_coverage

__all__ = [
    "calibration_curves",
    "differences",
    "image_bytes",
    "labels",
    "rank_histograms",
    "recovery",
    "training_history",
]

# Okabe & Ito: told apart by colour-blind readers and in grey print.
BLUE, ORANGE, GREEN, PURPLE, SKY, GOLD = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#B07A00",
)
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, GOLD, "black")
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), ":")
BAND = "0.88"
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.linewidth": 0.7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "path",
    "svg.hashsalt": "hpcsbi",  # the same figure has the same bytes
}


def styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    @wraps(function)
    def draw(*arguments: object, **options: object) -> Figure:
        with rc_context(STYLE):
            return function(*arguments, **options)

    return draw


def labels(names: Sequence[str], log: Sequence[bool]) -> list[str]:
    """Axis label of each parameter, with its unit.

    Arguments:
        names: parameters.
        log: true where the values are log10.
    """
    return [
        parameter(name).log_label if is_log else parameter(name).label
        for name, is_log in zip(names, log, strict=True)
    ]


def image_bytes(figure: Figure, form: str = "svg") -> bytes:
    """A figure as SVG or PNG, the same bytes for the same figure.

    Arguments:
        figure: what to draw.
        form: "svg" (text as outlines, dense points as pixels) or "png" (of 64 colours).
    """
    content, small = io.BytesIO(), io.BytesIO()
    with rc_context(STYLE):
        if form == "svg":
            figure.savefig(content, format=form, dpi=200, metadata={"Date": None, "Creator": None})
            return content.getvalue()
        figure.savefig(content, format=form, dpi=170)
    Image.open(content).convert("RGB").quantize(64).save(small, form, optimize=True)
    return small.getvalue()


@styled
def recovery(
    theta: np.ndarray, quantiles: np.ndarray, titles: Sequence[str], shown: int = 200
) -> Figure:
    """Recovered against true parameters, and below each the error in units of its half width.

    Arguments:
        theta: truths, shape (n_spectra, n_theta).
        quantiles: p16, p50, p84 in the last dimension, shape (n_spectra, n_theta, 3).
        titles: label of each parameter.
        shown: number of spectra drawn; scatter and bias are of all.
    """
    n = len(titles)
    columns = n if n <= 5 else -(-n // 2)
    bands = -(-n // columns)
    figure = Figure(figsize=(2.4 * columns, 3.2 * bands), layout="constrained")
    grid = figure.subplots(2 * bands, columns, squeeze=False, height_ratios=[2.2, 0.9] * bands)
    scores = chi(theta, quantiles)
    rows = np.linspace(0, len(theta) - 1, min(shown, len(theta))).astype(int)
    for i, title in enumerate(titles):
        band, column = divmod(i, columns)
        upper, lower = grid[2 * band, column], grid[2 * band + 1, column]
        _recovery_panel(upper, theta[rows, i], quantiles[rows, i], title)
        _score_panel(lower, theta[rows, i], scores[rows, i], scores[:, i])
        lower.set(xlabel=f"true {title}", xlim=upper.get_xlim())
        if column == 0:
            lower.set_ylabel(r"$\chi$")
    for axes in grid.ravel()[[not axes.has_data() for axes in grid.ravel()]]:
        axes.remove()
    return figure


@styled
def rank_histograms(fractions: np.ndarray, titles: Sequence[str]) -> Figure:
    """Histograms of rank fractions with the 95 % range of each bar under uniform ranks.

    Arguments:
        fractions: from `rank_fractions`, shape (n_spectra, n_theta).
        titles: label of each parameter.
    """
    n = len(titles)
    columns = n if n <= 5 else -(-n // 2)
    figure = Figure(figsize=(2.4 * columns, 2.1 * -(-n // columns)), layout="constrained")
    grid = figure.subplots(-(-n // columns), columns, squeeze=False, sharey=True)
    bins = int(np.clip(len(fractions) // 25, 5, 20))
    band = histogram_band(len(fractions), bins)
    bars = [np.histogram(column, bins, (0, 1))[0] for column in fractions.T]
    for axes, counts, title in zip(grid.flat, bars, titles, strict=False):
        axes.axhspan(*band, color=BAND, lw=0)
        axes.axhline(len(fractions) / bins, color="0.4", lw=0.8, ls="--")
        axes.stairs(counts, np.linspace(0, 1, bins + 1), baseline=None, color=BLUE, lw=1.3)
        axes.set(title=title, xlim=(0, 1), xticks=[0, 0.5, 1])
        axes.set_xlabel("rank of the truth / draws")
        axes.set_ylim(0, 1.08 * max(band[1], np.max(bars)))
    for axes in grid[:, 0]:
        axes.set_ylabel("spectra")
    for axes in grid.flat[n:]:
        axes.remove()
    return figure


@styled
def calibration_curves(fractions: np.ndarray, tarp: np.ndarray, titles: Sequence[str]) -> Figure:
    """Distribution of ranks, coverage of central intervals, and TARP, each less what is expected.

    Arguments:
        fractions: rank fractions, shape (n_spectra, n_theta).
        tarp: fractions of `tarp_fractions`, shape (n_spectra,).
        titles: label of each parameter.
    """
    figure = Figure(figsize=(11, 4.3), layout="constrained")
    ranks, coverage, joint = figure.subplots(1, 3)
    n, levels = len(fractions), np.linspace(0, 1, 201)
    central = 2 * np.abs(fractions - 0.5)
    for i, title in enumerate(titles):
        style = {"color": COLOURS[i % 7], "ls": DASHES[i % 7], "lw": 1.3}
        ranks.plot(levels, _cumulative(fractions[:, i], levels) - levels, **style, label=title)
        coverage.plot(levels, _cumulative(central[:, i], levels), **style)
    _flat_band(ranks, levels, n)
    ranks.set(
        xlabel="rank fraction", ylabel="cumulative share less rank fraction", title="SBC ranks"
    )
    _diagonal_band(coverage, levels, n)
    coverage.set(ylabel="share of truths inside", title="coverage of central intervals")
    joint.plot(levels, tarp_coverage(tarp, levels), color="black", lw=1.3)
    _diagonal_band(joint, levels, int(np.isfinite(tarp).sum()))
    joint.set(ylabel="expected coverage", title="TARP, all parameters together")
    for axes in (coverage, joint):
        axes.set(xlabel="credibility level", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    coverage.text(0.04, 0.92, "too wide", color="0.4")
    coverage.text(0.96, 0.04, "too narrow", color="0.4", ha="right")
    figure.legend(loc="outside lower center", ncols=len(titles))
    return figure


@styled
def training_history(step: np.ndarray, log_prob: np.ndarray) -> Figure:
    """Held-out log density against training step.

    Arguments:
        step: number of steps, shape (n,).
        log_prob: mean log density of held-out parameters, nat, shape (n,).
    """
    figure = Figure(figsize=(6.4, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(step, log_prob, color=BLUE, marker="o", ms=3, lw=1.2)
    axes.set(xlabel="training step", ylabel="held-out mean log density [nat]", xlim=(0, None))
    finite = log_prob[np.isfinite(log_prob)]
    if len(finite) > 4:
        low, high = np.quantile(finite, 0.1), finite.max()
        axes.set_ylim(low - 0.1 * (high - low + 0.1), high + 0.15 * (high - low + 0.1))
    return figure


@styled
def differences(
    titles: Sequence[str], difference: np.ndarray, error: np.ndarray, tied: np.ndarray
) -> Figure:
    """Score of each flow less that of the best, best on top.

    Arguments:
        titles: name of each flow.
        difference, error: nat, and its standard error, shape (n,).
        tied: not told from the best, shape (n,).
    """
    figure = Figure(figsize=(6.4, 0.9 + 0.24 * len(titles)), layout="constrained")
    axes = figure.subplots()
    place = -np.arange(len(titles))
    for marked, colour in ((tied, BLUE), (~tied, "0.45")):
        axes.errorbar(
            difference[marked], place[marked], xerr=error[marked], fmt="o", ms=4, color=colour, lw=1
        )
    axes.axvline(0, color="0.4", lw=0.8, ls="--")
    axes.set_yticks(place, titles)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="held-out log probability less that of the best [nat]")
    return figure


def _recovery_panel(axes: Axes, true: np.ndarray, quantiles: np.ndarray, title: str) -> None:
    p16, p50, p84 = quantiles.T
    low, high = limits_of(np.concatenate([true, p50]))
    axes.plot([low, high], [low, high], color="0.4", lw=0.8, ls="--")
    error = np.clip([p50 - p16, p84 - p50], 0, None)
    axes.errorbar(
        true, p50, error, fmt="o", ms=2.2, lw=0.5, color=BLUE, ecolor="#9CC6E0", rasterized=True
    )
    axes.set(xlim=(low, high), ylim=(low, high), ylabel=f"recovered {title}")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_box_aspect(1)
    axes.tick_params(labelbottom=False)


def _score_panel(axes: Axes, true: np.ndarray, shown: np.ndarray, every: np.ndarray) -> None:
    axes.axhspan(-1, 1, color=BAND, lw=0)
    axes.axhline(0, color="0.4", lw=0.8, ls="--")
    axes.plot(true, shown, "o", ms=2, color=BLUE, rasterized=True)
    axes.set(ylim=(-4.5, 6.5), yticks=[-3, 0, 3])
    axes.xaxis.set_major_locator(MaxNLocator(4))
    finite = every[np.isfinite(every)]
    if len(finite):
        half = np.subtract(*np.quantile(finite, [0.84, 0.16])) / 2
        note = f"median {np.median(finite):+.2f}, width {half:.2f}"
        axes.text(0.03, 0.96, note, transform=axes.transAxes, fontsize=7, va="top")


def _cumulative(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(values), levels, side="right") / max(len(values), 1)


def _flat_band(axes: Axes, levels: np.ndarray, n: int) -> None:
    half = simultaneous_band(max(n, 1))
    axes.fill_between(levels, -half, half, color=BAND, lw=0, zorder=0)
    axes.axhline(0, color="0.4", lw=0.8, ls="--")
    reach = max(2.2 * half, 1.1 * max(np.abs(line.get_ydata()).max() for line in axes.lines))
    axes.set(xlim=(0, 1), ylim=(-reach, reach))
    axes.set_box_aspect(1)
    axes.text(0.03, 0.04, "band: 95 %, whole curve", transform=axes.transAxes, color="0.4")


def _diagonal_band(axes: Axes, levels: np.ndarray, n: int) -> None:
    low, high = pointwise_band(max(n, 1), levels)
    axes.fill_between(levels, low, high, color=BAND, lw=0, zorder=0)
    axes.plot([0, 1], [0, 1], color="0.4", lw=0.8, ls="--")


def limits_of(values: np.ndarray, share: float = 0.04) -> tuple[float, float]:
    """Range of almost all values, with a margin of a share of it."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = np.quantile(finite, [0.001, 0.999])
    margin = share * (high - low) or 0.5
    return low - margin, high + margin
