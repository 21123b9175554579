"""Dust in layers: its limits, the sum over wavelengths that its terms stand for, and FSPS."""

import os

import dusty_table
import numpy as np
import pytest
import torch

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fsps_spectra import OK, direct_spectra, direct_ssps
from hpcsbi.simulator.galaxy.attenuations import ATTENUATIONS
from hpcsbi.simulator.galaxy.dust import birth_cloud, dust_curve, kriek_conroy
from hpcsbi.simulator.galaxy.layered_dust import BirthClouds, FreeSlope, TwoPart
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.exact_spectra import exact_spectra
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.column import Column
from hpcsbi.simulator.theta.prior import Prior

HOME = os.environ.get("SPS_HOME")
CASES = [(number, name) for name, family in ATTENUATIONS.items() for number in family.dust_types]
LAYERED = [(4, "two_part"), (4, "free_slope"), (2, "birth_clouds"), (0, "birth_clouds")]
COLUMNS = {name: Column(**column) for name, column in dusty_table.DUST.items()}
WAVE = np.linspace(3700, 9600, 300)


@pytest.fixture(scope="module")
def engines():
    made = {}

    def engine(number, name):
        if (number, name) not in made:
            prior = dusty_table.prior(*ATTENUATIONS[name].names)
            made[number, name] = dusty_table.engine(number, prior), prior
        return made[number, name]

    return engine


def draws(prior, n, seed=0, **fixed):
    """Of the prior, some columns held."""
    theta = prior.sample(n, np.random.default_rng(seed))
    for name, value in fixed.items():
        theta[:, prior.names.index(name)] = value
    return theta


def column(**values):
    """Of one draw, float64."""
    return {name: torch.tensor([value], dtype=torch.float64) for name, value in values.items()}


def errors(flux, right):
    return np.abs(np.log(np.asarray(flux) / right))


@pytest.mark.parametrize("index", [-2.2, -1.0, -0.3, 0.0, 0.4, 0.7])
@pytest.mark.parametrize("fraction", [0.0, 1.0, 2.0])
def test_depths_are_the_closed_forms(index, fraction):
    """At points, on both sides of the break: dust2 of the curve, and dust1 of the clouds more."""
    dust = TwoPart(4, COLUMNS, WAVE)
    old, young = dust.depth(column(dust2=0.7, dust_index=index, dust1_fraction=fraction))[:, 0]

    assert old.numpy() == pytest.approx(0.7 * kriek_conroy(WAVE, index), rel=1e-12)
    cloud = 0.7 * fraction * birth_cloud(WAVE)
    assert (young - old).numpy() == pytest.approx(cloud, rel=1e-12)
    assert (np.diff(young) < 0.01).all()  # the pieces of Calzetti's curve meet within a percent


@pytest.mark.parametrize("number, name", LAYERED)
def test_slopes_are_changes_of_depth(number, name):
    """By the reference curve, from differences; away from the break, where there is no slope."""
    wave = WAVE[np.abs(WAVE - 6300) > 50]
    row = column(dust2=1.3, dust_index=-0.6, dust1_fraction=0.8)
    made = [ATTENUATIONS[name](number, COLUMNS, x) for x in (wave - 0.1, wave, wave + 0.1)]
    below, at, above = (each.depth(row)[:, 0].numpy() for each in made)
    rise = dust_curve(wave + 0.1, number) - dust_curve(wave - 0.1, number)

    assert made[1].slope(row)[:, 0].numpy() == pytest.approx((above - below) / rise, rel=1e-5)
    assert (at > 0).all()


def test_a_pixel_at_the_break_has_part_of_either_piece():
    """The mean over a pixel of the optical depth, wherever the break lies in it."""
    for centre in np.linspace(6275, 6325, 11):
        wave = centre + 42.0 * np.arange(-3, 4)
        dust = FreeSlope(4, COLUMNS, wave, pixels=True)
        depth = dust.depth(column(dust2=1.0, dust_index=-0.5))[0, 0].numpy()
        fine = wave[:, None] + 42 * ((np.arange(400) + 0.5) / 400 - 0.5)
        assert depth == pytest.approx(kriek_conroy(fine, -0.5).mean(1), abs=1e-4)
        of_points = FreeSlope(4, COLUMNS, wave).depth(column(dust2=1.0, dust_index=-0.5))
        assert of_points[0, 0].numpy() == pytest.approx(kriek_conroy(wave, -0.5), rel=1e-12)


