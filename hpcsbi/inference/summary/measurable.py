"""Which spectra hold numbers that a representation can measure."""

import torch

__all__ = ["measurable"]

# Squares of the flux and their products with ivar must be numbers in float32. Galaxies have 10 to
# 10^9 L_sun / Angstrom; beyond these limits a unit is missing (10^-17 makes 10^22 of 10^5).
BRIGHTEST = 1e16
LARGEST_SN = 1e7  # of a pixel


def measurable(flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
    """True where every valid pixel holds numbers that float32 can square, shape (n,).

    Arguments:
        flux: L_sun per Angstrom, shape (n, pixels).
        ivar: its inverse variance, 0 (or NaN) where masked, shape (n, pixels).
    """
    valid = ivar > 0
    size, sigma = flux.abs(), ivar.clamp_min(torch.finfo(torch.float32).tiny).rsqrt()
    good = (size <= BRIGHTEST) & (sigma <= BRIGHTEST) & (size <= LARGEST_SN * sigma)
    return (good & torch.isfinite(ivar) | ~valid).all(1)
