"""Coordinates of the network: there and back, their density, and which spectra can be measured."""

from functools import cache

import pytest
import torch
from representation_bench import Bench

from hpcsbi.inference.flow_coordinates import BRIGHTEST, LARGEST_SN, measurable
from hpcsbi.inference.representation import REPRESENTATIONS, make_representation


@pytest.fixture(scope="module")
def benches():
    return cache(Bench)


@pytest.mark.parametrize("kind", sorted(REPRESENTATIONS))
def test_flow_coordinates_come_back(benches, kind):
    """The way to the flow and back returns the parameters, with the same log-determinant."""
    bench = benches(kind)
    coordinates, _, flux, ivar = bench.draw(300, 3)
    _, shift = bench.representation.context(flux, ivar)

    u, log_det = bench.representation.to_flow(coordinates, shift)
    back, log_det_back = bench.representation.from_flow(u, shift)

    assert torch.allclose(back, coordinates, atol=2e-3)
    assert torch.allclose(log_det, log_det_back, atol=2e-2)


@pytest.mark.parametrize("kind", ["plain", "projection"])
def test_log_determinant_is_that_of_the_map(benches, kind):
    """Equal to the determinant of the Jacobian by automatic differentiation, anchor included."""
    bench = benches(kind)
    coordinates, _, flux, ivar = bench.draw(5, 4)
    _, shift = bench.representation.context(flux, ivar)
    u, log_det = bench.representation.to_flow(coordinates, shift)

    for i in range(5):
        inverse = torch.autograd.functional.jacobian(
            lambda x, i=i: bench.representation.from_flow(x[None], shift[i : i + 1])[0][0], u[i]
        )
        assert torch.allclose(-torch.linalg.slogdet(inverse)[1], log_det[i], atol=0.02)


@pytest.mark.parametrize("kind", ["equivariant", "projection"])
def test_anchor_takes_the_width_out_of_mass(benches, kind):
    """Relative to the spectrum, mass and dust scatter far less than relative to the galaxy."""
    bench = benches(kind)
    fixed = bench.representation
    coordinates, _, flux, ivar = bench.draw(1000, 9)
    _, shift = fixed.context(flux, ivar)
    bare = make_representation(kind, bench.prior.names, fixed.state_dict())

    spreads = [(r.to_flow(coordinates, shift)[0][:, 0]).std() for r in (fixed, bare)]

    assert spreads[0] < 0.5 * spreads[1]


@pytest.mark.parametrize("kind", ["equivariant", "projection"])
def test_compiled_anchor_is_the_written_one(benches, kind):
    """With gradients wanted it is made by torch: the same to float32."""
    bench = benches(kind)
    coordinates = bench.draw(3000, 10)[0]
    compiled = bench.representation._anchor(coordinates)
    written = bench.representation._anchor(coordinates.clone().requires_grad_())

    assert written.requires_grad and not compiled.requires_grad
    assert (compiled - written.detach()).abs().max() < 2e-5
    assert compiled.std(0).max() > 0.1


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
