"""Noise that a survey has: sigma, masks, redshifts, S/N and instruments of its own spectra.

Each simulated spectrum is observed as one of them was, drawn at random. Sigma and mask say nothing
of the simulated spectrum then, whatever they say of the one that they were taken from.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, ClassVar

import numpy as np
import torch

from hpcsbi.arguments import Between, Count, Natural, refuse_wrong
from hpcsbi.errors import BadInput
from hpcsbi.grid import REFERENCE_WIDTH, fewest_pixels
from hpcsbi.simulator.observation.exposure import exposure
from hpcsbi.simulator.observation.learned_error import LearnedError, refuse_other_error
from hpcsbi.simulator.observation.random_tensors import RandomTensors
from hpcsbi.simulator.observation.survey_sigma import beyond_snr, mean_snr
from hpcsbi.simulator.observation.templates import LENGTH

__all__ = ["Bank", "BankNoise", "Observations"]

LEAST = 100  # observations in a bank: a flow would learn the masks of fewer by heart
ALIKE = 0.02  # share of the bank whose redshifts are nearest to one that is told
OUTERMOST = 1000  # one in so many on either side does not make a range
TOLERANCE = 0.05  # of a range: how far the next observations of a survey may lie beyond it
SIGMAS = 3.0  # that chance is allowed for in pixels that are lost and their stretches


@dataclass(frozen=True)
class Bank:
    """What is known of a bank where it is not at hand: which one, and what lies in it.

    Arguments:
        digest: of all its numbers.
        observations: how many.
        snr: lowest and highest mean S/N in pixels of REFERENCE_WIDTH.
        zred: lowest and highest redshift.
        window: observed wavelengths between which pixels are valid, Angstrom.
        seen: fewest valid pixels.
        lost: largest share of pixels that are lost between the first and the last valid one.
        gaps: most stretches of lost pixels there.
    """

    digest: str
    observations: Count
    snr: tuple[float, float]
    zred: tuple[float, float]
    window: tuple[float, float]
    seen: Count
    lost: float
    gaps: Natural


@dataclass(frozen=True, eq=False)
class Observations:
    """The vectors of a bank, in the order of their redshifts.

    Arguments:
        sigma: quoted, over its own mean, 0 where masked, float32, shape (n, pixels).
        snr: mean of flux over sigma of valid pixels, in pixels of REFERENCE_WIDTH, shape (n,).
        zred: redshifts, ascending, shape (n,).
        instrument: what it adds to dispersions, km/s, shape (n, KNOTS); None: not known.
    """

    sigma: np.ndarray
    snr: np.ndarray
    zred: np.ndarray
    instrument: np.ndarray | None = None

    @classmethod
    def of_spectra(
        cls,
        flux: np.ndarray,
        ivar: np.ndarray,
        zred: np.ndarray,
        instrument: np.ndarray | None,
        wave: np.ndarray,
    ) -> "Observations":
        """From spectra as recorded; those are left out that nothing can be inferred of.

        Arguments:
            flux, ivar: 0 where masked, shape (n, pixels).
            zred: redshifts, shape (n,).
            instrument: see `Observations`; NaN where it is not known.
            wave: pixel centres, Angstrom, rest frame, shape (pixels,).

        Raises:
            BadInput: fewer than LEAST are left.
        """
        valid = ivar > 0
        snr = mean_snr(flux, ivar, np.gradient(wave) / REFERENCE_WIDTH)
        good = (valid.sum(1) >= fewest_pixels(len(wave))) & np.isfinite(zred) & (snr > 0)
        if instrument is not None:
            good &= np.isfinite(instrument).all(1)
        if good.sum() < LEAST:
            raise BadInput(
                f"{good.sum()} of {len(flux)} spectra can be used, and a flow learns the masks of "
                f"fewer than {LEAST} by heart: ingest more spectra of the survey, or take "
                "noise=survey."
            )
        rows = np.flatnonzero(good)[np.argsort(zred[good], kind="stable")]
        sigma = np.where(valid[rows], ivar[rows], np.inf) ** -0.5
        sigma *= valid[rows].sum(1, keepdims=True) / sigma.sum(1, keepdims=True)
        added = None if instrument is None else instrument[rows].astype(np.float32)
        return cls(sigma.astype(np.float32), snr[rows], zred[rows].astype(float), added)

    def __len__(self) -> int:
        return len(self.sigma)

    def summary(self, wave: np.ndarray) -> Bank:
        """What is remembered of them, with ranges that OUTERMOST leaves.

        Arguments:
            wave: pixel centres, Angstrom, rest frame, shape (pixels,).
        """
        digest = hashlib.blake2b(digest_size=16)
        for each in fields(self):
            values = getattr(self, each.name)
            if values is not None:
                digest.update(np.ascontiguousarray(values).tobytes())
        seen, lost, gaps, ends = _coverage(self.sigma > 0, self.zred, wave)
        return Bank(
            digest.hexdigest(), len(self), _range(self.snr), _range(self.zred),
            (_range(ends[:, 0])[0], _range(ends[:, 1])[1]), int(_range(seen)[0]), _range(lost)[1],
            int(_range(gaps)[1]),
        )  # fmt: skip

    def draw(
        self, n: int, generator: torch.Generator, zred: torch.Tensor | None = None
    ) -> np.ndarray:
        """Rows of n of them; with redshifts that are told some whose own are near, shape (n,)."""
        draw = RandomTensors(generator)
        if zred is None:
            return draw.integer(len(self), n).cpu().numpy()
        near = max(round(ALIKE * len(self)), 1)
        first = np.searchsorted(self.zred, zred.cpu().double().numpy()) - near // 2
        return first.clip(0, len(self) - near) + draw.integer(near, n).cpu().numpy()


@dataclass(frozen=True)
class BankNoise:
    """Noise of a survey's own spectra; floor and smooth errors are those of `SurveyNoise`.

    Each spectrum has mask, redshift and relative sigma (and instrument) of one of the bank, and its
    S/N times a number. Sigma is as quoted for the other spectrum, the Poisson noise of which stays
    where its light was. A redshift that is told chooses among those of the bank that are nearest.

    Arguments:
        bank: path of the store of spectra that `ingest` made; or what is known of the bank where a
            stage has read it.
        snr_factor: S/N is up to so many times that of the bank, or as much lower, log-uniform: what
            the spectra to come may have beyond those of the bank.
        calibration, model_error, model_error_length, line_error, learned, redshift_error,
            width_error, sky_error: see `SurveyNoise`.
        instrument: `flux` is as wide as the bank's instruments make it.
        observations: of the bank, where it is at hand.
    """

    kind: ClassVar[str] = "bank"
    bank: str | Bank | None
    snr_factor: Annotated[float, Between(1, 100)] = 2.0
    calibration: Annotated[float, Between(0, 0.2)] = 0.0
    model_error: Annotated[float, Between(0, 0.2)] = 0.0
    model_error_length: Annotated[float, Between(20, 5000)] = LENGTH
    line_error: Annotated[float, Between(0, 100)] = 0.0
    instrument: bool = False
    learned: LearnedError | None = None
    redshift_error: Annotated[float, Between(0, 300)] = 0.0
    width_error: Annotated[float, Between(0, 300)] = 0.0
    sky_error: Annotated[float, Between(0, 100)] = 0.0
    observations: Observations | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.learned, Mapping):
            object.__setattr__(self, "learned", LearnedError(**self.learned))
        refuse_wrong(BankNoise, vars(self), "noise")
        refuse_other_error(self.learned, self.model_error)
        if isinstance(self.bank, Mapping):
            known = {k: tuple(v) if isinstance(v, list) else v for k, v in self.bank.items()}
            object.__setattr__(self, "bank", Bank(**known))

    def __call__(
        self,
        flux: torch.Tensor,
        wave: torch.Tensor,
        floor: torch.Tensor | None,
        generator: torch.Generator,
        zred: torch.Tensor | None = None,
        model_error: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See `Noise`.

        Raises:
            BadInput: the bank is not at hand.
        """
        known, draw = self._at_hand(), RandomTensors(generator)
        if self.learned is not None:
            flux = flux * torch.as_tensor(self.learned.factor).to(flux)
        rows = known.draw(len(flux), generator, zred)
        to_torch = {"dtype": flux.dtype, "device": flux.device}
        if zred is None:
            zred = torch.as_tensor(known.zred[rows], **to_torch)
        sigma = torch.as_tensor(known.sigma[rows], **to_torch)
        valid = sigma > 0
        power = 2 * draw.uniform(len(flux), 1) - 1
        snr = torch.as_tensor(known.snr[rows], **to_torch)[:, None] * self.snr_factor**power
        widths = torch.gradient(wave.double())[0].to(flux.dtype) / REFERENCE_WIDTH
        ratio = torch.where(valid, flux / (sigma * widths.sqrt()), 0.0)
        sigma = sigma * (ratio.sum(1, keepdim=True) / valid.sum(1, keepdim=True) / snr)
        return *exposure(flux, wave, valid, sigma, floor, model_error, self, draw, zred), zred

    def settings(self) -> dict:
        """See `Noise`; the bank is told by what is known of it, wherever it lies."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        del known["observations"]
        learned = known.pop("learned")
        more = {} if learned is None else {"learned": asdict(learned)}
        for name in ("redshift_error", "width_error", "sky_error"):
            if known[name] == 0:
                del known[name]
        bank = asdict(self.bank) if isinstance(self.bank, Bank) else self.bank
        return {"kind": self.kind, **known, "bank": bank, **more}

    def beyond(
        self,
        flux: np.ndarray,
        ivar: np.ndarray,
        wave: np.ndarray,
        zred: np.ndarray,
        told: bool = False,
    ) -> np.ndarray:
        """See `Noise`: of S/N, redshift, observed wavelengths, and the pixels that are lost.

        Redshifts that are told have to be the bank's as well: its masks are.
        """
        bank = self.bank
        snr = bank.snr[0] / self.snr_factor, bank.snr[1] * self.snr_factor
        beyond = beyond_snr(flux, ivar, np.gradient(wave) / REFERENCE_WIDTH, snr)
        seen, lost, gaps, ends = _coverage(ivar > 0, zred, wave)
        span = seen / np.maximum(1 - lost, 1e-9)
        chance = SIGMAS * np.sqrt(bank.lost * (1 - bank.lost) / np.maximum(span, 1))
        beyond |= (seen < (1 - TOLERANCE) * bank.seen) | (lost > bank.lost + chance)
        beyond |= gaps > bank.gaps + SIGMAS * np.sqrt(bank.gaps)
        beyond |= ~_inside(ends, bank.window).all(1)
        return beyond | ~_inside(zred, bank.zred)

    def line_spreads(
        self, n: int, wave: torch.Tensor, generator: torch.Generator, zred: torch.Tensor | None
    ) -> torch.Tensor:
        """See `instruments.Observing`."""
        rows = self._at_hand().draw(n, generator, zred)
        return torch.as_tensor(self._at_hand().instrument[rows], device=wave.device)

    def _at_hand(self) -> Observations:
        if self.observations is None:
            raise BadInput(
                "noise.bank: the observations of the bank are not at hand, only what is known of "
                "them: take those of training.zarr (`run.noise_banks.stored_bank`)."
            )
        return self.observations


def _coverage(valid: np.ndarray, zred: np.ndarray, wave: np.ndarray) -> tuple[np.ndarray, ...]:
    """Valid pixels, the share and the stretches lost between the first and the last, and where,
    observed, these lie.

    Returns:
        Shapes (n,), (n,), (n,) and (n, 2).
    """
    seen = valid.sum(1)
    first, last = valid.argmax(1), valid.shape[1] - 1 - valid[:, ::-1].argmax(1)
    lost = 1 - seen / (last - first + 1)
    gaps = np.maximum((valid[:, 1:] & ~valid[:, :-1]).sum(1) - ~valid[:, 0], 0)
    return seen, lost, gaps, np.stack([wave[first], wave[last]], 1) * (1 + zred[:, None])


def _range(values: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest, without the outermost ones."""
    outside = len(values) // OUTERMOST
    ascending = np.sort(values)
    return float(ascending[outside]), float(ascending[len(values) - 1 - outside])


def _inside(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """True between two limits, or as far beyond as TOLERANCE has it."""
    margin = TOLERANCE * (limits[1] - limits[0])
    return (values >= limits[0] - margin) & (values <= limits[1] + margin)
