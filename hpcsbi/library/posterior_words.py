"""A posterior in words, as `print` shows it."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd

__all__ = ["InWords", "in_words"]


class InWords(Protocol):
    """What is told of a `SpectrumPosterior`."""

    name: str
    zred: float
    quantiles: pd.DataFrame
    flux: np.ndarray
    ivar: np.ndarray
    certificate: Mapping[str, float | str]
    checks: Mapping[str, float | str]
    flags: Mapping[str, str]
    notice: str


def in_words(posterior: InWords) -> str:
    """Parameters, pixels and brightness, certificate, checks, flags, notice: a line each."""
    lines = [f"Posterior of {posterior.name} at z = {posterior.zred:.6g}"]
    lines += [
        f"  {name} {low:.4g} {middle:.4g} {high:.4g}  (p16, p50, p84)"
        for name, (low, middle, high) in posterior.quantiles.loc[["p16", "p50", "p84"]].items()
    ]
    valid = posterior.ivar > 0
    lines.append(
        f"  {valid.sum()} of {len(valid)} pixels are valid, their median flux is "
        f"{np.median(posterior.flux[valid]):.3g} L_sun / Angstrom"
    )
    for told in (posterior.certificate, posterior.checks):
        lines.append("  " + ", ".join(f"{name} {_short(value)}" for name, value in told.items()))
    lines += [f"  {name}: {text}" for name, text in posterior.flags.items()]
    return "\n".join([*lines, *([f"  {posterior.notice}"] if posterior.notice else [])])


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
