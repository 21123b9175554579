"""Coordinates of the network: there and back, their density, and which spectra can be measured."""

from functools import cache

import dusty_table
import numpy as np
import pytest
import torch
from representation_bench import Bench
from scipy.stats import kstest

from hpcsbi.inference.summary.flow_coordinates import PAD
from hpcsbi.inference.summary.representations import (
    REPRESENTATIONS,
    fit_representation,
    make_representation,
)
from hpcsbi.simulator.observation.noise import FractionalNoise
from hpcsbi.simulator.pairs import fresh_pairs


@pytest.fixture(scope="module")
def benches():
    return cache(Bench)


@pytest.mark.parametrize("informative", [False, True])
@pytest.mark.parametrize("kind", sorted(REPRESENTATIONS))
def test_flow_coordinates_come_back(benches, kind, informative):
    """The way to the flow and back returns the parameters, with the same log-determinant."""
    bench = benches(kind, informative)
    coordinates, _, flux, ivar = bench.draw(300, 3)
    _, shift = bench.representation.context(flux, ivar)

    u, log_det = bench.representation.to_flow(coordinates, shift)
    back, log_det_back = bench.representation.from_flow(u, shift)

    assert torch.allclose(back, coordinates, atol=2e-3)
    assert torch.allclose(log_det, log_det_back, atol=2e-2)


@pytest.mark.parametrize("informative", [False, True])
@pytest.mark.parametrize("kind", ["plain", "projection"])
def test_log_determinant_is_that_of_the_map(benches, kind, informative):
    """Equal to the determinant of the Jacobian by automatic differentiation, anchor included."""
    bench = benches(kind, informative)
    coordinates, _, flux, ivar = bench.draw(5, 4)
    _, shift = bench.representation.context(flux, ivar)
    u, log_det = bench.representation.to_flow(coordinates, shift)

    for i in range(5):
        inverse = torch.autograd.functional.jacobian(
            lambda x, i=i: bench.representation.from_flow(x[None], shift[i : i + 1])[0][0], u[i]
        )
        assert torch.allclose(-torch.linalg.slogdet(inverse)[1], log_det[i], atol=0.02)


@pytest.mark.parametrize("informative", [False, True])
@pytest.mark.parametrize("kind", sorted(REPRESENTATIONS))
def test_a_given_column_is_context_and_no_target(benches, kind, informative):
    """There and back with the given column as it was, one coordinate less for the network, and the
    determinant of the inferred columns by automatic differentiation, anchor included.
    """
    bench = benches(kind, informative, True)
    representation, tage = bench.representation, bench.prior.names.index("tage")
    coordinates, _, flux, ivar = bench.draw(300, 3)
    context, shift = representation.context(flux, ivar, coordinates[:, [tage]])
    u, log_det = representation.to_flow(coordinates, shift)
    back, log_det_back = representation.from_flow(u, shift)
    several = representation.from_flow(u[:50].expand(3, -1, -1), shift[:50])[0]

    assert u.shape == (300, len(bench.prior.names) - 1) and representation.given == [tage]
    assert torch.allclose(back, coordinates, atol=2e-3)
    assert torch.equal(back[:, tage], coordinates[:, tage])
    assert torch.allclose(several, back[:50].expand(3, -1, -1), atol=1e-5)
    assert torch.allclose(log_det, log_det_back, atol=2e-2)
    assert context[:, -1].std() == pytest.approx(1, abs=0.2)  # it is told, and standardised
    assert torch.corrcoef(torch.stack([context[:, -1], coordinates[:, tage]]))[0, 1] > 0.9999
    inferred = representation.inferred
    for i in range(3):
        slopes = torch.autograd.functional.jacobian(
            lambda x, i=i: representation.from_flow(x[None], shift[i : i + 1])[0][0], u[i]
        )
        assert not slopes[tage].any()
        assert torch.allclose(-torch.linalg.slogdet(slopes[inferred])[1], log_det[i], atol=0.02)


@pytest.mark.parametrize("fixed", ["dust2", "tage", "tau"])
@pytest.mark.parametrize("kind", sorted(REPRESENTATIONS))
def test_a_fixed_column_is_neither_context_nor_target(benches, kind, fixed):
    """There and back with its number, one coordinate less for the network, the context as it was,
    and a mass that scatters as little about the spectrum's as where nothing is fixed.
    """
    bench, free = benches(kind, False, False, fixed), benches(kind)
    representation, column = bench.representation, bench.prior.names.index(fixed)
    coordinates, _, flux, ivar = bench.draw(300, 3)
    context, shift = representation.context(flux, ivar, coordinates[:, [column]])
    u, log_det = representation.to_flow(coordinates, shift)
    back, log_det_back = representation.from_flow(u, shift)

    assert u.shape == (300, len(bench.prior.names) - 1) and representation.pad[column] == 0
    assert context.shape[1] <= free.representation.n_context  # fewer shapes, maybe
    assert torch.isfinite(context).all() and torch.isfinite(u).all()
    assert torch.equal(back[:, column], coordinates[:, column])
    assert torch.allclose(back, coordinates, atol=2e-3)
    assert torch.allclose(log_det, log_det_back, atol=2e-2)
    assert representation.target_sd[0] < 1.5 * free.representation.target_sd[0]


