"""What catalogue.zarr holds of each spectrum, and the columns that are published of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi.flags import Flag
from hpcsbi.inference.certificate import COLUMNS, ORIGINS, QUANTILES
from hpcsbi.store.schema import Schema, empty_columns

__all__ = ["ARRAYS", "CERTIFIED", "arrays_of", "by_level", "columns_without_posterior", "shares"]

LEVELS = ("row", "level", "parameter")

# The order is that of the published columns.
ARRAYS: Schema = {
    "id": (("row",), "string", ""),
    "zred": (("row",), "float64", ""),
    "quantiles": (LEVELS, "float32", "of the posterior: of re-weighted draws, or of the flow's"),
    "flow_quantiles": (LEVELS, "float32", "of the flow's draws"),
    "flags": (("row",), "int32", ""),
    "n_draws": (("row",), "int32", "draws inside the prior"),
    "acceptance": (("row",), "float32", "share of draws inside the prior"),
    "n_pixels": (("row",), "int32", "valid pixels"),
    "chi2": (("row",), "float32", "chi squared per valid pixel, floor included"),
    "predictive_p": (("row",), "float32", "posterior predictive p-value"),
    **{name: (("row",), kind, text) for name, (kind, text) in COLUMNS.items()},
    "origin": (("row",), "string", "of quantiles: " + ", ".join(ORIGINS)),
    "prior_share": (
        ("row", "parameter"),
        "float32",
        "share of the prior between p16 and p84 over 0.68; near 1 the spectrum says nothing of it",
    ),
    "derived_quantiles": (
        ("row", "level", "quantity"),
        "float32",
        "of what follows from theta, of the draws behind quantiles",
    ),
    "derived_prior_share": (("row", "quantity"), "float32", "see prior_share"),
    "samples": (
        ("row", "draw", "parameter"),
        "float32",
        "draws of equal weight, resampled by weight where origin is reweighted",
    ),
}
CERTIFIED = ("flow_quantiles", *COLUMNS, "origin")  # arrays that take a certificate
DERIVED = ("derived_quantiles", "derived_prior_share")  # and those that take a table


def arrays_of(certificate: bool, derived: bool, keep_draws: int) -> Schema:
    """The arrays that a catalogue of these options has; derived quantities take the table."""
    without = {
        *(() if certificate else CERTIFIED),
        *(() if derived else DERIVED),
        *(() if keep_draws else ("samples",)),
    }
    return {name: about for name, about in ARRAYS.items() if name not in without}


def columns_without_posterior(
    sizes: Mapping[str, int], certificate: bool, derived: bool
) -> dict[str, np.ndarray]:
    """Arrays of rows that nothing is inferred for, and the flag that says so.

    Arguments:
        sizes: dimension -> length.
        certificate, derived: see `arrays_of`.
    """
    columns = empty_columns(arrays_of(certificate, derived, sizes["draw"]), sizes)
    columns["flags"][:] = int(Flag.NO_POSTERIOR)
    return columns


def by_level(quantiles: np.ndarray, names: Sequence[str], kind: str = "") -> dict[str, np.ndarray]:
    """Published columns of quantiles, e.g. tage_p16, or tage_flow_p16 with `kind` "flow_".

    Arguments:
        quantiles: shape (rows, levels, n_theta).
        names: of theta's columns.
        kind: whose they are.
    """
    return {
        f"{name}_{kind}{level}": quantiles[:, i, j]
        for j, name in enumerate(names)
        for i, level in enumerate(QUANTILES)
    }


def shares(values: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Published columns of `prior_share`, e.g. tage_prior_share.

    Arguments:
        values: shape (rows, columns).
        names: of the columns.
    """
    return {f"{name}_prior_share": values[:, j] for j, name in enumerate(names)}
