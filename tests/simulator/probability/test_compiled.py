"""Templates of every kind by compiled loops: as the matrices that the amplitudes write out."""

import numpy as np
import pytest
import torch

from hpcsbi.grid import Grid
from hpcsbi.simulator.observation.additive_errors import AdditiveErrors
from hpcsbi.simulator.observation.templates import SmoothError
from hpcsbi.simulator.probability.amplitudes import FEW, Amplitudes
from hpcsbi.simulator.probability.compiled import chi_squared, of_rows
from hpcsbi.simulator.probability.pulls import pulls_of

GRIDS = {"linear": Grid(), "log": Grid(pixels=400, spacing="log")}
ERRORS = {  # calibration, smooth error, lines, additive errors
    "none": (0.0, None, 0.0, None),
    "calibration": (0.04, None, 0.0, None),
    "lines": (0.0, None, 2.0, None),
    "smooth": (0.0, SmoothError(150), 0.0, None),
    "redshift": (0.0, None, 0.0, AdditiveErrors(300.0)),
    "width": (0.04, None, 0.0, AdditiveErrors(0.0, 400.0)),
    "sky": (0.0, None, 0.0, AdditiveErrors(sky=3.0)),
    "smooth and sky": (0.04, SmoothError(70), 0.0, AdditiveErrors(sky=3.0)),
    "all": (0.04, SmoothError(200), 2.0, AdditiveErrors(300.0, 400.0, 3.0)),
}


def spectra(wave, draws=70, objects=3, seed=0):
    """Rows of `chi_squared` but the last five: models with lines, masked pixels, dust."""
    rng, pixels = np.random.default_rng(seed), len(wave)
    lines = rng.normal(size=(objects, draws, pixels)).cumsum(-1) / 30
    bare = torch.tensor(rng.uniform(2, 3, (objects, 1, pixels)) + lines**2).float()
    mass = torch.tensor(10 ** rng.uniform(9.9, 10.1, (objects, draws)))
    depth = torch.tensor(rng.uniform(0, 0.2, (objects, draws))).float()
    k = torch.linspace(1.5, 0.5, pixels)
    model = mass.float()[..., None] * bare * torch.exp(-depth[..., None] * k)
    sigma = model[:, 0] / 40
    flux = model[:, 0] + sigma * torch.tensor(rng.normal(size=(objects, pixels))).float()
    ivar = torch.where(torch.tensor(rng.random((objects, pixels))) < 0.1, 0.0, sigma**-2)
    floor, error = torch.tensor(rng.uniform(0, 0.03, (2, objects, draws))).float()
    return flux, ivar, (bare, mass, depth, k), (0.0, floor, error), model


def written(flux, ivar, model, sizes, factor, amplitudes, additive, wave, zred):
    """The same by dense matrices in float64."""
    flux, model, factor = flux.double(), model.double(), factor.double()
    rows = flux, ivar.double(), model, sizes[1].double(), factor
    pull, scaled, weight, log_ratio = pulls_of("survey", None, *rows)
    own = None
    if additive is not None:
        own = additive.templates(model * factor, wave.double(), ivar.double(), zred)
        own = own * weight[..., None, :]
    chi2 = (pull**2).sum(-1)
    if not len(amplitudes):
        return chi2, log_ratio
    return amplitudes.integrated(pull, scaled, sizes[2], chi2, log_ratio, own)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", ERRORS)
def test_compiled_loops_are_the_written_matrices(kind, grid):
    """Each error alone and all together, more draws than are worked on at once, a learned mean."""
    wave, (calibration, smooth, lines, additive) = GRIDS[grid].wave, ERRORS[kind]
    flux, ivar, screened, sizes, model = spectra(wave)
    amplitudes = Amplitudes(wave, calibration, smooth, lines, None, additive)
    factor = 1 + 0.1 * torch.sin(torch.arange(len(wave)) / 9.0)
    rest = factor, amplitudes, additive, torch.from_numpy(wave), torch.tensor([0.0, 0.2, 0.5])
    found = chi_squared(flux, ivar, screened, sizes, *rest)
    right = written(flux, ivar, model, sizes, *rest)
    without = written(
        flux, ivar, model, sizes, factor, Amplitudes(wave, 0.0, None), None, *rest[3:]
    )

    for one, other in zip(found, right, strict=True):
        assert torch.allclose(one, other, rtol=2e-5, atol=5e-3)
    assert (kind == "none") == torch.allclose(found[0], without[0], rtol=1e-3)


def test_each_object_has_its_own_sky():
    """Alone and beside others it is the same to the bit; at another redshift it is not."""
    wave, additive = GRIDS["linear"].wave, AdditiveErrors(sky=3.0)
    flux, ivar, screened, sizes, _ = spectra(wave, draws=5)
    amplitudes = Amplitudes(wave, 0.04, SmoothError(150), 0.0, None, additive)
    zred = torch.tensor([0.0, 0.2, 0.5])
    rest = torch.ones(len(wave)), amplitudes, additive, torch.from_numpy(wave)
    together, _ = chi_squared(flux, ivar, screened, sizes, *rest, zred)
    for i in range(3):
        some = slice(i, i + 1)
        rows = [each[some] for each in screened[:-1]], [each[some] for each in sizes[1:]]
        rows = flux[some], ivar[some], (*rows[0], screened[-1]), (0.0, *rows[1])
        alone, other = (chi_squared(*rows, *rest, z[some])[0] for z in (zred, zred + 0.1))
        assert torch.equal(alone[0], together[i])
        assert not torch.allclose(other, alone, rtol=1e-3)


@pytest.mark.parametrize("draws", [1, 70])
@pytest.mark.parametrize("kind", ["smooth", "sky", "all"])
def test_rows_of_many_objects_are_the_written_matrices(kind, draws):
    """Few draws of each, or more than are worked on at once; control: nothing is taken of zero."""
    wave, (calibration, smooth, lines, additive) = GRIDS["linear"].wave, ERRORS[kind]
    flux, ivar, _, sizes, model = spectra(wave, draws, objects=90 if draws == 1 else 3)
    amplitudes = Amplitudes(wave, calibration, smooth, lines, None, additive)
    rows = flux, ivar, model, sizes[1], torch.ones(len(wave))
    pull, scaled, weight, log_ratio = pulls_of("survey", None, *rows)
    own = None
    if additive is not None:
        zred = torch.linspace(0, 0.5, len(flux))
        own = additive.templates(model, torch.from_numpy(wave), ivar, zred) * weight[..., None, :]
    chi2 = (pull.double() ** 2).sum(-1)
    gain, log_det = of_rows(pull, scaled, sizes[2], own, amplitudes)
    right = amplitudes.integrated(pull, scaled, sizes[2], chi2, log_ratio, own)

    assert torch.allclose(chi2 - gain, right[0], rtol=1e-5, atol=1e-3)
    assert torch.allclose(log_ratio + log_det, right[1], rtol=1e-5, atol=1e-3)
    assert gain.median() > 1 and gain.min() > 0
    assert not of_rows(0 * pull, scaled, sizes[2], own, amplitudes)[0].any()


def test_few_templates_are_taken_one_by_one():
    """Those of the calibration; beside anything that is local or each draw's own they are not."""
    wave = GRIDS["linear"].wave

    assert Amplitudes(wave, 0.04, None).few and len(Amplitudes(wave, 0.04, None)) <= FEW
    assert not Amplitudes(wave, 0.04, SmoothError(200)).few
    assert not Amplitudes(wave, 0.0, None, 2.0).few
    assert not Amplitudes(wave, 0.0, None, additive=AdditiveErrors(300.0)).few
