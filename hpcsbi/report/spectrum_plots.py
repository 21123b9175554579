"""Figures of spectra: examples of the model, and an observed one under what its draws predict."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.optimize import isotonic_regression

from hpcsbi.report.diagnostic_plots import COLOURS, ORANGE, styled

__all__ = [
    "draw_line_names",
    "draw_spectrum",
    "example_seds",
    "pixel_words",
    "spectrum_fit",
    "spread_apart",
]

DRAWN = 1200  # pixels that a figure can show: of more, means of neighbours
MARKED = {  # in vacuum; a name in two places stands once, beside its first
    3728.5: "[O II]", 3934.8: "Ca K", 3969.6: "Ca H", 4102.9: r"H$\delta$", 4305.6: "G band",
    4341.7: r"H$\gamma$", 4862.7: r"H$\beta$", 4960.3: "[O III]", 5008.2: "[O III]",
    5176.6: "Mg b", 5893.6: "Na D", 6549.9: "", 6564.6: r"H$\alpha$ [N II]", 6585.3: "",
    6718.3: "[S II]", 6732.7: "", 8500.4: "", 8544.4: "Ca triplet", 8664.5: "",
}  # fmt: skip
HALPHA = 6564.6
OUTLINED = 300  # pixels of a band that is drawn as an outline
CLOSEST = 0.013  # of the panel's width: names of lines do not touch


@styled
def example_seds(wave: np.ndarray, flux: np.ndarray, titles: Sequence[str]) -> Figure:
    """Spectra over their medians; solid with emission lines, dotted without.

    Arguments:
        wave: Angstrom, vacuum, rest frame, shape (pixel,).
        flux: noise-free spectra, shape (n_spectra, pixel).
        titles: text of the legend for each spectrum.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    shapes = flux / np.median(flux, axis=1, keepdims=True)
    for i, (shape, title) in enumerate(zip(shapes, titles, strict=True)):
        emits = _shows_emission(wave, shape)
        axes.plot(
            wave, shape, COLOURS[i % 7], ls="-" if emits else (0, (1, 1.2)), lw=1.3, label=title
        )
    axes.set(
        xlabel="rest-frame wavelength (vacuum) [Å]",
        ylabel="flux density over its median",
        xlim=(wave[0], wave[-1]),
        yscale="log",
        ylim=(max(0.05, 0.8 * shapes.min()), 1.6 * shapes.max()),
    )
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    draw_line_names(axes, wave)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), title="solid: emission lines")
    return figure


@styled
def spectrum_fit(
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    predicted: np.ndarray,
    floor: float = 0.0,
    title: str = "",
) -> Figure:
    """The observed spectrum under the model's 68 and 95 % bands; below what is left over, over
    sigma and in percent of the model.

    Of more than DRAWN pixels means of neighbours are drawn, as many as it takes.

    Arguments:
        wave: Angstrom, vacuum, rest frame, shape (pixel,).
        flux, ivar: observed, L_sun / Angstrom, shape (pixel,); ivar = 0 is a gap.
        predicted: noise-free model of each posterior draw, shape (n, pixel).
        floor: extra scatter in sigma, as a fraction of the model flux.
        title: a heading.
    """
    figure = Figure(figsize=(10, 5.6))
    upper, lower, percent = figure.subplots(3, 1, sharex=True, height_ratios=[2.4, 1, 1])
    figure.subplots_adjust(0.07, 0.09, 0.985, 0.83, hspace=0.06)
    draw_spectrum(upper, lower, wave, flux, ivar, predicted, floor, percent)
    upper.set_title(title, loc="left", y=1.27, parse_math=False)
    figure.align_ylabels()
    return figure