@pytest.mark.parametrize("kind", ["equivariant", "projection"])
def test_the_anchor_knows_a_given_age(benches, kind):
    """An older spectrum of the same flow coordinates and shift has another mass; nothing else does
    but what is shifted. Control: in a representation without an anchor it makes no difference.
    """
    bench = benches(kind, False, True)
    representation, names = bench.representation, bench.prior.names
    bare = make_representation(kind, bench.prior, representation.state_dict())
    coordinates, _, flux, ivar = bench.draw(50, 5)
    tage, shifted = names.index("tage"), [names.index(name) for name in ("logmass", "dust2")]
    moved = []
    for each in (representation, bare):
        _, shift = each.context(flux, ivar, coordinates[:, [tage]])
        u = each.to_flow(coordinates, shift)[0]
        shift[:, tage] = 13.0
        moved.append((each.from_flow(u, shift)[0] - coordinates).abs())

    assert (moved[0][:, shifted[0]].median() > 0.005) and moved[1][:, shifted].max() < 2e-3
    others = [i for i in range(len(names)) if i not in (tage, *shifted)]
    assert moved[0][:, others].max() < 2e-3


@pytest.mark.parametrize("kind", ["equivariant", "projection"])
def test_anchor_takes_the_width_out_of_mass(benches, kind):
    """Relative to the spectrum, mass and dust scatter far less than relative to the galaxy."""
    bench = benches(kind)
    fixed = bench.representation
    coordinates, _, flux, ivar = bench.draw(1000, 9)
    _, shift = fixed.context(flux, ivar)
    bare = make_representation(kind, bench.prior, fixed.state_dict())

    spreads = [(r.to_flow(coordinates, shift)[0][:, 0]).std() for r in (fixed, bare)]

    assert spreads[0] < 0.5 * spreads[1]


def test_scores_are_those_of_the_prior(benches):
    """Draws of an informative prior are standard normal in columns that are not shifted, and no
    number brings the flow out of it; control: by the flat prior's probits they are not.
    """
    bench, flat = benches("projection", True), benches("projection").representation
    coordinates = torch.from_numpy(
        bench.prior.sample_coordinates(20_000, np.random.default_rng(1))
    ).float()
    shift = torch.zeros_like(coordinates)
    scores = bench.representation.to_flow(coordinates, shift)[0]
    scores = scores * bench.representation.target_sd + bench.representation.target_mean
    probits = flat.to_flow(coordinates, shift)[0] * flat.target_sd + flat.target_mean
    boxed = [i for i in range(7) if bench.prior.names[i] not in ("logmass", "dust2")]

    for i in boxed:
        assert kstest(scores[:, i].numpy(), "norm").pvalue > 1e-4, bench.prior.names[i]
    assert kstest(probits[:, boxed[0]].numpy(), "norm").pvalue < 1e-4
    wide = 20 * torch.randn(1000, 7, generator=torch.Generator().manual_seed(0))
    values, log_det = bench.representation.from_flow(wide, shift[:1000])
    rounding = 1e-6 * np.abs(bench.prior.bounds).max(0)
    outside = (values.numpy() < bench.prior.low - rounding) | (
        values.numpy() > bench.prior.high + rounding
    )
    assert torch.isfinite(values).all() and torch.isfinite(log_det).all()
    assert not outside[:, boxed].any()


@pytest.mark.parametrize("kind", ["equivariant", "pixels", "projection"])
def test_a_prior_of_mass_is_told_how_bright_a_spectrum_is(benches, kind):
    """Ten times the flux changes one number of the context; under a flat one of mass none."""
    flat, bell = benches(kind).representation, benches(kind, True).representation
    _, _, flux, ivar = benches(kind).draw(50, 11)
    moved = [
        abs(each.context(10 * flux, ivar / 100)[0] - each.context(flux, ivar)[0]).amax(0)
        for each in (flat, bell)
    ]

    assert (len(flat.told), len(bell.told)) == (0, 1)
    assert moved[0].max() < 0.01 and moved[1][:-1].max() < 0.01
    assert moved[1][-1] > 0.3
    assert flat.pad[0] == 0 and bell.pad[0] == PAD
    assert set(bell.state_dict()) == set(flat.state_dict())


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


@pytest.mark.parametrize("kind", ["equivariant", "projection"])
def test_dust_with_a_free_slope_has_coordinates(kind):
    """Measured by a curve that is not the dust's own: there and back, with the map's Jacobian."""
    prior = dusty_table.prior("dust2", "dust_index", "dust1_fraction")
    ssp = dusty_table.engine(4, prior)
    wave = torch.tensor(ssp.wave).float()

    def draw(n, seed, pad=0.0):
        with torch.no_grad():
            rng = np.random.default_rng(seed)
            return fresh_pairs(n, prior, ssp, FractionalNoise(), wave, pad, rng)

    fitted = fit_representation(kind, prior, ssp.k, ssp, lambda pad: draw(2000, 0, pad.numpy()))
    coordinates, _, flux, ivar = draw(300, 3)
    _, shift = fitted.context(flux, ivar)
    u, log_det = fitted.to_flow(coordinates, shift)
    back, log_det_back = fitted.from_flow(u, shift)
    assert torch.allclose(back, coordinates, atol=2e-3)
    assert torch.allclose(log_det, log_det_back, atol=2e-2)
    for i in range(3):
        inverse = torch.autograd.functional.jacobian(
            lambda x, i=i: fitted.from_flow(x[None], shift[i : i + 1])[0][0], u[i]
        )
        assert torch.allclose(-torch.linalg.slogdet(inverse)[1], log_det[i], atol=0.02)
