"""The data model: name, type, unit, UCD and meaning of every column that a catalogue publishes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpcsbi.inference.columns.catalogue_columns import ARRAYS, published
from hpcsbi.inference.columns.column_units import OF_ARRAYS, of_parameter, of_quantity
from hpcsbi.inference.columns.line_excess import MOMENTS
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.survey.record.identity import AXES, NAMES

__all__ = ["DescribedColumn", "described_columns", "described_draws", "descriptions_of"]

PRIOR_SHARE = (
    "share of the prior between p16 and p84 over 0.68; near 1 the spectrum says nothing of it"
)
ANYWHERE, WITHOUT_DRAWS = "no draws (n_draws 0) or ", "no draws (n_draws 0)"
# Array or column -> what it means that there is no number, where it is not WITHOUT_DRAWS.
GAPS = {
    "ra": "its file has none",
    "dec": "its file has none",
    "lines_p": f"{ANYWHERE}no strong line is seen",
    "log_evidence": f"{ANYWHERE}weak weights",
    "log_evidence_error": f"{ANYWHERE}not known; inf: weak weights",
    "pareto_k": f"{ANYWHERE}not known; inf: no tail can be fitted",
    "prior_share": f"{ANYWHERE}the column is given",
    "derived_prior_share": f"{ANYWHERE}not known at this redshift",
    "observed_luminosity": f"{ANYWHERE}a pixel of the line is masked",
    "observed_luminosity_error": f"{ANYWHERE}a pixel of the line is masked",
    "observed_ew": f"{ANYWHERE}a pixel of the line is masked",
    "survey_class": "empty: not known",
    "survey": "",
    "program": "empty: its file does not say",
    "file": "",
    "key": "",
    "id": "",
    "flags": "",
    "file_row": "",
    "n_draws": "",
    "n_pixels": "",
    "n_weights": "",
    "origin": "",
}
INFINITE = ("log_evidence_error", "pareto_k")
OF_TABLE = ("chi2", "predictive_p", "autocorrelation_p", "window_p")  # what takes a likelihood


@dataclass(frozen=True)
class DescribedColumn:
    """One column of catalogue.parquet and of a release.

    Arguments:
        name: of the column.
        kind: of its values: string, int32, float32 or float64.
        unit: as FITS and VOUnit have it, "" for none.
        ucd: words of UCD1+.
        meaning: a sentence for its reader.
        gap: what it means that a number is NaN (or a text empty); "" where that never is.
        family: the same for columns that differ in their level alone, tage_* for one.
        length: numbers in each row, where it is more than a number.
    """

    name: str
    kind: str
    unit: str
    ucd: str
    meaning: str
    gap: str
    family: str
    length: int = 1

    @property
    def gap_without_draws(self) -> bool:
        """Whether numbers lack only where there are no draws."""
        return self.gap == WITHOUT_DRAWS

    @property
    def of_family(self) -> str:
        """The meaning of all columns that differ in their level alone."""
        return re.sub(r"^[\d.]+ % quantile of ", "", self.meaning)

    @property
    def infinite(self) -> bool:
        """Whether a number may be infinite."""
        return self.name in INFINITE


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
                columns += _of(array, name, along, "derived_quantiles" in arrays)
    return columns


def descriptions_of(columns: Sequence[str]) -> dict[str, DescribedColumn]:
    """What is known of columns by their names alone, as of a Parquet file.

    Example:
        >>> descriptions_of(["tage_p50", "mine"])["tage_p50"].unit
        'Gyr'
    """
    quantities = [each.name for each in QUANTITIES]
    medians = [name.removesuffix("_p50") for name in columns if name.endswith("_p50")]
    along = {
        "parameter": [n for n in medians if n not in quantities and not n.endswith("_flow")],
        "quantity": quantities,
        "blend": [*BLENDS],
        "line_group": [
            name.removeprefix("line_excess_")
            for name in columns
            if name.startswith("line_excess_") and not name.endswith("_error")
        ],
    }
    known = {column.name: column for column in described_columns([*ARRAYS], along)}
    return {name: known[name] for name in columns if name in known}


def described_draws(names: Sequence[str], draws: int) -> list[DescribedColumn]:
    """The columns of a table with draws of each posterior, its key first.

    Arguments:
        names: of theta's columns.
        draws: of each row.
    """
    gap = "past the last draw"
    key, origin = (column for each in ("key", "origin") for column in _of(each, "", {}))
    origin = replace(origin, meaning="of the draws: flow, reweighted, mcmc")
    meant = {name: of_parameter(name) for name in names}
    return [key, origin] + [
        DescribedColumn(
            name, "float32", about.unit, about.ucd, f"draws of {name}: {about.words}", gap, name,
            draws,
        )
        for name, about in meant.items()
    ]  # fmt: skip


def _of(
    array: str, name: str, along: Mapping[str, Sequence[str]], likelihood: bool = True
) -> Iterator[DescribedColumn]:
    """Columns of an array that belong to one of the names along its last dimension."""
    if array in NAMES:
        yield DescribedColumn(array, "string", *_standing(array), GAPS[array], array)
        return
    dims, kind, text = ARRAYS[array]
    sizes = {"level": len(QUANTILES), "moment": len(MOMENTS)}
    values = np.empty([sizes.get(dim, 1) if dim != "row" else 0 for dim in dims])
    made = published(array, values, {**along, dims[-1]: (name,)} if name else along)
    for i, column in enumerate(made):
        unit, ucd, words, level = *_about(array, dims[-1], name, i), ""
        if "level" in dims:
            level = [*QUANTILES][i]
            words = f"{100 * QUANTILES[level]:g} % quantile of {words}"
            ucd += ";stat.median" if level == "p50" else ";stat.percentile"
        gap = GAPS.get(column, GAPS.get(array, WITHOUT_DRAWS))
        if array in OF_TABLE and not likelihood:
            gap = f"{ANYWHERE}the flow has no table"
        family = column.removesuffix(level) + "*" if level else column
        yield DescribedColumn(column, kind, unit, ucd, words or text, gap, family)


def _standing(column: str) -> tuple[str, str, str]:
    meant = OF_ARRAYS[column]
    return meant.unit, meant.ucd, meant.words


def _about(array: str, dim: str, name: str, moment: int) -> tuple[str, str, str]:
    """Unit, UCD and words of what an array says of one name; no words where its schema has them."""
    if array.endswith("prior_share"):
        return "", OF_ARRAYS["prior_share"].ucd, f"{name}: {PRIOR_SHARE}"
    if dim == "parameter":
        meant = of_parameter(name)
        whose = "the flow's own draws of" if array == "flow_quantiles" else "the posterior of"
        return meant.unit, meant.ucd, f"{whose} {name}: {meant.words}"
    if dim == "quantity":
        quantity, meant = next(each for each in QUANTITIES if each.name == name), of_quantity(name)
        words = meant.words or quantity.meaning
        return meant.unit, meant.ucd, f"the posterior of {name}: {words}"
    if dim in ("blend", "line_group"):
        kind = f"{array}_error" if moment else array
        meant = OF_ARRAYS[kind]
        words = f"{name}: {ARRAYS[array][2]}"
        return meant.unit, meant.ucd, f"standard deviation of {words}" if moment else words
    return _standing(name or array)
