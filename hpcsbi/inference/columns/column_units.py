"""Unit, UCD and words of what a catalogue tells, for readers in any tool: one entry for each thing.

Units are those that the FITS standard and VOUnit share, so that any reader parses them; what has
none, logarithms among it, says in words what it is.

References:
    FITS Standard 4.0, section 4.3; VOUnit 1.1 and UCD1+ 1.5 (ivoa.net/documents).
"""

import re
from dataclasses import dataclass

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.indices import LINES
from hpcsbi.simulator.theta.parameters import parameter

__all__ = ["OF_ARRAYS", "Meant", "of_parameter", "of_quantity"]

SOLAR_MASS, SOLAR_LUMINOSITY = "solMass", "solLum"
LINE_UCDS = {"hbeta": "em.line.Hbeta", "halpha": "em.line.Halpha", "oiii_5007": "em.line.OIII"}
RATE_RATIO = "phys.SFR;arith.ratio"
P_VALUE = "stat.fit.goodness;stat.probability"


@dataclass(frozen=True)
class Meant:
    """What a number is.

    Arguments:
        unit: as FITS and VOUnit have it, "" for none.
        ucd: word or words of UCD1+.
        words: of a person; "" where there are better ones elsewhere.
    """

    unit: str
    ucd: str
    words: str = ""


# Arrays of a catalogue, and columns of those that are several things.
OF_ARRAYS = {
    "id": Meant("", "meta.id", "name of the object; repeats of an object share it"),
    "zred": Meant("", "src.redshift", "redshift, as used"),
    "flags": Meant("", "meta.code.qual", "bits, see the legend of flags"),
    "survey_class": Meant("", "src.class"),
    "ra": Meant("deg", "pos.eq.ra;meta.main", "right ascension"),
    "dec": Meant("deg", "pos.eq.dec;meta.main", "declination"),
    "survey": Meant("", "meta.dataset", "whose spectrum it is"),
    "program": Meant("", "meta.id;obs.proposal", "part of the survey"),
    "file": Meant("", "meta.id;meta.file", "name of the file that it was read from"),
    "key": Meant(
        "",
        "meta.id;meta.main",
        "the survey's own name of this spectrum, which no other row has",
    ),
    "file_row": Meant("", "meta.record"),
    "n_draws": Meant("", "meta.number"),
    "acceptance": Meant("", "stat.value"),
    "n_pixels": Meant("", "meta.number"),
    "chi2": Meant("", "stat.fit.chi2"),
    "predictive_p": Meant("", P_VALUE),
    "autocorrelation_p": Meant("", P_VALUE),
    "window_p": Meant("", P_VALUE),
    "lines_p": Meant("", P_VALUE),
    "ess": Meant("", "meta.number"),
    "pareto_k": Meant("", "stat.param"),
    "n_weights": Meant("", "meta.number"),
    "log_evidence": Meant("", "stat.likelihood"),
    "log_evidence_error": Meant("", "stat.error"),
    "origin": Meant("", "meta.code.class"),
    "prior_share": Meant("", "stat.value"),
    "observed_luminosity": Meant(SOLAR_LUMINOSITY, "phys.luminosity;em.line"),
    "observed_luminosity_error": Meant(SOLAR_LUMINOSITY, "stat.error;phys.luminosity;em.line"),
    "observed_ew": Meant("Angstrom", "spect.line.eqWidth"),
    "line_excess": Meant("Angstrom", "spect.line.eqWidth;arith.diff"),
    "line_excess_error": Meant("Angstrom", "stat.error;spect.line.eqWidth"),
}
# Numbers at the end of a name are left out.
PARAMETERS = {
    "logmass": Meant("", "phys.mass", "log10 of the stellar mass formed, in solar masses"),
    "logzsol": Meant("", "phys.abund.Z", "log10 of the stars' metallicity Z / Zsun"),
    "dust2": Meant("", "phys.absorption.opticalDepth"),
    "dust_index": Meant("", "phys.absorption.coeff"),
    "dust1_fraction": Meant("", "phys.absorption.opticalDepth;arith.ratio"),
    "tage": Meant("Gyr", "time.age", "time since star formation began"),
    "tau": Meant("Gyr", "time.scale", "time in which the star formation rate falls by e"),
    "fburst": Meant("", "phys.mass;arith.ratio"),
    "burst_age_fraction": Meant("", "time.age;arith.ratio"),
    "truncation_age_fraction": Meant("", "time.age;arith.ratio"),
    "agebin_edge": Meant("Gyr", "time.age"),
    "oldest_agebin_fraction": Meant("", "time.age;arith.ratio"),
    "tflex": Meant("Gyr", "time.age"),
    "tlast": Meant("Gyr", "time.age", "width of the youngest bin of age"),
    "logsfr_ratio_young": Meant("", RATE_RATIO),
    "logsfr_ratio": Meant("", RATE_RATIO),
    "logsfr_ratio_old": Meant("", RATE_RATIO),
    "z_fraction": Meant("", RATE_RATIO),
    "gas_logu": Meant("", "phys.ionizParam.rad"),
    "gas_logz": Meant("", "phys.abund.Z"),
    "sigma_smooth": Meant("km/s", "phys.veloc.dispersion"),
    "eline_sigma": Meant("km/s", "phys.veloc.dispersion"),
    "line_strength": Meant("", "arith.factor"),
    "noise_floor": Meant("", "stat.error;arith.ratio"),
    "model_error": Meant("", "stat.error.sys;arith.ratio"),
    "zred": Meant("", "src.redshift"),
}
QUANTITIES = {
    "logmass_surviving": Meant(
        "",
        "phys.mass",
        "log10 of the mass in stars and their remnants, in solar masses, as FSPS counts them",
    ),
    "sfr_10myr": Meant(f"{SOLAR_MASS}/yr", "phys.SFR"),
    "sfr_100myr": Meant(f"{SOLAR_MASS}/yr", "phys.SFR"),
    "ssfr_100myr": Meant("yr**-1", "phys.SFR;arith.ratio"),
    "mass_weighted_age": Meant("Gyr", "time.age;stat.mean"),
    "t50": Meant("Gyr", "time.age"),
    "t90": Meant("Gyr", "time.age"),
    "av": Meant("mag", "phys.absorption"),
    "av_young": Meant("mag", "phys.absorption"),
    "dn4000": Meant("", "spect.index"),
} | {
    f"{line}_{what}": Meant(unit, f"{ucd};{LINE_UCDS.get(line, 'em.line')}")
    for line in LINES
    for what, unit, ucd in (
        ("luminosity", SOLAR_LUMINOSITY, "phys.luminosity"),
        ("ew", "Angstrom", "spect.line.eqWidth"),
    )
}


def of_parameter(name: str) -> Meant:
    """What a column of theta is.

    Example:
        >>> of_parameter("tage").unit, of_parameter("agebin_edge_3").ucd
        ('Gyr', 'time.age')
    """
    meant = _known(PARAMETERS, re.sub(r"_\d+$", "", name), name)
    return Meant(meant.unit, meant.ucd, meant.words or parameter(name).unit)


def of_quantity(name: str) -> Meant:
    """What a derived quantity is; words only where it takes others than those of its definition."""
    return _known(QUANTITIES, name, name)


def _known(table: dict[str, Meant], key: str, name: str) -> Meant:
    if key not in table:
        raise BadInput(f"{name} has no unit and no UCD: add it to column_units.py.")
    return table[key]
