"""Pulls: residuals over sigma, for each kind of likelihood, and the density that they have.

Three kinds of sigma, because each answers another question:

- "fractional": a fraction of the *model* flux, with its normalisation; what `FractionalNoise` does.
- "survey": the quoted ivar and the noise floor of theta in quadrature; what `SurveyNoise` and
  `BankNoise` do.
- "given": the quoted ivar and nothing else; what the paper's MCMC assumes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hpcsbi.errors import BadInput

__all__ = ["KINDS", "Pulls", "log_density", "pulls_of", "refuse_other_kind"]

KINDS = ("fractional", "survey", "given")


class Pulls(NamedTuple):
    """Of draws of objects, in units of sigma.

    Arguments:
        pull, scaled: residual and model over sigma, 0 where masked, shape (objects, draws, pixels).
        weight: 1 / sigma, 0 where masked, shape (objects, 1 or draws, pixels).
        log_ratio: sum of ln(variance / quoted variance), shape (objects, draws), or 0.
    """

    pull: Tensor
    scaled: Tensor
    weight: Tensor
    log_ratio: Tensor | float


def pulls_of(
    kind: str,
    fraction: float | None,
    flux: Tensor,
    ivar: Tensor,
    model: Tensor,
    floor: Tensor,
    factor: Tensor,
) -> Pulls:
    """Pulls of a kind of likelihood, see above.

    Arguments:
        kind: one of KINDS.
        fraction: see `Likelihood`.
        flux, ivar: shape (objects, pixels).
        model: shape (objects, draws, pixels).
        floor: noise floor of draws, shape (objects, draws).
        factor: of all models, shape (pixels,).
    """
    valid = (ivar > 0)[:, None]
    weight = torch.where(ivar > 0, ivar, 0.0).sqrt()[:, None].to(model.dtype)
    observed = torch.where(valid, flux[:, None].to(model.dtype) * weight, 0.0)
    scaled = model * (weight * factor.to(weight.dtype))
    pull = observed - scaled
    if kind == "given":
        return Pulls(pull, scaled, weight, 0.0)
    if kind == "survey":  # variance over the quoted variance, 1 where masked
        ratio = 1 + (floor[..., None].to(scaled.dtype) * scaled) ** 2
    else:
        ratio = torch.where(valid, (fraction * scaled) ** 2, 1.0)
    root = ratio.rsqrt()
    return Pulls(pull * root, scaled * root, weight * root, ratio.double().log().sum(-1))


def log_density(ivar: Tensor, log_ratio: Tensor | float, chi2: Tensor) -> Tensor:
    """ln of the Gaussian density of spectra, -inf where it is not finite, shape (objects, draws).

    Arguments:
        ivar: shape (objects, pixels).
        log_ratio: see `Pulls`.
        chi2: shape (objects, draws).
    """
    log_ivar = torch.where(ivar > 0, ivar.double(), 1.0).log().sum(-1)
    fixed = log_ivar - (ivar > 0).sum(-1) * math.log(2 * math.pi)
    log_likelihood = 0.5 * (fixed[:, None] - log_ratio - chi2.double())
    return log_likelihood.nan_to_num(-math.inf, posinf=-math.inf, neginf=-math.inf)


def refuse_other_kind(kind: str, fraction: float | None, errors: Sequence[str]) -> None:
    """Raise where a kind is none, or does not go with what is asked of it.

    Arguments:
        kind: of likelihood.
        fraction: sigma over model flux, None for none.
        errors: of the model that are there, in words.

    Raises:
        BadInput: an unknown kind, or a fraction or an error that does not go with it.
    """
    if kind not in KINDS:
        raise BadInput(f"likelihood kind is {kind!r}: choose from {', '.join(KINDS)}.")
    if (kind == "fractional") != (fraction is not None):
        raise BadInput(f"likelihood {kind!r} with fraction={fraction}: only 'fractional' has one.")
    if kind == "fractional" and errors:
        raise BadInput(f"likelihood 'fractional' has no {errors[0]}.")
