"""Where a model misses: residuals of many spectra, stacked by rest wavelength and type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpcsbi.inference.columns.observed_lines import EMISSION
from hpcsbi.report.diagnostic_plots import BLUE, COLOURS, DASHES, styled
from hpcsbi.report.spectrum_plots import draw_line_names
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch

__all__ = [
    "Stack",
    "learned_error",
    "percent_residuals",
    "residuals",
    "stack",
    "types",
    "worst_words",
]

ENOUGH = 20  # objects that a type takes
MEDIAN_ERROR = 1.2533  # of a median over that of a mean, of normal numbers
FEWEST = 3  # objects at a wavelength
LIGHT = {"alpha": 0.18, "lw": 0, "step": "mid"}


@dataclass(frozen=True)
class Stack:
    """Residuals of some objects together, in percent of the model, NaN where there are too few.

    Arguments:
        median, low, high: over the objects, and the 16th and 84th percentile, shape (pixels,).
        error: standard error of the median, shape (pixels,).
        objects: how many.
    """

    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error: np.ndarray
    objects: int


def percent_residuals(likelihood: Likelihood, draws: np.ndarray, batch: Batch) -> np.ndarray:
    """Flux over what draws expect of it at the median, less one, in percent; NaN where masked.

    Arguments:
        likelihood: makes spectra of draws, with the smooth errors that suit each best.
        draws: own units, shape (objects, n, n_theta).
        batch: the spectra.
    """
    theta, flux, ivar, *added = map(torch.as_tensor, (draws, *batch.spectra))
    with torch.no_grad():
        model = likelihood.expected_spectra(flux, ivar, theta, *added).numpy()
    model = np.median(model, axis=1)  # torch's would be the lower of the middle two
    valid = (batch.ivar > 0) & (model > 0)
    return np.where(valid, 100 * (batch.flux / np.where(valid, model, 1) - 1), np.nan)


def stack(percent: np.ndarray) -> Stack:
    """Median and 68 % of residuals at each wavelength.

    Arguments:
        percent: shape (objects, pixels), NaN where masked.
    """
    known = np.isfinite(percent).sum(0)
    enough = known >= min(FEWEST, len(percent))
    low, median, high = np.full((3, percent.shape[1]), np.nan)
    some = enough & (known > 0)
    if some.any():
        low[some], median[some], high[some] = np.nanquantile(
            percent[:, some], [0.16, 0.5, 0.84], axis=0
        )
    error = MEDIAN_ERROR * (high - low) / 2 / np.sqrt(np.maximum(known, 1))
    return Stack(median, low, high, error, len(percent))


def types(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Objects by whether they emit lines and by their age, where there are enough of each.

    Arguments:
        columns: medians halpha_ew and mass_weighted_age as far as there are any, shape (objects,).

    Returns:
        Words to a mask, in pairs that are told apart.
    """
    told = {}
    if "halpha_ew" in columns:
        emits = columns["halpha_ew"] >= EMISSION
        told |= _pair(f"H$\\alpha$ over {EMISSION:g} Å", emits, "weaker or none", ~emits)
    if "mass_weighted_age" in columns:
        age = columns["mass_weighted_age"]
        middle = float(np.nanmedian(age)) if np.isfinite(age).any() else np.nan
        told |= _pair(
            f"younger than {middle:.1f} Gyr", age < middle, f"older than {middle:.1f} Gyr",
            age >= middle,
        )  # fmt: skip
    return told


def worst_words(wave: np.ndarray, whole: Stack) -> str:
    """Where the median is farthest off; "" where nothing is known.

    Arguments:
        wave: Angstrom, shape (pixels,).
        whole: of all objects.
    """
    if not np.isfinite(whole.median).any():
        return ""
    places = np.argsort(-np.abs(np.nan_to_num(whole.median)), kind="stable")[:3]
    told = ", ".join(f"{whole.median[i]:+.1f} % at {wave[i]:.0f} Å" for i in sorted(places))
    typical = np.nanmedian(np.abs(whole.median))
    words = f"Half of all wavelengths are off by less than {typical:.2f} %; most off are "
    return (words + told).replace("-", "\N{MINUS SIGN}") + "."


