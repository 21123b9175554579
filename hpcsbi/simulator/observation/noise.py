"""Noise: from a noise-free spectrum to what an instrument would have recorded of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar, Protocol

import numpy as np
import torch

from hpcsbi.arguments import Between, Count, refuse_wrong
from hpcsbi.errors import BadInput
from hpcsbi.grid import REFERENCE_WIDTH, fewest_pixels
from hpcsbi.simulator.observation.exposure import exposure
from hpcsbi.simulator.observation.instruments import WINDOWS, fibres
from hpcsbi.simulator.observation.learned_error import LearnedError, refuse_other_error
from hpcsbi.simulator.observation.noise_bank import BankNoise
from hpcsbi.simulator.observation.random_tensors import RandomTensors
from hpcsbi.simulator.observation.survey_masks import draw_valid, odd_masks
from hpcsbi.simulator.observation.survey_sigma import MARGIN, beyond_snr, draw_sigma, mean_snr
from hpcsbi.simulator.observation.templates import LENGTH

__all__ = ["NOISES", "FractionalNoise", "Noise", "SurveyNoise", "make_noise"]

Observation = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # flux, ivar, zred


class Noise(Protocol):
    """What every noise model does; a new one is a class with this interface, and named in NOISES.

    Arguments:
        kind: what its settings call it.
        instrument: whether lines are as wide as instruments make them, see `instruments`.
    """

    kind: ClassVar[str]
    instrument: bool

    def __call__(
        self,
        flux: torch.Tensor,
        wave: torch.Tensor,
        floor: torch.Tensor | None,
        generator: torch.Generator,
        zred: torch.Tensor | None = None,
        model_error: torch.Tensor | None = None,
    ) -> Observation:
        """Noisy flux and its ivar, both (n, pixels), and the redshift of the observation, (n,).

        Arguments:
            flux: noise-free, L_sun per Angstrom, shape (n, pixels).
            wave: pixel centres, Angstrom, rest frame, shape (pixels,).
            floor: noise floor as a fraction of the flux, shape (n,).
            generator: of the random numbers.
            zred: where theta tells the redshift, shape (n,); None: the model draws it.
            model_error: standard deviation of the model's smooth error as a fraction of the flux,
                where theta has it, shape (n,).
        """

    def settings(self) -> dict:
        """Plain numbers from which `make_noise` makes an equal model."""

    def beyond(
        self,
        flux: np.ndarray,
        ivar: np.ndarray,
        wave: np.ndarray,
        zred: np.ndarray,
        told: bool = False,
    ) -> np.ndarray:
        """True where the model makes no such spectrum: whoever learned from it extrapolates.

        Arguments:
            flux, ivar: as recorded, shape (n, pixels).
            wave: pixel centres, Angstrom, rest frame, shape (pixels,).
            zred: redshifts, shape (n,).
            told: theta tells them, and its prior says how far they reach.

        Returns:
            bool, shape (n,).
        """


@dataclass(frozen=True)
class FractionalNoise:
    """The paper's noise: Gaussian with a sigma that is a fraction of the true flux.

    The ivar that goes with a spectrum is that of the *recorded* flux, as an observer would quote
    it: the sigma of the true flux would give the truth away.

    Arguments:
        fraction: sigma over true flux.

    References:
        Khullar et al. 2022, section 2: 5 % of the flux at a given wavelength.
    """

    kind: ClassVar[str] = "fractional"
    instrument: ClassVar[bool] = False
    fraction: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 0.25:
            raise BadInput(f"noise.fraction is {self.fraction}: it must lie between 0 and 0.25.")

    def __call__(
        self,
        flux: torch.Tensor,
        wave: torch.Tensor,
        floor: torch.Tensor | None,
        generator: torch.Generator,
        zred: torch.Tensor | None = None,
        model_error: torch.Tensor | None = None,
    ) -> Observation:
        """See `Noise`; no pixel is masked; neither a floor nor a smooth error are part of it.

        Nor is a redshift: it is zero unless it is told.
        """
        noise = self.fraction * RandomTensors(generator).normal(*flux.shape)
        noisy = flux * (1 + noise.clamp_min(-0.95))  # -19 sigma: keeps the logarithm defined
        zred = flux.new_zeros(len(flux)) if zred is None else zred
        return noisy, (self.fraction * noisy) ** -2, zred

    def settings(self) -> dict:
        """See `Noise`."""
        return {"kind": self.kind, **asdict(self)}

    def beyond(
        self,
        flux: np.ndarray,
        ivar: np.ndarray,
        wave: np.ndarray,
        zred: np.ndarray,
        told: bool = False,
    ) -> np.ndarray:
        """See `Noise`: any other S/N, or a masked pixel; redshifts change nothing here."""
        ratio = self.fraction * mean_snr(flux, ivar, np.ones(flux.shape[1]))
        return (ivar <= 0).any(1) | ~((ratio > 1 / MARGIN) & (ratio < MARGIN))


@dataclass(frozen=True)
class SurveyNoise:
    """Noise of spectroscopic surveys: S/N, wavelength-dependent sigma, masks, truncation, floor.

    A spectrograph and a redshift are drawn; pixels outside its window are masked, sky lines raise
    sigma where they fall in the rest frame. Sigma otherwise lies between constant (sky-limited)
    and proportional to the flux, with a smooth tilt and jitter. Single pixels and gaps are masked
    at random, and some spectra are cut to a contiguous stretch. The noise floor is a fraction of
    the true flux, added in quadrature; the quoted ivar does not know of it. Nor does it know of the
    error of the flux calibration: a smooth factor, 1 plus `response_curves` with random amplitudes.
    Nor of a smooth error of the model (`SmoothError`), whose amplitude is given here or is a column
    of theta, model_error.

    On any pixels it is the same spectrograph: gaps have lengths in Angstrom, and sigma falls with
    the root of a pixel's width. Jitter and the share of single bad pixels are those of a pixel,
    however wide: of 15 SDSS spectra on pixels of 42 and 5 Angstrom ln sigma scatters by 0.05 and
    0.08, and 3 and 2 % are bad. The floor is independent in every pixel.

    Arguments:
        snr: lowest and highest mean flux / sigma of valid pixels, log-uniform, in pixels of
            REFERENCE_WIDTH.
        max_zred: redshifts are uniform up to here, with a third of them below 0.03; those that
            theta tells are what they are.
        min_pixels: at least so many pixels stay valid, or as large a share of more than 138.
        cut: share of the spectra that keep only a contiguous stretch.
        calibration: standard deviation of each amplitude of the flux calibration's error; 0.04 is
            what SDSS, DESI and MaNGA spectra ask for.
        model_error: standard deviation of the model's smooth error, as a fraction of the flux.
        model_error_length: over which that error is correlated, Angstrom, rest frame.
        line_error: standard deviation of what each group of emission lines is off by, as an
            equivalent width, Angstrom.
        redshift_error, width_error, sky_error: see `AdditiveErrors`.
        instrument: `flux` is as wide as the instruments of `survey_and_zred` make it.
        learned: the model's error as a survey taught it; multiplies the flux, whose sigma and floor
            are those of the product.
    """

    kind: ClassVar[str] = "survey"
    snr: tuple[float, float] = (2.0, 1000.0)
    max_zred: Annotated[float, Between(0, 20)] = 0.8
    min_pixels: Count = 20
    cut: Annotated[float, Between(0, 1)] = 0.1
    calibration: float = 0.0
    model_error: Annotated[float, Between(0, 0.2)] = 0.0
    model_error_length: Annotated[float, Between(20, 5000)] = LENGTH
    line_error: Annotated[float, Between(0, 100)] = 0.0
    instrument: bool = False
    learned: LearnedError | None = None
    redshift_error: Annotated[float, Between(0, 300)] = 0.0
    width_error: Annotated[float, Between(0, 300)] = 0.0
    sky_error: Annotated[float, Between(0, 100)] = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "snr", tuple(self.snr))
        if isinstance(self.learned, Mapping):
            object.__setattr__(self, "learned", LearnedError(**self.learned))
        refuse_wrong(SurveyNoise, vars(self), "noise")
        if not 0 <= self.calibration < 0.2:
            raise BadInput(
                f"noise.calibration is {self.calibration}: it must lie between 0 and 0.2."
            )
        if not 0 < self.snr[0] < self.snr[1]:
            raise BadInput(f"noise.snr is {self.snr}: it must be two rising positive numbers.")
        refuse_other_error(self.learned, self.model_error)

    def __call__(
        self,
        flux: torch.Tensor,
        wave: torch.Tensor,
        floor: torch.Tensor | None,
        generator: torch.Generator,
        zred: torch.Tensor | None = None,
        model_error: torch.Tensor | None = None,
    ) -> Observation:
        """See `Noise`."""
        if self.learned is not None:
            flux = flux * torch.as_tensor(self.learned.factor).to(flux)
        draw = RandomTensors(generator)
        survey, drawn = self.survey_and_zred(len(flux), generator)
        window = torch.tensor(WINDOWS, device=draw.device)[survey]
        zred = drawn if zred is None else zred
        observed = wave * (1 + zred[:, None])
        place = _places(wave)
        least = fewest_pixels(len(wave), self.min_pixels)
        valid = draw_valid(observed, place, window, least, self.cut, draw)
        sigma = draw_sigma(flux, observed, valid, self.snr, draw) / torch.gradient(place)[0].sqrt()
        return *exposure(flux, wave, valid, sigma, floor, model_error, self, draw, zred), zred

    def settings(self) -> dict:
        """See `Noise`; what stores of before do not know of is left out at its default."""
        settings = {"kind": self.kind, **asdict(self)}
        first = [*settings].index("model_error")
        for name in [*settings][first:]:
            if settings[name] == getattr(type(self), name):
                del settings[name]
        return settings

    def beyond(
        self,
        flux: np.ndarray,
        ivar: np.ndarray,
        wave: np.ndarray,
        zred: np.ndarray,
        told: bool = False,
    ) -> np.ndarray:
        """See `Noise`: of S/N, redshift, and the pixels that are seen or lost."""
        valid, place = ivar > 0, _places(torch.as_tensor(wave)).double().numpy()
        seen, least = valid.sum(1), fewest_pixels(len(place), self.min_pixels)
        beyond = beyond_snr(flux, ivar, np.gradient(place), self.snr)
        beyond |= (seen < least) | odd_masks(valid, place)
        observed = wave * (1 + zred[:, None])
        inside = (observed >= np.min(WINDOWS)) & (observed <= np.max(WINDOWS))
        uncovered = (valid & ~inside).any(1) & (inside.sum(1) >= least)
        return beyond | uncovered | (~(zred <= self.max_zred) & ~np.bool_(told))

    def line_spreads(
        self, n: int, wave: torch.Tensor, generator: torch.Generator, zred: torch.Tensor | None
    ) -> torch.Tensor:
        """See `instruments.Observing`."""
        survey, drawn = self.survey_and_zred(n, generator)
        return fibres(survey, drawn if zred is None else zred, wave, generator)

    def survey_and_zred(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        """Numbers of WINDOWS and redshifts with which n observations begin, shapes (n,)."""
        draw = RandomTensors(generator)
        survey, near = draw.integer(len(WINDOWS), n), draw.uniform(n) < 1 / 3
        return survey, torch.where(near, 0.03, self.max_zred) * draw.uniform(n)


NOISES: dict[str, type[Noise]] = {
    noise.kind: noise for noise in (FractionalNoise, SurveyNoise, BankNoise)
}


def make_noise(kind: str, **settings: float) -> Noise:
    """The noise model whose `settings()` these are.

    Raises:
        BadInput: the kind is unknown, or a number is out of its range.
    """
    if kind not in NOISES:
        raise BadInput(f"noise.kind is {kind!r}: choose from {', '.join(NOISES)}.")
    return NOISES[kind](**settings)


def _places(wave: torch.Tensor) -> torch.Tensor:
    """Distance of each pixel from the first in units of REFERENCE_WIDTH, shape (pixels,).

    Rounded, to be whole numbers on the default grid: no rounding of `wave` may move its masks.
    """
    place = (wave.double() - wave[0].item()) / REFERENCE_WIDTH
    return place.round(decimals=4).to(wave.dtype)