@pytest.mark.parametrize("number, name", CASES)
def test_spectra_are_sums_over_wavelengths(engines, number, name):
    """Every population behind its dust at every wavelength: fast and exact agree with that."""
    engine, prior = engines(number, name)
    theta = draws(prior, 300)
    right = dusty_table.truth(theta, prior.names, number)
    exact = errors(exact_spectra(engine, theta, prior.names), right)
    fast = errors(engine.flux(torch.tensor(theta), prior.names), right)

    assert np.percentile(exact, 99) < 1e-4 and exact.max() < 2e-3  # at the break of Calzetti's
    assert np.median(fast) < 3e-5 and np.percentile(fast, 99) < 2e-3
    other = theta.copy()  # negative control: numbers of dust that are 5 % off
    some = [prior.names.index(each) for each in ATTENUATIONS[name].names]
    other[:, some] *= 1.05
    assert np.median(errors(exact_spectra(engine, other, prior.names), right)) > 5e-3


@pytest.mark.parametrize("number", [2, 4])
def test_without_clouds_there_is_the_screen(engines, number):
    """dust1_fraction = 0 is the family without birth clouds; without dust2 none matters."""
    both = {2: ("birth_clouds", "screen"), 4: ("two_part", "free_slope")}[number]
    (layered, prior), (screen, fewer) = (engines(number, name) for name in both)
    theta = draws(prior, 100, dust1_fraction=0.0)
    kept = [prior.names.index(name) for name in fewer.names]
    one = layered.flux(torch.tensor(theta), prior.names)
    other = screen.flux(torch.tensor(theta[:, kept]), fewer.names)
    assert np.percentile(errors(one, other.numpy()), 99) < 2e-3
    assert exact_spectra(layered, theta, prior.names) == pytest.approx(
        exact_spectra(screen, theta[:, kept], fewer.names), rel=1e-4
    )

    clear = draws(prior, 100, dust2=0.0)
    values = torch.tensor(clear)
    mass = 10.0 ** values[:, :1].float()
    assert torch.allclose(
        layered.flux(values, prior.names), layered.dustless(values, prior.names) * mass, rtol=1e-5
    )
    dusty = draws(prior, 100, dust2=2.0)
    assert torch.equal(
        layered.dustless(torch.tensor(dusty), prior.names), layered.dustless(values, prior.names)
    )


def test_a_slope_of_zero_is_calzetti_and_its_bump(engines):
    """The curve of dust_type 2 differs by the bump's wing alone, and one of -0.3 does not."""
    wave = np.linspace(4000, 9500, 100)
    dust = FreeSlope(4, COLUMNS, wave)
    zero, steep = (dust.depth(column(dust2=1.0, dust_index=n))[0, 0].numpy() for n in (0.0, -0.3))

    assert np.abs(zero - dust_curve(wave, 2)).max() < 0.012
    assert (zero > dust_curve(wave, 2)).all()
    assert np.abs(steep - dust_curve(wave, 2)).max() > 0.1
    assert steep[wave < 5400].min() > 1 > steep[wave > 5600].max()


@pytest.mark.parametrize("number, name", [case for case in LAYERED if case[1] != "free_slope"])
def test_clouds_take_from_the_young_alone(engines, number, name):
    """More of them take light from a young galaxy, most in the blue; an old one does not notice."""
    engine, prior = engines(number, name)
    for tage, tau, changes in ((0.02, 1.0, True), (13.0, 0.1, False)):
        held = {"tage": tage, "tau": tau, "dust2": 1.0}
        few, many = (
            exact_spectra(engine, draws(prior, 20, **held, dust1_fraction=fraction), prior.names)
            for fraction in (0.5, 1.5)
        )
        lost = np.log(few / many)
        assert (lost > 0.1).all() if changes else (np.abs(lost) < 1e-6).all()


@pytest.mark.parametrize("number, name", LAYERED)
def test_the_compiled_loop_is_the_differentiable_one(engines, number, name):
    """Spectra and likelihoods, in float32 with and without gradients, and in float64."""
    engine, prior = engines(number, name)
    theta = torch.tensor(draws(prior, 60, seed=3)).float()
    moving = theta.clone().requires_grad_()
    fast = engine.flux(theta, prior.names)
    assert torch.allclose(fast, engine.flux(moving, prior.names).detach(), rtol=3e-5)

    ivar = (50 / fast[:6]) ** 2
    flux = fast[:6] * (1 + 0.02 * torch.randn(fast[:6].shape, generator=torch.Generator()))
    function = Likelihood(engine, prior.names, "given", None, 0.04)
    rows = theta[:6, None].repeat(1, 5, 1) * (1 + 0.001 * torch.arange(5))[None, :, None]
    one, other = function(flux, ivar, rows), function(flux, ivar, rows.clone().requires_grad_())
    assert torch.allclose(one, other.detach(), rtol=1e-5, atol=0.05)
    assert (one[:, 0] - one[:, 4]).abs().min() > 1  # rows are told apart