def draw_spectrum(
    upper: Axes,
    lower: Axes,
    wave: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    predicted: np.ndarray,
    floor: float = 0.0,
    percent: Axes | None = None,
) -> None:
    """The same on axes that are there already.

    Arguments:
        upper: for the spectrum.
        lower: for residuals over sigma.
        wave, flux, ivar, predicted, floor: see `spectrum_fit`.
        percent: for residuals in percent of the model, with sigma; None for none.
    """
    pixels = pixel_words(wave)
    together = -(-len(wave) // DRAWN)
    if together > 1:
        wave, flux, ivar, predicted = _means(together, wave, flux, ivar, predicted)
    seen = "observed" if together == 1 else f"observed, means of {together} pixels"
    width = min(0.9, 600 / len(wave))  # the model must not vanish behind many pixels
    bands = np.quantile(predicted, [0.025, 0.16, 0.5, 0.84, 0.975], axis=0)
    valid = ivar > 0
    power = int(np.floor(np.log10(max(np.abs(bands[2]).max(), 1e-300))))
    quoted = np.where(valid, ivar, np.nan) ** -0.5
    noise = np.hypot(quoted, floor / np.sqrt(together) * bands[2])
    observed = np.where(valid, flux, np.nan)
    edges = _edges(wave)
    for low, high, shade in ((0, 4, 0.25), (1, 3, 0.45)):
        label = ("model 95 %", "model 68 %")[low]
        ends = bands[[low, high]] / 10.0**power
        upper.fill_between(wave, *ends, color=ORANGE, alpha=shade, lw=0, label=label)
    upper.plot(wave, bands[2] / 10.0**power, color=ORANGE, lw=1, label="model median")
    low, high = ((observed + end * noise) / 10.0**power for end in (-1, 1))
    upper.stairs(high, edges, baseline=low, color="0.6", alpha=0.5, **_filled(wave))
    upper.stairs(observed / 10.0**power, edges, baseline=None, color="black", lw=width, label=seen)
    _shade_gaps([upper, lower] if percent is None else [upper, lower, percent], edges, valid)
    finite = np.concatenate([observed[valid], bands[2]]) / 10.0**power
    low, high = np.percentile(finite, [0.5, 99.8])
    high = max(high, bands[2].max() / 10.0**power)  # of many pixels a line takes few
    margin = 0.12 * (high - low) or 0.5
    upper.set(
        ylabel=rf"$L_\lambda$ [$10^{{{power}}}\,L_\odot\,\mathrm{{\AA}}^{{-1}}$]",
        ylim=(low - margin, high + 2 * margin),
        xlim=(edges[0], edges[-1]),
    )
    upper.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1.27), borderaxespad=0.1)
    draw_line_names(upper, wave)
    residual = observed - bands[2]
    _residuals(lower, residual / noise, edges, width)
    lower.set(ylabel=r"residual / $\sigma$", xlim=(edges[0], edges[-1]))
    last = lower
    if percent is not None:
        scale = 100 / np.where(bands[2] == 0, np.nan, np.abs(bands[2]))
        _percent(percent, scale * residual, (scale * noise, scale * quoted), edges, width)
        last = percent
    last.set_xlabel(f"rest-frame wavelength (vacuum) [Å], {pixels}")


def pixel_words(wave: np.ndarray) -> str:
    """How wide pixels are.

    Example:
        >>> pixel_words(np.linspace(3750, 9500, 138))
        'a pixel is 42 Å'
    """
    low, high = np.diff(wave).min(), np.diff(wave).max()
    if high < 1.02 * low:
        return f"a pixel is {low:.3g} Å"
    return f"a pixel is {low:.2g} to {high:.2g} Å"


def _means(
    n: int, wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray, predicted: np.ndarray
) -> list[np.ndarray]:
    """Means over the valid ones of n neighbouring pixels each; what is left over is left out.

    Returns:
        wave, flux, ivar and predicted, as `spectrum_fit` takes them.
    """
    keep = len(wave) // n * n
    parts = (a[..., :keep].reshape(*a.shape[:-1], -1, n) for a in (wave, flux, ivar, predicted))
    wave, flux, ivar, predicted = parts
    valid = ivar > 0
    share = np.where(valid.any(1, keepdims=True), valid, True)
    share = share / share.sum(1, keepdims=True)
    variance = (np.divide(1, ivar, out=np.zeros(ivar.shape), where=valid) * share**2).sum(1)
    inverse = np.divide(1, variance, out=np.zeros(variance.shape), where=variance > 0)
    flux = (np.where(valid, flux, 0.0) * share).sum(1)
    return [wave.mean(1), flux, inverse, (predicted * share).sum(-1)]


