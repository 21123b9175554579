"""A screen is left to who takes the spectra, and its moments go by powers of dust2."""

import numpy as np
import pytest
import torch

from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.screen import Screen

WAVE = np.linspace(3700, 9600, 50)


@pytest.mark.parametrize("number", Screen.dust_types)
def test_a_screen_is_its_curve(number):
    """One group of all ages; what changes inside of a pixel does so as the curve does."""
    dust, column = Screen(number, {}, WAVE), {"dust2": torch.tensor([0.0, 0.5, 3.0]).double()}

    assert dust.groups(np.linspace(5, 10, 9)).tolist() == [[True] * 9]
    depth = dust.depth(column)[0].numpy()
    assert depth == pytest.approx(np.outer([0, 0.5, 3.0], dust_curve(WAVE, number)), rel=1e-12)
    assert dust.slope(column)[0, :, 0].tolist() == [0.0, 0.5, 3.0]
    assert dust.factors(column)[0].T.tolist() == [[1, 0, 0], [1, 0.5, 0.25], [1, 3, 9]]
    spectra = torch.ones(3, 50)
    behind, left = dust.behind([spectra], column)
    assert behind is spectra and left is column["dust2"]


def test_prospector_forgets_other_dust():
    """FSPS keeps what it was told: no clouds, and the power law's own index."""
    assert Screen.prospector({"dust2": 0.4}) == {"dust2": 0.4, "dust1": 0.0, "dust_index": -0.7}
