"""The parameters that theta may have: unit, range and names of each, told once for all readers."""

from dataclasses import dataclass

from hpcsbi.arguments import did_you_mean
from hpcsbi.errors import BadInput

__all__ = ["LEAST_DISPERSION", "OF_ERRORS", "PARAMETERS", "ZRED", "Parameter", "parameter"]

LEAST_DISPERSION = 50.0  # km/s; pixels of the library are as wide, and points have to be as close
OF_ERRORS = ("noise_floor", "model_error")  # fractions of the flux; they do not change a spectrum
ZRED = "zred"  # the redshift, which noise may ask for; spectra are those of the rest frame
STEEPEST = 7.0  # dex between bins of age; what Prospector cuts such a ratio to


@dataclass(frozen=True)
class Parameter:
    """One parameter; which of them are inferred, and between which bounds, says the prior.

    Arguments:
        name: of its column in theta and in every product.
        unit: in words.
        low, high: what FSPS and the table can make; a prior that reaches further is refused.
        header: head of its column in a table.
        label: of an axis, with the unit.
        log_label: the same where the values are log10; "" for what is a logarithm already, which
            no prior is flat in the logarithm of.
        age: an age of something in the galaxy, which the Universe may bound.
    """

    name: str
    unit: str
    low: float
    high: float
    header: str
    label: str
    log_label: str = ""
    age: bool = False


def logsfr_ratio(name: str, younger: str, older: str) -> Parameter:
    """The ratio of the star formation rates in two neighbouring bins of age."""
    number = name.removeprefix("logsfr_ratio_").replace("_", " ")
    return Parameter(
        name=name,
        unit=f"log10 of the star formation rate in {younger} over that in {older}",
        low=-STEEPEST,
        high=STEEPEST,
        header=f"log SFR ratio {number}",
        label=rf"$\log\,\mathrm{{SFR\ ratio\ {number}}}$",
    )


