"""Draws of a posterior in the form that ArviZ takes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = ["inference_data"]


def inference_data(
    names: Sequence[str],
    draws: np.ndarray,
    log_prob: np.ndarray,
    observed: Mapping[str, np.ndarray],
    notes: Mapping[str, float | str],
) -> "xarray.DataTree":
    """Independent draws, which are one chain; see `SpectrumPosterior.to_inference_data`.

    Arguments:
        names: of theta's columns.
        draws: equally weighted theta, own units, shape (n, n_theta).
        log_prob: their log density, shape (n,).
        observed: wave, flux and ivar of the spectrum, shape (pixels,).
        notes: attributes of the group `posterior`.

    References:
        InferenceData schema specification, ArviZ documentation.
    """
    import xarray

    dims = ("chain", "draw")
    posterior = {name: (dims, draws[None, :, i]) for i, name in enumerate(names)}
    seen = {name: ("wave", observed[name]) for name in ("flux", "ivar")}
    groups = {
        "posterior": xarray.Dataset(posterior, attrs=dict(notes)),
        "sample_stats": xarray.Dataset({"lp": (dims, log_prob[None])}),
        "observed_data": xarray.Dataset(seen, coords={"wave": observed["wave"]}),
    }
    return xarray.DataTree.from_dict(groups)