@pytest.mark.parametrize("number, name", LAYERED)
def test_gradients_are_finite_differences(number, name):
    """By every column of dust, in float64."""
    prior = dusty_table.prior(*ATTENUATIONS[name].names)
    engine = dusty_table.engine(number, prior).double()
    theta = torch.tensor(draws(prior, 20, seed=4), requires_grad=True)
    (slope,) = torch.autograd.grad(engine.flux(theta, prior.names).log().sum(), theta)
    for each in ATTENUATIONS[name].names:
        step = torch.zeros(len(prior.names), dtype=torch.float64)
        step[prior.names.index(each)] = 1e-6
        with torch.no_grad():
            up, down = (engine.flux(theta + s * step, prior.names).log().sum(1) for s in (1, -1))
        numerical = (up - down) / 2e-6
        assert torch.allclose(slope[:, prior.names.index(each)], numerical, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["dust2", "dust_index", "dust1_fraction"])
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_odd_numbers_stay_in_their_row(engines, name, odd):
    """NaN gives NaN, infinity nothing that is light; other rows do not notice."""
    engine, prior = engines(4, "two_part")
    theta = torch.tensor(draws(prior, 20)).float()
    before = engine.flux(theta, prior.names)
    theta[5, prior.names.index(name)] = odd
    after = engine.flux(theta, prior.names)

    others = torch.arange(20) != 5
    assert torch.equal(after[others], before[others])
    assert not (after[5] > 0).any()


def test_prospector_is_told_every_number():
    """dust1 follows dust2, and what a family does not have is as in FSPS without it."""
    row = {"dust2": 0.6, "dust_index": -0.4, "dust1_fraction": 1.5}
    assert TwoPart.prospector(row) == pytest.approx(
        {"dust2": 0.6, "dust1": 0.9, "dust_index": -0.4}
    )
    told = {frozenset(each.prospector(each.example)) for each in ATTENUATIONS.values()}
    assert told == {frozenset({"dust2", "dust1", "dust_index"})}
    assert BirthClouds.prospector(BirthClouds.example)["dust_index"] == -0.7
    assert FreeSlope.prospector(FreeSlope.example)["dust1"] == 0


@pytest.mark.slow
@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
@pytest.mark.parametrize("number, name", CASES)
def test_tables_agree_with_prospector(number, name):
    """Between two nodes of metallicity, for galaxies of any age, each family in one process."""
    nodes, grid, physics = np.array([-0.35, -0.3, -0.25]), Grid(), Physics(dust_type=number)
    columns = dict(dusty_table.prior(*ATTENUATIONS[name].names).columns)
    columns |= {"logzsol": Column(-0.35, -0.25), "tage": Column(0.01, 13.0, log=True)}
    prior = Prior(columns)
    theta = draws(prior, 40)
    direct, status = direct_spectra(theta, prior.names, grid, physics)
    ssps = direct_ssps(nodes, grid, physics)
    arrays = {each: ssps[each] for each in ("continuum", "lines", "log_age")}
    curve = dust_curve(grid.wave, number)
    engine = Ssp(
        **arrays, logzsol=nodes, wave=grid.wave, dust_curve=curve, prior=prior, physics=physics
    )

    assert (status == OK).all()
    # Three nodes are too few for the basis; jobs/tabulate.py measures it with all.
    error = errors(exact_spectra(engine, theta, prior.names), direct)
    assert np.median(error) < 3e-5 and np.percentile(error, 99) < 2e-3
    other = theta.copy()  # negative control: other numbers of dust
    other[:, [prior.names.index(each) for each in ATTENUATIONS[name].names]] *= 0.9
    assert np.median(errors(exact_spectra(engine, other, prior.names), direct)) > 0.01


@pytest.mark.parametrize("family", ["free_slope", "two_part"])
def test_a_fixed_slope_is_one_of_the_free_ones(engines, family):
    """Exactly, and by the basis, whose terms hold this slope alone."""
    free, wide = engines(4, family)
    names = ATTENUATIONS[family].names
    prior = Prior(dict(wide.columns) | {"dust_index": {"given": -0.7}})
    engine = dusty_table.engine(4, prior)
    theta = prior.sample(200, np.random.default_rng(0))
    right = dusty_table.truth(theta, prior.names, 4)

    assert {*names} <= {*prior.names} and (theta[:, prior.names.index("dust_index")] == -0.7).all()
    exact = exact_spectra(engine, theta, prior.names)
    assert exact == pytest.approx(exact_spectra(free, theta, wide.names), rel=1e-4)
    error = errors(engine.flux(torch.tensor(theta), prior.names), right)
    assert np.median(error) < 3e-5 and np.percentile(error, 99) < 2e-3
    theta[:, prior.names.index("dust_index")] = -0.6  # negative control
    assert np.median(errors(free.flux(torch.tensor(theta), wide.names), right)) > 5e-3