PARAMETERS = {
    each.name: each
    for each in (
        Parameter(
            name="logmass",
            unit="log10 of solar masses formed",
            low=0.0,
            high=16.0,
            header="log M/Msun formed",
            label=r"$\log\,M_\mathrm{formed}/M_\odot$",
        ),
        Parameter(
            name="logzsol",
            unit="log10 of Z / Zsun",
            low=-2.5,
            high=0.5,
            header="log Z/Zsun",
            label=r"$\log\,Z/Z_\odot$",
        ),
        Parameter(
            name="dust2",
            unit="optical depth at 5500 Angstrom",
            low=0.0,
            high=20.0,
            header="dust2",
            label=r"$\tau_{5500}$ (dust2)",
            log_label=r"$\log\,\tau_{5500}$",
        ),
        Parameter(
            name="dust_index",
            unit="power of wavelength by which the dust curve differs from Calzetti's",
            low=-2.2,
            high=0.7,
            header="dust index",
            label="dust index $n$",
        ),
        Parameter(
            name="dust1_fraction",
            unit="optical depth of birth clouds at 5500 Angstrom over dust2",
            low=0.0,
            high=4.0,
            header="dust1 / dust2",
            label=r"$\tau_\mathrm{birth}/\tau_{5500}$",
            log_label=r"$\log\,\tau_\mathrm{birth}/\tau_{5500}$",
        ),
        Parameter(
            name="tage",
            unit="Gyr",
            low=0.0,
            high=14.0,
            header="age [Gyr]",
            label=r"$t_\mathrm{age}$ [Gyr]",
            log_label=r"$\log\,t_\mathrm{age}/\mathrm{Gyr}$",
            age=True,
        ),
        Parameter(
            name="tau",
            unit="Gyr",
            low=0.1,
            high=100.0,
            header="tau [Gyr]",
            label=r"$\tau$ [Gyr]",
            log_label=r"$\log\,\tau/\mathrm{Gyr}$",
        ),
        Parameter(
            name="fburst",
            unit="fraction of the mass formed in a burst",
            low=0.0,
            high=1.0,
            header="burst mass / mass",
            label=r"$f_\mathrm{burst}$",
            log_label=r"$\log\,f_\mathrm{burst}$",
        ),
        Parameter(
            name="burst_age_fraction",
            unit="age of the burst over tage",
            low=0.0,
            high=1.0,
            header="burst age / age",
            label=r"$t_\mathrm{burst}/t_\mathrm{age}$",
            log_label=r"$\log\,t_\mathrm{burst}/t_\mathrm{age}$",
        ),
        Parameter(
            name="truncation_age_fraction",
            unit="time since star formation was cut off over tage",
            low=0.0,
            high=0.99,
            header="truncation age / age",
            label=r"$t_\mathrm{trunc}/t_\mathrm{age}$",
            log_label=r"$\log\,t_\mathrm{trunc}/t_\mathrm{age}$",
        ),
        *(
            Parameter(
                name=f"agebin_edge_{i}",
                unit=f"Gyr, where bin {i} of age ends and the next older begins",
                low=0.002,
                high=13.9,
                header=f"bin edge {i} [Gyr]",
                label=rf"$t_\mathrm{{edge\,{i}}}$ [Gyr]",
                log_label=rf"$\log\,t_\mathrm{{edge\,{i}}}/\mathrm{{Gyr}}$",
            )
            for i in range(1, 14)
        ),
        Parameter(
            name="oldest_agebin_fraction",
            unit="age at which the oldest bin begins over tage",
            low=0.05,
            high=0.99,
            header="oldest bin / age",
            label=r"$t_\mathrm{oldest}/t_\mathrm{age}$",
            log_label=r"$\log\,t_\mathrm{oldest}/t_\mathrm{age}$",
        ),
        Parameter(
            name="tflex",
            unit="Gyr, where the flexible bins of age end and the fixed ones begin",
            low=0.1,
            high=13.0,
            header="t flex [Gyr]",
            label=r"$t_\mathrm{flex}$ [Gyr]",
            log_label=r"$\log\,t_\mathrm{flex}/\mathrm{Gyr}$",
        ),
        Parameter(
            name="tlast",
            unit="Gyr",
            low=0.001,
            high=1.9,
            header="t last [Gyr]",
            label=r"$t_\mathrm{last}$ [Gyr]",
            log_label=r"$\log\,t_\mathrm{last}/\mathrm{Gyr}$",
        ),
        logsfr_ratio("logsfr_ratio_young", "the youngest bin of age", "the first flexible one"),
        *(
            logsfr_ratio(f"logsfr_ratio_{i}", f"bin {i} of age", f"bin {i + 1}, which is older")
            for i in range(1, 14)
        ),
        *(
            logsfr_ratio(
                f"logsfr_ratio_old_{i}",
                f"fixed bin {i - 1} of age" if i > 1 else "the last flexible bin of age",
                f"fixed bin {i}, which is older",
            )
            for i in range(1, 4)
        ),
        *(
            Parameter(
                name=f"z_fraction_{i}",
                unit=f"of the rates in bin {i} of age and older ones, those in the older ones",
                low=0.0,
                high=1.0,
                header=f"z fraction {i}",
                label=f"$z_\\mathrm{{fraction,{i}}}$",
            )
            for i in range(1, 14)
        ),
        Parameter(
            name="gas_logu",
            unit="log10 of the ionisation parameter",
            low=-4.0,
            high=-1.0,
            header="log U",
            label=r"$\log\,U$",
        ),
        Parameter(
            name="gas_logz",
            unit="log10 of Z / Zsun of the gas",
            low=-2.0,
            high=0.5,
            header="gas log Z/Zsun",
            label=r"gas $\log\,Z/Z_\odot$",
        ),
        Parameter(
            name="sigma_smooth",
            unit="km/s, velocity dispersion of stars, gas and instrument together",
            low=LEAST_DISPERSION,
            high=1000.0,
            header="sigma [km/s]",
            label=r"$\sigma$ [km/s]",
            log_label=r"$\log\,\sigma/\mathrm{km\,s^{-1}}$",
        ),
        Parameter(
            name="eline_sigma",
            unit="km/s, velocity dispersion of emission lines and instrument together",
            low=LEAST_DISPERSION,
            high=1000.0,
            header="line sigma [km/s]",
            label=r"$\sigma_\mathrm{lines}$ [km/s]",
            log_label=r"$\log\,\sigma_\mathrm{lines}/\mathrm{km\,s^{-1}}$",
        ),
        Parameter(
            name="line_strength",
            unit="emission lines over those of FSPS",
            low=0.0,
            high=100.0,
            header="line strength",
            label="line strength",
            log_label="log line strength",
        ),
        Parameter(
            name="noise_floor",
            unit="fraction of the model flux",
            low=0.0,
            high=1.0,
            header="noise floor",
            label="noise floor",
            log_label="log noise floor",
        ),
        Parameter(
            name="model_error",
            unit="fraction of the model flux, smooth in wavelength",
            low=0.0,
            high=1.0,
            header="model error",
            label="model error",
            log_label="log model error",
        ),
        Parameter(
            name=ZRED,
            unit="redshift of the observation",
            low=-0.01,
            high=20.0,
            header="redshift",
            label="redshift",
        ),
    )
}


def parameter(name: str) -> Parameter:
    """The parameter of a name.

    Raises:
        BadInput: there is none; names the likely one.
    """
    if name not in PARAMETERS:
        raise BadInput(
            f"parameter {name!r} is unknown{did_you_mean(name, PARAMETERS) or '.'} "
            f"There are {', '.join(PARAMETERS)}."
        )
    return PARAMETERS[name]
