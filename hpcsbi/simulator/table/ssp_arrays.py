"""The arrays of a table: what they hold, which the engine takes, and what they are worth."""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.dust import FREE_SLOPE
from hpcsbi.simulator.galaxy.free_gas import LOGU, FreeGas
from hpcsbi.simulator.galaxy.indices import BANDS, LINES
from hpcsbi.simulator.galaxy.kinematics import STARS, Kinematics
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.galaxy.terms import FURTHER, MOMENTS
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.layout import Array
from hpcsbi.store.store import Store

__all__ = [
    "ACCURACY",
    "ARRAYS",
    "NOTICE",
    "check_accuracy",
    "check_table",
    "nodes_inside",
    "table_arrays",
    "table_layout",
]

NOTICE = (
    "Made with a demonstration table of stellar populations that is not the FSPS data release: "
    "good for trying and testing, not for science. Set SPS_HOME and run jobs/tabulate.py."
)
ARRAYS = ("continuum", "lines", "logzsol", "log_age", "wave", "dust_curve")
ACCURACY = {"median": 1e-4, "p99": 5e-3}  # largest |d ln flux| against direct predictions


def table_layout(values: Mapping[str, np.ndarray], physics: Physics) -> dict[str, Array]:
    """Arrays of a table, as a store is made with.

    Arguments:
        values: logzsol, log_age, wave and dust_curve, and where gas is free age_onto and age_of,
            see `free_gas.age_basis`; where dispersions are free, sigma_nodes, see `Kinematics`.
        physics: of the table.
    """
    dims = {
        "logzsol": len(values["logzsol"]),
        "age": len(values["log_age"]),
        "moment": MOMENTS + FURTHER * max(len(values.get("sigma_nodes", ())) - 1, 0),
        "pixel": len(values["wave"]),
    }
    by_age = {"logzsol": dims["logzsol"], "age": dims["age"]}
    unit = {"units": "solLum / (Angstrom solMass)"}
    text = "pixel mean of F (k_pixel - k)^m / m!, k the dust curve, m the moment"
    lines, bands = (
        np.array(list(names), dtype=np.dtypes.StringDType()) for names in (LINES, BANDS)
    )
    free = physics.dust_type == FREE_SLOPE
    curve = "like those of all slopes" if free else "optical depth for dust2 = 1"
    axes = {
        "logzsol": ("logzsol", {"units": "dex"}),
        "log_age": ("age", {"units": "log10(yr)"}),
        "wave": ("pixel", {"units": "Angstrom", "description": "vacuum, rest frame"}),
        "dust_curve": ("pixel", {"description": curve}),
    }
    arrays = {
        "continuum": Array(dims, "float32", {**unit, "description": f"stars and gas: {text}"}),
        "lines": Array(dims, "float32", {**unit, "description": f"emission lines: {text}"}),
        "surviving_mass": Array(
            by_age, "float32", {"description": "in stars and remnants, of one solar mass formed"}
        ),
        "line_luminosity": Array(
            by_age | {"line": len(lines)}, "float32", {"units": "solLum / solMass"}
        ),
        "bands": Array(
            by_age | {"moment": MOMENTS, "band": len(bands)},
            "float32",
            {
                "units": "solLum / (Hz solMass) in the break, else solLum / (Angstrom solMass)",
                "description": f"stars and gas: {text.replace('pixel', 'band')}",
            },
        ),
        "line": Array({"line": len(lines)}, "string", values=lines),
        "band": Array({"band": len(bands)}, "string", values=bands),
        **{
            name: Array({dim: dims[dim]}, "float64", attributes, values[name])
            for name, (dim, attributes) in axes.items()
        },
    }
    if "age_onto" in values:
        arrays |= _gas_arrays(values, arrays)
    if "sigma_nodes" in values:
        nodes = values["sigma_nodes"]
        text = {"units": "km/s", "description": "nodes of Chebyshev polynomials in the logarithm"}
        arrays["sigma_nodes"] = Array({"degree": len(nodes)}, "float64", text, nodes)
    return arrays


