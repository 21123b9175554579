"""What catalogue.zarr holds of each spectrum, and the columns that are published of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi.flags import Flag
from hpcsbi.inference.certificate import COLUMNS, ORIGINS, QUANTILES
from hpcsbi.store.layout import Array

__all__ = ["ARRAYS", "CERTIFIED", "arrays_of", "by_level", "empty", "laid_out", "nothing"]

LEVELS = ("row", "level", "parameter")

# name -> dimensions, type, and what it is; the order is that of the published columns.
ARRAYS = {
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
    "samples": (
        ("row", "draw", "parameter"),
        "float32",
        "draws of equal weight, resampled by weight where origin is reweighted",
    ),
}
CERTIFIED = ("flow_quantiles", *COLUMNS, "origin")  # arrays that take a certificate


def arrays_of(certificate: bool, keep_draws: int) -> dict[str, tuple]:
    """The arrays that a catalogue of these options has."""
    without = {*(() if certificate else CERTIFIED), *(() if keep_draws else ("samples",))}
    return {name: about for name, about in ARRAYS.items() if name not in without}


def empty(arrays: Mapping[str, tuple], sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Arrays of rows that hold no numbers: NaN, zero, False or no text.

    Arguments:
        arrays: name -> dimensions, type, and what it is.
        sizes: dimension -> length.
    """
    columns = {}
    for name, (dims, kind, _) in arrays.items():
        shape = [sizes[dim] for dim in dims]
        if kind == "string":
            columns[name] = np.full(shape, "", object)
        else:
            columns[name] = np.full(shape, np.nan if np.dtype(kind).kind == "f" else 0, kind)
    return columns


def laid_out(
    arrays: Mapping[str, tuple],
    sizes: Mapping[str, int],
    coordinates: Mapping[str, Sequence],
    attributes: Mapping[str, Mapping],
) -> dict[str, Array]:
    """Arrays of a store, and the coordinates that tell what their dimensions are.

    Arguments:
        arrays: name -> dimensions, type, and what it is.
        sizes: dimension -> length.
        coordinates: dimension -> names or numbers along it.
        attributes: name -> further attributes.
    """
    along = {
        dim: np.array(values, dtype=object if isinstance(values[0], str) else float)
        for dim, values in coordinates.items()
    }
    return {
        dim: Array(
            {dim: len(values)}, "string" if values.dtype == object else "float64", {}, values
        )
        for dim, values in along.items()
    } | {
        name: Array(
            {dim: sizes[dim] for dim in dims},
            kind,
            ({"long_name": text} if text else {}) | dict(attributes.get(name, {})),
        )
        for name, (dims, kind, text) in arrays.items()
    }


def nothing(sizes: Mapping[str, int], certificate: bool) -> dict[str, np.ndarray]:
    """Arrays of rows that nothing is inferred for, and the flag that says so.

    Arguments:
        sizes: dimension -> length.
        certificate: whether the catalogue has one.
    """
    columns = empty(arrays_of(certificate, sizes["draw"]), sizes)
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
