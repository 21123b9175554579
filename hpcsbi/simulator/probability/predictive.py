"""What a posterior predicts for its own spectrum, and whether the spectrum agrees."""

import numpy as np
import torch
from scipy.special import chdtrc

from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.tensors import tensors_on

__all__ = ["N_DRAWS", "p_value", "predict"]

N_DRAWS = 64  # enough for a median spectrum and a p-value to a few per cent


def predict(
    likelihood: Likelihood,
    theta: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    instrument: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict each spectrum from its posterior draws.

    Arguments:
        likelihood: its sigma counts, and what it integrates over is allowed for.
        theta: draws in their own units, all finite, shape (n, draws, n_theta).
        flux, ivar: the observed spectra, shape (n, pixels).
        instrument: what it adds to dispersions, shape (n, KNOTS); None: nothing.

    Returns:
        Chi squared per valid pixel of the pixel-wise median of the draws' spectra, with the median
        noise floor and model error, and the posterior predictive p-value, shapes (n,).
    """
    arrays = (flux, ivar, theta[:, :N_DRAWS], *([] if instrument is None else [instrument]))
    flux, ivar, theta, *added = tensors_on(likelihood.device, arrays)
    with torch.no_grad():
        spectra = likelihood.spectra(theta, *added)
        _, chi2 = likelihood.of_model(flux, ivar, spectra, theta)
        middle = (values.quantile(0.5, 1, keepdim=True) for values in (spectra, theta))
        _, central = likelihood.of_model(flux, ivar, *middle)
    central, chi2 = (values.cpu().numpy() for values in (central[:, 0], chi2))
    pixels = (ivar > 0).sum(1).cpu().numpy()
    return central / np.maximum(pixels, 1), p_value(chi2, pixels)


def p_value(chi2: np.ndarray, pixels: np.ndarray | int) -> np.ndarray:
    """Probability that the model's own spectra fit it worse than the observed one does.

    Replicated spectra have Gaussian noise around the draw that made them, so their chi squared is
    known in closed form and only the average over draws is left. Near 0: the model cannot make this
    spectrum. The draws have seen the data, so values crowd around 1/2.

    Arguments:
        chi2: of equally weighted draws, of which the first N_DRAWS count, shape (..., draws).
        pixels: valid pixels of the spectrum, shape (...).

    Returns:
        shape (...), NaN without draws or pixels.

    References:
        Gelman, Meng & Stern 1996, Statistica Sinica 6, 733, equation 8.
    """
    pixels = np.asarray(pixels)
    if np.shape(chi2)[-1] == 0:
        return np.full(np.shape(chi2)[:-1], np.nan)
    tail = chdtrc(np.maximum(pixels, 1)[..., None], chi2[..., :N_DRAWS]).mean(-1)
    return np.where(pixels > 0, tail, np.nan)