def _shows_emission(wave: np.ndarray, flux: np.ndarray) -> bool:
    """True where H alpha stands a tenth above the continuum beside it."""
    away = np.abs(wave - HALPHA)
    line, beside = away < 45, (away > 100) & (away < 350)
    return bool(line.any() and beside.any() and flux[line].max() > 1.1 * np.median(flux[beside]))


def draw_line_names(axes: Axes, wave: np.ndarray) -> None:
    """Names of lines above the panel, moved apart, and where they are inside of it."""
    inside = {at: name for at, name in MARKED.items() if wave[0] < at < wave[-1]}
    for at in inside:
        axes.axvline(at, color="0.85", lw=0.6, zorder=0)
    named = {at: name for at, name in inside.items() if name}
    if not named:
        return
    low, high = axes.get_xlim()
    places = low + (high - low) * spread_apart((np.array([*named]) - low) / (high - low), CLOSEST)
    for (at, name), place in zip(named.items(), places, strict=True):
        axes.annotate(
            name,
            (at, 1.0),
            (place, 1.05),
            xycoords=("data", "axes fraction"),
            textcoords=("data", "axes fraction"),
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=7,
            color="0.25",
            arrowprops={"arrowstyle": "-", "color": "0.5", "lw": 0.5, "shrinkA": 0, "shrinkB": 0},
        )


def spread_apart(places: np.ndarray, closest: float) -> np.ndarray:
    """Places no closer than a distance, in their order, moved as little as that takes.

    Arguments:
        places: ascending, shape (n,).
        closest: the distance.

    References:
        Least squares under an order, by the pool-adjacent-violators algorithm.

    Example:
        >>> spread_apart(np.array([0.0, 0.1, 5.0]), 1.0).tolist()
        [-0.45, 0.55, 5.0]
    """
    steps = closest * np.arange(len(places))
    return isotonic_regression(places - steps).x + steps


def _edges(wave: np.ndarray) -> np.ndarray:
    middle = (wave[1:] + wave[:-1]) / 2
    return np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])


def _shade_gaps(panels: list[Axes], edges: np.ndarray, valid: np.ndarray) -> None:
    steps = np.diff(np.concatenate([[0], ~valid, [0]]).astype(int))
    for start, stop in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True):
        for axes in panels:
            axes.axvspan(edges[start], edges[stop], color="0.93", lw=0, zorder=0)


def _residuals(axes: Axes, residual: np.ndarray, edges: np.ndarray, width: float) -> None:
    for height, dash in ((0, "--"), (-2, ":"), (2, ":")):
        axes.axhline(height, color="0.5", lw=0.7, ls=dash)
    axes.stairs(residual, edges, baseline=None, color="black", lw=width)
    _reach(axes, residual, 4.0)


def _percent(
    axes: Axes,
    residual: np.ndarray,
    sigmas: tuple[np.ndarray, np.ndarray],
    edges: np.ndarray,
    width: float,
) -> None:
    """Residuals over sigma of the quoted errors, dark, and with the floor, light."""
    for sigma, shade in zip(sigmas, ("0.85", "0.65"), strict=True):
        axes.stairs(sigma, edges, baseline=-sigma, color=shade, **_filled(sigma))
    axes.axhline(0, color="0.5", lw=0.7, ls="--")
    axes.stairs(residual, edges, baseline=None, color="black", lw=width)
    axes.set_ylabel("residual [%]")
    _reach(axes, residual, 1.0)


def _filled(values: np.ndarray) -> dict[str, object]:
    """How steps are filled: those of many pixels would weigh more than their image."""
    return {"fill": True, "lw": 0, "rasterized": len(values) > OUTLINED}


def _reach(axes: Axes, residual: np.ndarray, least: float) -> None:
    """Nothing but the most extreme of very many pixels is outside of the panel."""
    finite = np.abs(residual[np.isfinite(residual)])
    if not len(finite):
        axes.set_ylim(-least, least)
        return
    highest = finite.max() if len(finite) < 300 else np.percentile(finite, 99.7)
    reach = max(least, 1.1 * highest)
    axes.set_ylim(-reach, reach)