def table_arrays(store: Store, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of a table that the engine takes for theta's columns.

    Arguments:
        store: the table, a `Store`.
        names: theta's columns.

    Raises:
        BadInput: the table does not hold them.
    """
    return {name: store.read(name) for name in _wanted(store, names)}


def check_table(store: Store, prior: Prior) -> None:
    """Refuse a table that does not reach as far as a prior, or does not tell its columns.

    Raises:
        BadInput: names the table, what it lacks and the mend.
    """
    _wanted(store, prior.names)
    nodes_inside(store.read("logzsol"), prior)


def _wanted(store: Store, names: Sequence[str]) -> tuple[str, ...]:
    """Names of the arrays that theta's columns take, if the table is for them."""
    gas = tuple(name for name in FreeGas.arrays if name not in FreeGas.derived)
    families = {"gas_logu": gas, STARS: Kinematics.arrays}
    further = {name: arrays for name, arrays in families.items() if name in names}
    for column, arrays in further.items():
        if missing := [name for name in arrays if name not in store.arrays]:
            raise BadInput(
                f"{store.path} has no {', '.join(missing)}, which theta's column {column} takes: "
                "make it with jobs/tabulate.py, SPS_HOME and the prior that has this column."
            )
    if STARS not in names and {*Kinematics.arrays} & {*store.arrays}:
        raise BadInput(
            f"{store.path} is for dispersions that are free, and theta has no column {STARS}: take "
            "a prior with this column, or make a table for the prior with jobs/tabulate.py."
        )
    return (*ARRAYS, *(name for arrays in further.values() for name in arrays))


def check_accuracy(path: str, accuracy: Mapping[str, float]) -> None:
    """Refuse a table whose error was not measured or is too large.

    Arguments:
        path: of the table, for the message.
        accuracy: |d ln flux| against direct predictions, as the table's attribute has it.

    Raises:
        ValueError: no figures, or larger than ACCURACY.
    """
    for name, largest in ACCURACY.items():
        if not accuracy.get(name, np.inf) <= largest:
            raise BadInput(
                f"{path}: |d ln flux| against Prospector has {name} "
                f"{accuracy.get(name, 'not measured')}, allowed is {largest:.0e}: run "
                "jobs/tabulate.py to the end, with the prior that the table is for."
            )


def nodes_inside(logzsol: np.ndarray, prior: Prior) -> np.ndarray:
    """Numbers of a table's nodes that bracket the prior's metallicities.

    Arguments:
        logzsol: of the table, ascending, shape (logzsol,).
        prior: gives the range.

    Raises:
        BadInput: the prior reaches beyond the table.
    """
    low, high = prior.columns["logzsol"].low, prior.columns["logzsol"].high
    if low < logzsol[0] - 1e-9 or high > logzsol[-1] + 1e-9:
        raise BadInput(
            f"prior of logzsol spans {low} to {high}, the table {logzsol[0]:.2f} to "
            f"{logzsol[-1]:.2f}: narrow the prior, or make a wider table with jobs/tabulate.py."
        )
    first = np.searchsorted(logzsol, low + 1e-9, side="right") - 1
    last = np.searchsorted(logzsol, high - 1e-9)
    first = min(first, len(logzsol) - 2)
    return np.arange(first, max(last, first + 1) + 1)  # two also of one metallicity


def _gas_arrays(values: Mapping[str, np.ndarray], tied: Mapping[str, Array]) -> dict[str, Array]:
    """What gas that is free takes beside the arrays of gas that is not."""
    continuum, bands = tied["continuum"].dims, tied["bands"].dims
    nodes = {"logzsol": continuum["logzsol"], "gas_logu": len(LOGU.nodes)}
    nodes |= {"number": values["age_of"].shape[0]}
    age = {"gas_age": values["age_of"].shape[1]}
    photon = {"description": "a photon, by the numbers of the age basis"}
    pixels = {name: continuum[name] for name in ("moment", "pixel")}
    alone = {"description": "stars alone, else as with gas"}
    return {
        "stars": Array(continuum, "float32", alone),
        "star_bands": Array(bands, "float32", alone),
        "ionising": Array(
            {name: continuum[name] for name in ("logzsol", "age")},
            "float32",
            {"description": "what all lines of gas of solar metallicity and log U -2 emit"},
        ),
        "gas_continuum": Array(nodes | pixels, "float32", photon),
        "gas_lines": Array(nodes | pixels, "float32", photon),
        "gas_luminosity": Array(nodes | {"line": len(LINES)}, "float32", photon),
        "gas_bands": Array(nodes | {"moment": MOMENTS, "band": len(BANDS)}, "float32", photon),
        "gas_logu": Array({"gas_logu": nodes["gas_logu"]}, "float64", values=LOGU.nodes),
        "age_onto": Array(age | {"number": nodes["number"]}, "float64", values=values["age_onto"]),
        "age_of": Array({"number": nodes["number"]} | age, "float64", values=values["age_of"]),
    }
