"""The model of a run in sentences, for a reader who knows galaxies and not our settings."""

from collections.abc import Mapping

from hpcsbi.simulator.galaxy.attenuations import ATTENUATIONS, attenuation_of
from hpcsbi.simulator.galaxy.free_gas import is_free
from hpcsbi.simulator.galaxy.histories import HISTORIES, family_of
from hpcsbi.simulator.model import Model

__all__ = ["APERTURES", "CURVE_WORDS", "DUST_WORDS", "HISTORY_WORDS", "IMF_WORDS", "sentences"]

IMF_WORDS = {0: "Salpeter", 1: "Chabrier", 2: "Kroupa"}
CURVE_WORDS = {
    0: "a power law of slope \N{MINUS SIGN}0.7",
    2: "Calzetti's curve",
    4: "the curve of Kriek & Conroy",
}
HISTORY_WORDS = {
    "delayed_tau": "a delayed exponential, SFR ∝ t exp(\N{MINUS SIGN}t/τ) since the galaxy began",
    "delayed_tau_burst": "a delayed exponential, SFR ∝ t exp(\N{MINUS SIGN}t/τ), and one burst",
    "delayed_tau_truncated": "a delayed exponential, SFR ∝ t exp(\N{MINUS SIGN}t/τ), that may stop "
    "at once",
    "continuity": "constant rates in bins of age, with ratios between neighbours (continuity)",
    "dirichlet": "constant rates in bins of age, with fractions of the rate (Dirichlet)",
    "post_starburst": "constant rates in bins of age whose edges move (post-starburst galaxies)",
}
DUST_WORDS = {
    "screen": "a screen before all stars",
    "birth_clouds": "a screen before all stars, and birth clouds before young ones",
    "free_slope": "a screen of free slope before all stars",
    "two_part": "a screen of free slope before all stars, and birth clouds before young ones",
}
APERTURES = {
    "sdss": "of the fibre, 3 or 2 arcsec wide",
    "desi": "of the fibre, 1.5 arcsec wide",
    "aaomega": "of the fibre",
    "pfs": "of the fibre",
    "manga": "of the spaxel or bin",
    "manga_cube": "of the spaxel, bin or fibre",
    "jwst": "of the slit or aperture of extraction",
    "eso": "of the slit or aperture of extraction",
    "stack": "of a stack, as it was normalised",
}
ELSEWHERE = "of the aperture, whatever that is: fibre, slit or whole galaxy"
ERRORS = {
    "calibration": "a smooth error of the flux calibration",
    "line_error": "an error of emission lines",
    "model_error": "a smooth error of the model",
    "redshift_error": "an error of the redshift",
    "width_error": "an error of the width of lines",
    "sky_error": "what is left of the sky",
}


def sentences(model: Model, survey: str | None) -> list[str]:
    """What was run, in the order in which an astronomer would ask.

    Arguments:
        model: of the flow or its simulations.
        survey: name of the survey that spectra were read as; None where none was.
    """
    physics, prior = model.physics, model.prior
    kinds = {each: kind for kind, each in HISTORIES.items()}
    dusts = {each: kind for kind, each in ATTENUATIONS.items()}
    history = HISTORY_WORDS[kinds[family_of(prior.names)]]
    dust = DUST_WORDS[dusts[attenuation_of(physics.dust_type, prior.names)]]
    log_u = f"{physics.gas_logu:g}".replace("-", "\N{MINUS SIGN}")
    gas = "with free ionisation" if is_free(prior.names) else f"log U = {log_u}"
    free = "sigma_smooth" in prior.names
    width = "free" if free else f"{physics.sigma_smooth:g} km/s for stars, gas and instrument"
    light = APERTURES.get(survey or "", ELSEWHERE)
    told = [
        f"Star formation history: {history}. Stars: FSPS with the initial mass function of "
        f"{IMF_WORDS[physics.imf_type]}, one metallicity. Dust: {CURVE_WORDS[physics.dust_type]}, "
        f"{dust}. Gas: FSPS's lines, {gas}. Velocity dispersion: {width}.",
        f"Mass is the mass formed of the light {light}; light outside is not added. Mass "
        "surviving, which is less by the stars that died, stands with the derived quantities.",
        f"{_count(prior.inferred_names)} are inferred of pixels from {model.grid.first:g} to "
        f"{model.grid.last:g} Å ({model.grid.pixels} of them) in the rest frame.",
    ]
    if model.noise is not None and (errors := _errors(model.noise.settings())):
        told.append(f"Integrated out with them: {', '.join(errors)}.")
    return told


def _count(names: tuple[str, ...]) -> str:
    return f"{len(names)} parameters ({', '.join(names)})"


def _errors(noise: Mapping) -> list[str]:
    told = [words for name, words in ERRORS.items() if noise.get(name)]
    return told + (["an error that a survey taught"] if noise.get("learned") else [])
