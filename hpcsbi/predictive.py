"""What a posterior predicts for its own spectrum, and whether the spectrum agrees."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from hpcsbi.diagnostics import chi_squared, predictive_p_value
from hpcsbi.ssp import Ssp

__all__ = ["N_DRAWS", "Prediction", "p_value", "predict"]

N_DRAWS = 64  # enough for a median spectrum and a p-value to a few per cent


@dataclass(frozen=True)
class Prediction:
    """Predictions for several spectra.

    Arguments:
        flux: pixel-wise median of the spectra of draws, L_sun / Angstrom, shape (n, pixels).
        chi2: chi squared per valid pixel of that spectrum, with the inferred floor, shape (n,).
        p_value: posterior predictive p-value, shape (n,).
    """

    flux: np.ndarray
    chi2: np.ndarray
    p_value: np.ndarray


def predict(
    ssp: Ssp,
    names: tuple[str, ...],
    theta: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
) -> Prediction:
    """Predict each spectrum from its posterior draws.

    Arguments:
        ssp: the table engine.
        names: columns of theta.
        theta: draws in their own units, all finite, shape (n, draws, n_theta).
        flux, ivar: the observed spectra, shape (n, pixels).
    """
    theta = theta[:, :N_DRAWS]
    n, draws, n_theta = theta.shape
    with torch.no_grad():
        spectra = ssp.flux(torch.from_numpy(theta.reshape(-1, n_theta)), names).numpy()
    spectra = spectra.reshape(n, draws, -1)
    floor = np.zeros((n, draws))
    if "noise_floor" in names:
        floor = theta[..., names.index("noise_floor")].astype(float)
    median = np.median(spectra, 1)
    pixels = np.maximum((ivar > 0).sum(1), 1)
    return Prediction(
        flux=median,
        chi2=chi_squared(flux, ivar, median, np.median(floor, 1)) / pixels,
        p_value=predictive_p_value(flux, ivar, spectra, floor),
    )


def p_value(chi2: np.ndarray, pixels: int) -> float:
    """Posterior predictive p-value of a spectrum under the sigma that made its chi squared.

    Arguments:
        chi2: of equally weighted draws, of which the first N_DRAWS count, shape (draws,).
        pixels: valid pixels of the spectrum.

    Returns:
        NaN without draws.
    """
    return float(stats.chi2.sf(chi2[:N_DRAWS], pixels).mean()) if len(chi2) else np.nan
