"""The kinds of representation by name: how one is made, and fitted to a training sample."""

from collections.abc import Callable

import torch

from hpcsbi.errors import BadInput
from hpcsbi.inference.summary.flow_coordinates import Representation
from hpcsbi.inference.summary.optimum import Optimum
from hpcsbi.inference.summary.representation import Equivariant, Pixels, Plain, Projection
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior

__all__ = ["REPRESENTATIONS", "fit_representation", "make_representation"]

REPRESENTATIONS = {kind.kind: kind for kind in (Plain, Equivariant, Pixels, Projection, Optimum)}


def make_representation(
    kind: str,
    prior: Prior,
    tensors: dict[str, torch.Tensor],
    ssp: Ssp | None = None,
    likelihood: Likelihood | None = None,
) -> Representation:
    """Representation of a kind, with fitted tensors or those it needs to be fitted.

    Arguments:
        kind, prior, tensors, ssp, likelihood: see `Representation`.

    Raises:
        ValueError: the kind is unknown, or takes the table and there is none.
    """
    if kind not in REPRESENTATIONS:
        raise BadInput(f"representation is {kind!r}: choose from {', '.join(REPRESENTATIONS)}.")
    if kind == Optimum.kind and (ssp is None or likelihood is None):
        raise BadInput(
            f"representation {kind!r} takes the table, and there is none: run jobs/tabulate.py, "
            "and put it beside the flow if it is trained; or choose another representation."
        )
    return REPRESENTATIONS[kind](prior, tensors, ssp, likelihood)


def fit_representation(
    kind: str,
    prior: Prior,
    dust_curve: torch.Tensor,
    ssp: Ssp | None,
    draw: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
    likelihood: Likelihood | None = None,
) -> Representation:
    """Representation of a kind, fitted to a training sample.

    Arguments:
        kind: see `make_representation`.
        prior: that of the sample.
        dust_curve: optical depth of each pixel for dust2 = 1, shape (pixels,).
        ssp: see `Representation`.
        draw: given the widening of the prior, gives coordinates of theta, noise-free flux
            (or noisy where there is none), flux, ivar and, where the noise has instruments, what
            they add to dispersions, of the sample.
        likelihood: see `Representation`.
    """
    box = {"low": prior.low, "high": prior.high, "log": prior.log}
    tensors = {name: torch.tensor(values).float() for name, values in box.items()}
    tensors["dust_curve"] = dust_curve
    representation = make_representation(kind, prior, tensors, ssp, likelihood)
    coordinates, signal, *spectra = draw(representation.pad)
    representation.fit(signal, *spectra[:2])
    representation.standardise(coordinates, *spectra)
    return representation
