"""What is not inferred of a spectrum, and which columns of theta one depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.attenuations import attenuation_of
from hpcsbi.simulator.galaxy.dust import CURVES
from hpcsbi.simulator.galaxy.free_gas import FreeGas
from hpcsbi.simulator.galaxy.histories import HISTORIES, History, family_of
from hpcsbi.simulator.galaxy.kinematics import Kinematics
from hpcsbi.simulator.theta.column import Column
from hpcsbi.simulator.theta.parameters import ZRED

__all__ = ["NEEDED", "Physics", "check_names", "check_prior"]

NEEDED = ("logmass", "logzsol", "dust2")  # and the columns of a history and of other dust
# What else theta may hold; all but the first are the noise's.
BESIDE = ("line_strength", "noise_floor", "model_error", ZRED)


@dataclass(frozen=True)
class Physics:
    """What is not inferred: the rest of the model.

    Arguments:
        imf_type: initial mass function of FSPS (0 Salpeter, 1 Chabrier, 2 Kroupa).
        dust_type: attenuation of FSPS (0 power law of index -0.7, 2 Calzetti, 4 Kriek & Conroy).
        gas_logu: log10 of the ionisation parameter.
        sigma_smooth: velocity dispersion of stars, gas and instrument together, km/s, where theta
            has no column of this name.

    Raises:
        ValueError: a type that this project has no closed form for.
    """

    imf_type: int = 2
    dust_type: int = 2
    gas_logu: float = -2.0
    sigma_smooth: float = 350.0

    def __post_init__(self) -> None:
        if self.imf_type not in (0, 1, 2):
            raise BadInput(f"physics.imf_type is {self.imf_type}: choose 0, 1 or 2.")
        if self.dust_type not in CURVES:
            numbers = " or ".join(map(str, CURVES))
            raise BadInput(f"physics.dust_type is {self.dust_type}: choose {numbers}.")
        if not 10 <= self.sigma_smooth <= 2000 or not -4 <= self.gas_logu <= -1:
            raise BadInput(
                f"physics.sigma_smooth is {self.sigma_smooth} km/s and gas_logu {self.gas_logu}: "
                "they lie in 10 to 2000 and in -4 to -1."
            )

    def settings(self) -> dict:
        """Plain numbers from which `Physics(**settings)` makes an equal model."""
        return asdict(self)


def check_prior(columns: Mapping[str, Column], physics: Physics) -> None:
    """Refuse columns of which no spectra can be made: see `check_names`, or a range of a history.

    Raises:
        BadInput: names the column and the mend.
    """
    names = tuple(columns)
    check_names(names, physics)
    family_of(names)(columns)


def check_names(names: Sequence[str], physics: Physics) -> None:
    """Refuse a theta without a column that spectra need, or with one that changes nothing.

    Arguments:
        names: theta's columns.
        physics: the rest of the model.

    Raises:
        BadInput: names the column, and what it goes with.
    """
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise BadInput(
            f"theta has the columns {', '.join(names)}; a spectrum also needs "
            f"{', '.join(missing)}: add them in conf/prior."
        )
    history, dust = family_of(names), attenuation_of(physics.dust_type, names)
    if "gas_logz" in names and "gas_logu" not in names:
        raise BadInput(
            "theta has the column gas_logz without gas_logu: gas of its own metallicity has an "
            "ionisation, too: add it in conf/prior."
        )
    if "eline_sigma" in names and "sigma_smooth" not in names:
        raise BadInput(
            "theta has the column eline_sigma without sigma_smooth: where lines have a dispersion, "
            "stars have one, too: add it in conf/prior."
        )
    for name in history.further:
        stem, _, number = name.rpartition("_")
        before = [f"{stem}_{i}" for i in range(1, int(number))] if number.isdigit() else []
        if name in names and (missing := [each for each in before if each not in names]):
            raise BadInput(
                f"theta has the column {name} without {missing[0]}: they are numbered without a "
                "gap; mend conf/prior."
            )
    further = [name for each in (FreeGas, Kinematics) for name in (*each.names, *each.further)]
    known = (*NEEDED, *history.names, *history.further, *dust.names, *further, *BESIDE)
    idle = [name for name in names if name not in known]
    if idle:
        fitting = [other for other in HISTORIES.items() if {*other[1].names} & {*idle}]
        others = [
            f", or {_change(names, history, other)} for the star-formation history {kind}"
            for kind, other in fitting
        ]
        raise BadInput(
            f"theta has the columns {', '.join(idle)}, on which no spectrum here depends: take "
            f"them out of conf/prior{''.join(others)}."
        )


def _change(names: Sequence[str], history: type[History], other: type[History]) -> str:
    """What makes columns of one family of histories those of another."""
    if missing := sorted({*other.names} - {*names}):
        return f"add {', '.join(missing)}"
    own = (*history.names, *history.further)
    return (
        f"take out {', '.join(name for name in names if name in own and name not in other.names)}"
    )
