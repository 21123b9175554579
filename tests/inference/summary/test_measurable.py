"""What float32 can hold of a spectrum, and what it cannot."""

import pytest
import torch

from hpcsbi.inference.summary.measurable import BRIGHTEST, LARGEST_SN, measurable


@pytest.mark.parametrize("level", [1e-10, 1.0, BRIGHTEST / 10])
@pytest.mark.parametrize("snr", [0.5, LARGEST_SN / 10])
@pytest.mark.parametrize("sign", [-1, 1])
def test_what_float32_can_square_is_measurable(level, snr, sign):
    """Any level and S/N below the limits, of either sign; and so are the squares."""
    flux = torch.full((1, 30), sign * level)
    ivar = torch.full((1, 30), (snr / level) ** 2)

    assert measurable(flux, ivar).item()
    assert torch.isfinite(flux**2).all() and torch.isfinite(flux**2 * ivar).all()


@pytest.mark.parametrize(
    ("flux", "ivar"),
    [
        (10 * BRIGHTEST, 1.0), (1.0, (10 * LARGEST_SN) ** 2), (1.0, 1e-2 / BRIGHTEST**2),
        (torch.nan, 1.0), (torch.inf, 1.0), (1.0, torch.inf),
    ],
)  # fmt: skip
def test_one_pixel_spoils_a_spectrum_unless_it_is_masked(flux, ivar):
    """Too bright, too good, too uncertain, no number: of its own spectrum, and where it counts."""
    fluxes, ivars = torch.ones(3, 30), torch.ones(3, 30)
    fluxes[1:, 7], ivars[1, 7], ivars[2, 7] = flux, ivar, 0.0

    assert measurable(fluxes, ivars).tolist() == [True, False, True]
    ivars[2, 7] = torch.nan
    assert measurable(fluxes, ivars).tolist() == [True, False, True]
