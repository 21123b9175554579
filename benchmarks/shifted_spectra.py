"""Spectra of Prospector that are moved, or widened: what the slopes of the first leave of it.

    SPS_HOME=... OMP_NUM_THREADS=1 python benchmarks/shifted_spectra.py [--snr 100]

Of an old galaxy, one that forms stars and a burst, on three grids, without noise: chi squared of
the spectrum at rest against the moved one, and after the most probable amplitude of
`AdditiveErrors`; that amplitude (of 50 km/s, or of 100^2 (km/s)^2), and the gain in ln evidence.
"""

import argparse
from dataclasses import replace

import numpy as np
import torch

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.prospector_model import spectrum
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.observation.additive_errors import KM, AdditiveErrors

GRIDS = {
    "log": Grid(pixels=1347, spacing="log"),
    "angstrom5": Grid(pixels=1151),
    "42 Angstrom": Grid(),
}
GALAXIES = {
    "old": {"logmass": 10, "logzsol": 0, "dust2": 0.1, "tage": 10, "tau": 1},
    "star-forming": {"logmass": 10, "logzsol": -0.3, "dust2": 0.3, "tage": 3, "tau": 5},
    "burst": {"logmass": 9, "logzsol": -0.5, "dust2": 0.2, "tage": 0.1, "tau": 1},
}
SHIFTS = (30.0, 50.0, 150.0)
WIDER = 100.0  # km/s, in quadrature


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--snr", type=float, default=100)
    options = parser.parse_args()
    for name, grid in GRIDS.items():
        for galaxy, row in GALAXIES.items():
            flux = spectrum(Physics(), grid, row).astype(float)
            for shift in SHIFTS:
                factor = 1 + KM * shift
                moved = replace(grid, first=grid.first * factor, last=grid.last * factor)
                there = spectrum(Physics(), moved, row), AdditiveErrors(redshift=50.0), options.snr
                print(f"{name}, {galaxy}, {shift:g} km/s: {compared(grid, flux, *there)}")
            wide = replace(Physics(), sigma_smooth=float(np.hypot(350, WIDER)))
            there = spectrum(wide, grid, row), AdditiveErrors(width=WIDER), options.snr
            print(f"{name}, {galaxy}, wider: {compared(grid, flux, *there)}", flush=True)


def compared(
    grid: Grid, flux: np.ndarray, moved: np.ndarray, errors: AdditiveErrors, snr: float
) -> str:
    """Misfit before and after, the amplitude, and the gain."""
    sigma, wave = flux / snr, torch.from_numpy(grid.wave)
    template = errors.templates(torch.from_numpy(flux)[None, None], wave)[0, 0, 0].numpy() / sigma
    pull, power = (moved - flux) / sigma, template @ template
    side = template @ pull
    left = pull - template * side / power
    gain = 0.5 * (side**2 / (1 + power) - np.log1p(power))
    return (
        f"chi2 {pull @ pull:.2f} -> {left @ left:.2f}, worst pixel {np.abs(pull).max():.2f} -> "
        f"{np.abs(left).max():.2f}, amplitude {side / power:.3f}, ln Z +{gain:.1f}"
    )


if __name__ == "__main__":
    main()