@styled
def residuals(
    wave: np.ndarray, whole: Stack, each: np.ndarray, parts: Mapping[str, Stack]
) -> Figure:
    """All objects together, and below them by type.

    Arguments:
        wave: Angstrom, vacuum, rest frame, shape (pixels,).
        whole: of all objects.
        each: residuals of objects that are drawn on their own, shape (few, pixels).
        parts: stacks by type, none where there are too few.
    """
    rows = 2 if parts else 1
    figure = Figure(figsize=(10, 2 + 1.6 * rows))
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    figure.subplots_adjust(0.07, 0.19 - 0.04 * rows, 0.985, 0.75 + 0.05 * rows, hspace=0.06)
    upper = panels[0]
    upper.fill_between(wave, whole.low, whole.high, color=BLUE, label="68 % of objects", **LIGHT)
    for residual in each:
        upper.step(wave, residual, where="mid", color="0.6", lw=0.5)
    _draw(upper, wave, whole, BLUE, "-", f"median of {whole.objects}")
    for i, (name, part) in enumerate(parts.items()):
        _draw(panels[-1], wave, part, COLOURS[i], DASHES[i], f"{name} ({part.objects})")
    _dress(upper, wave, [whole.median, whole.low, whole.high, *each])
    if parts:
        _dress(panels[-1], wave, [part.median for part in parts.values()])
    panels[-1].set_xlabel("rest-frame wavelength (vacuum) [Å]")
    draw_line_names(upper, wave)
    return figure


@styled
def learned_error(wave: np.ndarray, learned: LearnedError) -> Figure:
    """The mean of an error that a survey taught, and the rms of its templates, in percent.

    Arguments:
        wave: Angstrom, vacuum, rest frame, shape (pixels,).
        learned: the error.
    """
    figure = Figure(figsize=(10, 3.6))
    axes = figure.subplots()
    figure.subplots_adjust(0.07, 0.14, 0.985, 0.8)
    mean, rms = 100 * np.array(learned.mean), 100 * np.sqrt((learned.curves**2).sum(0))
    spread = f"mean, less and more the rms of {len(learned.templates)} templates"
    axes.fill_between(wave, mean - rms, mean + rms, color=BLUE, label=spread, **LIGHT)
    for curve in learned.curves:
        axes.step(wave, 100 * curve, where="mid", color="0.6", lw=0.5)
    axes.step(wave, mean, where="mid", color=BLUE, lw=1.3, label="mean")
    axes.axhline(0, color="0.4", lw=0.8, ls="--")
    axes.set(
        xlabel="rest-frame wavelength (vacuum) [Å]",
        ylabel="error of the model [%]",
        xlim=(wave[0], wave[-1]),
    )
    axes.legend(ncols=2, loc="lower left", fontsize=7.5)
    draw_line_names(axes, wave)
    return figure


def _pair(first: str, one: np.ndarray, second: str, other: np.ndarray) -> dict[str, np.ndarray]:
    enough = min(one.sum(), other.sum()) >= ENOUGH
    return {first: one, second: other} if enough else {}


def _draw(axes: Axes, wave: np.ndarray, part: Stack, colour: str, dash: object, key: str) -> None:
    """A median with its standard error."""
    ends = part.median - part.error, part.median + part.error
    axes.fill_between(wave, *ends, color=colour, **(LIGHT | {"alpha": 0.4}))
    axes.step(wave, part.median, where="mid", color=colour, ls=dash, lw=1.1, label=key)


def _dress(axes: Axes, wave: np.ndarray, curves: Sequence[np.ndarray]) -> None:
    """Limits that all but a few pixels keep, a line at none, and the key."""
    heights = np.abs(np.concatenate(curves))
    heights = heights[np.isfinite(heights)]
    reach = max(1.0, 1.15 * np.quantile(heights, 0.997)) if len(heights) else 1.0
    axes.axhline(0, color="0.4", lw=0.8, ls="--")
    axes.set(ylabel="residual [%]", ylim=(-reach, reach), xlim=(wave[0], wave[-1]))
    axes.legend(ncols=2, loc="lower left", fontsize=7.5)
