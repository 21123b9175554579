"""The data model: name, type, unit and meaning of every column that a catalogue publishes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpcsbi.inference.catalogue_columns import ARRAYS, published
from hpcsbi.inference.certificate import QUANTILES
from hpcsbi.inference.line_excess import MOMENTS
from hpcsbi.simulator.derived import QUANTITIES
from hpcsbi.simulator.parameters import parameter
from hpcsbi.survey.identity import AXES, NAMES

__all__ = ["DescribedColumn", "described_columns"]

# Columns whose array says less than a reader of the table needs.
MEANINGS = {
    "id": "name of the object; repeats of an object share it",
    "zred": "redshift, as used",
    "flags": "bits, see the legend of flags",
    "ra": "right ascension; NaN where its file has none",
    "dec": "declination; NaN where its file has none",
    "survey": "whose spectrum it is",
    "program": "part of the survey, where its file says so",
    "file": "name of the file that it was read from",
    "key": "the survey's own name of this spectrum, which no other row has",
    "prior_share": "share of the prior between p16 and p84 over 0.68; near 1 the spectrum says "
    "nothing of it",
}
UNITS = {
    "ra": "degree",
    "dec": "degree",
    "observed_luminosity": "solar luminosities",
    "observed_luminosity_error": "solar luminosities",
    "observed_ew": "Angstrom, rest frame",
    "line_excess": "Angstrom, rest frame",
}


@dataclass(frozen=True)
class DescribedColumn:
    """One column of catalogue.parquet.

    Arguments:
        name: of the column.
        kind: of its values: string, int32, float32 or float64.
        unit: in words, "" for none.
        meaning: a sentence for its reader.
        family: the same for columns that differ in their level alone, tage_* for one.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    family: str


def described_columns(
    arrays: Sequence[str], along: Mapping[str, Sequence[str]]
) -> list[DescribedColumn]:
    """The columns of a catalogue, in their order.

    Arguments:
        arrays: that it has, of `catalogue_columns.ARRAYS`.
        along: names along the dimensions of parameters, quantities, blends and groups of lines.

    Example:
        >>> along = {"parameter": ("tage",)}
        >>> [column.name for column in described_columns(["zred", "prior_share"], along)]
        ['zred', 'tage_prior_share']
        >>> described_columns(["quantiles"], along)[0].unit
        'Gyr'
    """
    columns, along = [], {"axis": AXES, "name": NAMES, **along}
    for array in (name for name in ARRAYS if name in arrays):
        if array == "quantiles":  # the flow's beside the published ones, parameter by parameter
            kinds = [kind for kind in ("quantiles", "flow_quantiles") if kind in arrays]
            for name in along["parameter"]:
                for kind in kinds:
                    columns += _of(kind, name, along)
        elif array not in ("flow_quantiles", "samples"):
            for name in along.get(ARRAYS[array][0][-1], ("",)):
                columns += _of(array, name, along)
    return columns


def _of(array: str, name: str, along: Mapping[str, Sequence[str]]) -> Iterator[DescribedColumn]:
    """Columns of an array that belong to one of the names along its last dimension."""
    dims, kind, text = ARRAYS[array]
    sizes = {"level": len(QUANTILES), "moment": len(MOMENTS)}
    values = np.empty([sizes.get(dim, 1) if dim != "row" else 0 for dim in dims])
    made = published(array, values, {**along, dims[-1]: (name,)} if name else along)
    unit, meaning = _about(array, dims[-1], name)
    levels = [f"{100 * level:g} % of" for level in QUANTILES.values()] if "level" in dims else [""]
    if array == "line_excess":
        levels = ["", "standard deviation of"]
    for column, level in zip(made, levels, strict=True):
        words = meaning or MEANINGS.get(column, text)
        family = column if "level" not in dims else column.removesuffix(_level(column)) + "*"
        yield DescribedColumn(
            column, kind, unit or UNITS.get(column, ""), f"{level} {words}".strip(), family
        )


def _level(column: str) -> str:
    return next(level for level in QUANTILES if column.endswith(f"_{level}"))


def _about(array: str, dim: str, name: str) -> tuple[str, str]:
    """Unit and meaning of what an array says of one name; "" where its column tells."""
    if array.endswith("prior_share"):
        return "", f"{name}: {MEANINGS['prior_share']}"
    if array == "flow_quantiles":
        return parameter(name).unit, f"the flow's own draws of {name}, whatever their weights"
    if dim == "parameter":
        return parameter(name).unit, f"the posterior of {name}"
    if dim == "quantity":
        quantity = next(each for each in QUANTITIES if each.name == name)
        return quantity.unit, f"the posterior of {name}: {quantity.meaning}"
    if dim in ("blend", "line_group"):
        return UNITS[array], f"{name}: {ARRAYS[array][2]}"
    return "", ""
