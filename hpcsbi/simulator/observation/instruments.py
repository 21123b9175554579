"""The spectrographs of surveys: what they cover, and how wide they make lines."""

from typing import Protocol

import numpy as np
import torch

from hpcsbi.seeds import torch_generator
from hpcsbi.survey.record.line_spread import KNOTS, LineSpread

__all__ = ["LINE_SPREADS", "WIDEST", "WINDOWS", "Observing", "fibres", "line_spreads"]

# Observed-frame coverage of the spectrographs, Angstrom: SDSS, DESI, MaNGA, BOSS.
WINDOWS = ((3820.0, 9200.0), (3600.0, 9824.0), (3622.0, 10354.0), (3600.0, 10400.0))
# Observed wavelength, Angstrom, and resolution, wavelength over FWHM: of the first three as in
# conf/survey, of BOSS those of Smee et al. 2013, arXiv:1208.2233, section 1.
LINE_SPREADS = (
    LineSpread((3850, 4650, 5750, 6050, 7250, 9150), (1580, 1960, 2260, 2010, 2280, 2520)),
    LineSpread((3600, 5780, 5790, 7560, 7570, 9824), (2265, 3636, 3842, 5016, 4230, 5489)),
    LineSpread((3650, 4500, 5800, 6300, 9000, 10300), (1423, 1763, 1930, 1812, 2440, 2041)),
    LineSpread((3700, 6000, 6010, 9000), (1560, 2270, 1850, 2650)),
)
SCATTER = 0.07  # of ln dispersion: between fibres, in level and in tilt, as SDSS and MaNGA have it
WIDEST = 100.0  # km/s that they add at most


class Observing(Protocol):
    """What of a noise model decides the instrument."""

    instrument: bool

    def line_spreads(
        self, n: int, wave: torch.Tensor, generator: torch.Generator, zred: torch.Tensor | None
    ) -> torch.Tensor:
        """Of its next n observations, from whose generator it may take; see `line_spreads`."""


def line_spreads(
    noise: Observing,
    n: int,
    wave: torch.Tensor,
    generator: torch.Generator,
    zred: torch.Tensor | None = None,
) -> torch.Tensor | None:
    """What the fibres of the next n observations add to dispersions, km/s; None for nothing.

    The generator is left as it was: with it the noise model makes these very observations.

    Arguments:
        noise: the noise model.
        n: number of observations.
        wave: pixel centres, rest frame, Angstrom, shape (pixels,).
        generator: of the observations.
        zred: where theta tells the redshift, shape (n,); None: the model draws it.

    Returns:
        see `survey.line_spread`, float32, shape (n, KNOTS).
    """
    if not noise.instrument:
        return None
    before = generator.get_state()
    curves = noise.line_spreads(n, wave, generator, zred)
    generator.set_state(before)
    return curves


def fibres(
    survey: torch.Tensor, zred: torch.Tensor, wave: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """What fibres of known instruments add to dispersions, km/s, float32, shape (n, KNOTS).

    Arguments:
        survey: numbers of LINE_SPREADS, shape (n,).
        zred: redshifts, shape (n,).
        wave: pixel centres, rest frame, Angstrom, shape (pixels,).
        generator: of the seed of what fibres differ by.
    """
    device = generator.device
    seed = torch.randint(2**62, (1,), generator=generator, device=device)
    rest, z, number = (a.cpu().double().numpy() for a in (wave, zred, survey))
    curves = np.empty((len(z), KNOTS))
    for i, spread in enumerate(LINE_SPREADS):
        curves[number == i] = spread.at_knots(rest, z[number == i])
    x = torch.linspace(-1, 1, curves.shape[1])
    level, tilt = torch.randn((2, len(z), 1), generator=torch_generator(int(seed)))
    scattered = torch.from_numpy(curves).float() * (SCATTER * (level + tilt * x)).exp()
    return scattered.clamp_max(WIDEST).to(device)
