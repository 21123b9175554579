"""What catalogue.zarr holds of each spectrum, and the columns that are published of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi.flags import Flag
from hpcsbi.inference.columns.line_excess import EXCESS, MOMENTS
from hpcsbi.inference.columns.observed_lines import OBSERVED
from hpcsbi.inference.sampling.certificate import COLUMNS, ORIGINS, QUANTILES
from hpcsbi.store.schema import Schema, empty_columns

__all__ = ["ARRAYS", "CERTIFIED", "arrays_of", "by_level", "columns_without_posterior", "published"]

LEVELS = ("row", "level", "parameter")

# The order is that of the published columns.
ARRAYS: Schema = {
    "id": (("row",), "string", ""),
    "zred": (("row",), "float64", ""),
    "quantiles": (LEVELS, "float32", "of the posterior: of re-weighted draws, or of the flow's"),
    "flow_quantiles": (LEVELS, "float32", "of the flow's draws"),
    "flags": (("row",), "int32", ""),
    "survey_class": (("row",), "string", "by the survey's redshift fit, empty where not known"),
    "position": (("row", "axis"), "float64", "degrees, NaN where its file has none"),
    "identity": (("row", "name"), "string", "whose spectrum it is, where it lies, and its key"),
    "file_row": (("row",), "int32", "number of the row in its file, from 0"),
    "n_draws": (("row",), "int32", "draws inside the prior"),
    "acceptance": (("row",), "float32", "share of draws inside the prior"),
    "n_pixels": (("row",), "int32", "valid pixels"),
    "chi2": (("row",), "float32", "chi squared per valid pixel, floor included"),
    "predictive_p": (("row",), "float32", "posterior predictive p-value of chi squared"),
    "autocorrelation_p": (("row",), "float32", "the same of products of neighbouring residuals"),
    "window_p": (("row",), "float32", "the same of the worst stretch of the spectrum"),
    "lines_p": (("row",), "float32", "the same of strong lines; NaN where none is seen"),
    **{name: (("row",), kind, text) for name, (kind, text) in COLUMNS.items()},
    "origin": (("row",), "string", "of quantiles: " + ", ".join(ORIGINS)),
    "prior_share": (
        ("row", "parameter"),
        "float32",
        "share of the prior between p16 and p84 over 0.68; near 1 the spectrum says nothing of it; "
        "NaN where a column is given",
    ),
    "derived_quantiles": (
        ("row", "level", "quantity"),
        "float32",
        "of what follows from theta, of the draws behind quantiles",
    ),
    "derived_prior_share": (("row", "quantity"), "float32", "see prior_share"),
    **OBSERVED,
    **EXCESS,
    "samples": (
        ("row", "draw", "parameter"),
        "float32",
        "draws of equal weight, resampled by weight where origin is reweighted",
    ),
}
WHO = ("position", "identity")  # arrays with a column for each name along them
CERTIFIED = ("flow_quantiles", *COLUMNS, "origin")  # arrays that take a certificate
# And those that take a table.
DERIVED = ("derived_quantiles", "derived_prior_share", *OBSERVED)


def arrays_of(certificate: bool, derived: bool, sizes: Mapping[str, int]) -> Schema:
    """The arrays that a catalogue of these options has; derived quantities take the table.

    Arguments:
        certificate, derived: whether there is one, and whether there are any.
        sizes: dimension -> length; draws may be none, and there may be no groups of lines.
    """
    without = {
        *(() if certificate else CERTIFIED),
        *(() if derived else DERIVED),
        *(() if sizes["draw"] else ("samples",)),
        *(() if "line_group" in sizes else EXCESS),
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
    columns = empty_columns(arrays_of(certificate, derived, sizes), sizes)
    columns["flags"][:] = int(Flag.NO_POSTERIOR)
    return columns


def published(
    array: str, values: np.ndarray, along: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """Columns under which an array is published, one for each of its numbers.

    Arguments:
        array: its name.
        values: some rows of it.
        along: names along the dimensions: of parameters, quantities, blends, groups of lines, axes
            and `name`.

    Example:
        >>> along = {"parameter": ("tage", "tau"), "blend": ("hbeta",)}
        >>> [*published("prior_share", np.zeros((3, 2)), along)]
        ['tage_prior_share', 'tau_prior_share']
        >>> [*published("observed_ew", np.zeros((3, 1)), along)]
        ['observed_hbeta_ew']
    """
    dims = ARRAYS[array][0]
    names = along.get(dims[-1], ())
    if dims[1:2] == ("level",):
        return by_level(values, names, "flow_" if array == "flow_quantiles" else "")
    if array in OBSERVED:
        what = array.removeprefix("observed_")
        return {f"observed_{name}_{what}": values[:, j] for j, name in enumerate(names)}
    if array in EXCESS:
        ends = dict(zip(MOMENTS, ("", "_error"), strict=True))
        return {
            f"{array}_{name}{ends[moment]}": values[:, i, j]
            for j, name in enumerate(names)
            for i, moment in enumerate(MOMENTS)
        }
    if array in WHO:
        return {name: values[:, j] for j, name in enumerate(names)}
    if len(dims) == 2:
        return {f"{name}_prior_share": values[:, j] for j, name in enumerate(names)}
    return {array: values}


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
