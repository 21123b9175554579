import math
from functools import cache

import numpy as np
import pytest
import torch
from representation_bench import Bench


@pytest.fixture(scope="module")
def benches():
    return cache(Bench)


MEASURED = ("equivariant", "pixels", "projection")


@pytest.mark.parametrize("kind", MEASURED)
@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_mass_is_an_exact_shift(benches, kind, factor):
    """A brighter spectrum has the same context, and its logarithm moves by that of the factor."""
    bench = benches(kind)
    _, _, flux, ivar = bench.draw(300, 1)

    context, shift = bench.representation.context(flux, ivar)
    scaled, moved = bench.representation.context(factor * flux, ivar / factor**2)

    assert (scaled - context).abs().max() < 0.02
    assert (scaled - context).abs().median() < 1e-4
    assert torch.allclose(moved[:, 0] - shift[:, 0], torch.tensor(math.log10(factor)), atol=1e-4)
    assert torch.allclose(moved[:, 1:], shift[:, 1:], atol=1e-3)


def test_a_screen_of_dust_is_a_shift(benches):
    """Without noise, a screen moves the dust shift by its depth and leaves the components alone."""
    bench = benches("equivariant")
    _, signal, _, _ = bench.draw(200, 2)
    ivar = torch.ones_like(signal)

    context, shift = bench.representation.context(signal, ivar)
    screened, moved = bench.representation.context(signal * torch.exp(-1.5 * bench.ssp.k), ivar)

    assert torch.allclose(moved[:, 2] - shift[:, 2], torch.tensor(1.5), atol=1e-3)
    assert (screened - context)[:, :-1].abs().max() < 0.02


@pytest.mark.parametrize("kind", ["pixels", "projection"])
def test_masked_pixels_do_not_matter(benches, kind):
    """Whatever stands in a masked pixel, the context is the same."""
    bench = benches(kind)
    _, _, flux, ivar = bench.draw(300, 5)
    garbage = torch.where(ivar > 0, flux, 1e3 * flux.abs().amax(1, keepdim=True))

    for a, b in zip(
        bench.representation.context(flux, ivar),
        bench.representation.context(garbage, ivar),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-4)


def test_projection_narrows_with_signal(benches):
    """Components are better known at higher S/N and worse when pixels are masked."""
    representation = benches("projection").representation
    _, signal, _, _ = benches("projection").draw(200, 6)
    columns = slice(representation.n_components, 2 * representation.n_components)

    def widths(snr, valid=138):
        ivar = (snr / signal) ** 2
        ivar[:, valid:] = 0
        return representation.measure(signal, ivar)[0][:, columns].mean()

    assert widths(300) < widths(30) < widths(3)
    assert widths(30) < widths(30, valid=60)


@pytest.mark.parametrize("kind", ["pixels", "projection"])
def test_hopeless_spectra_have_a_finite_context(benches, kind):
    """Negative throughout, S/N of 0.1, twenty pixels, S/N of a million: numbers, not NaN."""
    bench = benches(kind)
    _, signal, _, _ = bench.draw(50, 7)
    few = torch.ones_like(signal)
    few[:, 20:] = 0
    generator = torch.Generator().manual_seed(0)
    noise = 10 * signal * torch.randn(signal.shape, generator=generator)
    cases = [
        (-signal, (10 / signal) ** 2),
        (signal + noise, (0.1 / signal) ** 2),
        (signal, few * (30 / signal) ** 2),
        (signal, (1e6 / signal) ** 2),
    ]

    for flux, ivar in cases:
        context, shift = bench.representation.context(flux, ivar)
        assert torch.isfinite(context).all() and torch.isfinite(shift).all()


def test_floor_is_seen(benches):
    """At high S/N the context orders spectra by the noise floor that they were made with."""
    bench = benches("projection")
    _, signal, _, _ = bench.draw(400, 8)
    floor = torch.logspace(-2.4, -0.8, 400)[:, None]
    generator = torch.Generator().manual_seed(0)
    flux = signal * (1 + floor * torch.randn(signal.shape, generator=generator))

    seen = bench.representation.measure(flux, (500 / signal) ** 2)[0][:, -3]

    assert np.corrcoef(seen, floor[:, 0].log())[0, 1] > 0.95


def test_which_spectra_can_be_read(benches):
    """Representations of the logarithm need every pixel, the others twenty."""
    flux = torch.ones(3, 138)
    ivar = torch.ones(3, 138)
    flux[1, 5] = -1
    ivar[2, 19:] = 0

    assert benches("equivariant").representation.usable(flux, ivar).tolist() == [True, False, False]
    assert benches("projection").representation.usable(flux, ivar).tolist() == [True, True, False]


def test_more_pixels_have_to_be_there_of_more(benches):
    """The same stretch of wavelengths, be it of 20 pixels or of ten times as many."""
    flux, ivar = torch.ones(2, 1380), torch.ones(2, 1380)
    ivar[0, 199:], ivar[1, 200:] = 0, 0

    assert benches("projection").representation.usable(flux, ivar).tolist() == [False, True]


@pytest.mark.parametrize("kind", MEASURED)
def test_what_can_be_read_has_a_finite_context(benches, kind):
    """Any level, S/N and sign: refused (a unit is missing: 7e22), or a context without NaN."""
    bench = benches(kind)
    _, signal, *_ = bench.draw(400, 3)
    rng = np.random.default_rng(0)
    level = torch.tensor(10 ** rng.uniform(-25, 25, (400, 1))).float()
    flux = signal / signal.mean(1, keepdim=True) * level
    snr = torch.tensor(10 ** rng.uniform(-6, 9, (400, 1))).float()
    ivar = (flux.double() / snr.double()).pow(-2).float()
    flux[::7] *= -1
    flux[::11] = 0
    ivar[::13, 20:] = 0
    ivar[::17, 20:40] = torch.nan
    ivar[5], flux[12, 3] = torch.inf, torch.nan

    good = bench.representation.usable(flux, ivar)
    found = bench.representation.context(flux[good], ivar[good])

    assert good.float().mean() > 0.2 or kind == "equivariant"
    assert all(torch.isfinite(values).all() for values in found)
    loud = (level > 1e17)[:, 0] & (flux != 0).any(1)
    assert not good[loud].any() and not good[[5, 12]].any()


@pytest.mark.parametrize("kind", MEASURED)
def test_galaxies_of_any_survey_can_be_read(benches, kind):
    """From a dwarf to the brightest, at S/N of 0.1 to 10^5: nothing that exists is refused."""
    bench = benches(kind)
    _, signal, *_ = bench.draw(200, 4)
    for snr in (0.1, 10, 1e5):
        assert bench.representation.usable(signal, (signal / snr) ** -2).all()
