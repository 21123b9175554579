import dusty_table
import gas_table
import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsbi.simulator.galaxy.delayed_tau import delayed_tau_weights
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.table.exact_spectra import exact_spectra
from hpcsbi.simulator.table.ssp_arrays import ARRAYS
from hpcsbi.simulator.table.ssp_basis import band_means
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.store.opening import open_complete

DIGS, SURVEY = Prior(tiny.columns("digs")), Prior(tiny.columns("survey"))
PRIORS = {"digs": DIGS, "survey": SURVEY}
LOG_AGE = np.linspace(5, 10.3, 107)


@pytest.fixture(scope="module")
def arrays():
    table = open_complete(SHIPPED, "tabulate")
    return {name: table.read(name) for name in ARRAYS}


@pytest.fixture(scope="module")
def engines(arrays):
    return {name: Ssp(**arrays, prior=prior) for name, prior in PRIORS.items()}


def errors(engine, theta, names):
    flux = engine.flux(torch.tensor(theta), names).numpy()
    return np.abs(np.log(flux / exact_spectra(engine, theta, names)))


@pytest.mark.parametrize(
    ("tage", "tau"), [(2.0, 0.5), (0.03, 0.1), (13.8, 0.1), (13.8, 20.0), (1e-4, 1.0), (3.9, 0.1)]
)
def test_weights_equal_brute_force(tage, tau):
    """The closed form is the integral of the history over hat functions in log age."""
    edges = 10 ** np.concatenate(
        [np.linspace(0, 4, 2000), np.linspace(4, np.log10(tage) + 9, 400_000)]
    )
    age = np.unique(edges.clip(1, tage * 1e9))
    time = tage * 1e9 - age
    rate = time * np.exp(-time / (tau * 1e9))
    middle = np.log10(0.5 * (age[1:] + age[:-1]))
    mass = 0.5 * (rate[1:] + rate[:-1]) * np.diff(age)
    x = np.interp(middle, LOG_AGE, np.arange(107.0))
    node = np.floor(x).astype(int).clip(0, 105)
    weights = np.bincount(node, mass * (1 - x + node), 107)
    weights += np.bincount(node + 1, mass * (x - node), 107)

    closed = delayed_tau_weights(LOG_AGE, [tage], [tau])[0]

    assert np.abs(closed - weights / weights.sum()).max() < 2e-6


@settings(deadline=None)
@given(tage=st.floats(0, 14), tau=st.floats(0.1, 100))
def test_mass_is_conserved(tage, tau):
    """Every history forms one solar mass, none of it negative, none older than the galaxy."""
    weights = delayed_tau_weights(LOG_AGE, [tage], [tau])[0]

    older = np.searchsorted(LOG_AGE, np.log10(max(tage, 1e-6)) + 9) + 1
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    assert weights.min() > -1e-6
    assert np.abs(weights[max(older, 1) :]).max(initial=0) < 1e-9


@pytest.mark.parametrize("place", [0.0, 0.7])
@pytest.mark.parametrize("name", ["survey", "burst", "truncated", "dirichlet"])
def test_any_column_but_the_mass_may_be_fixed(arrays, name, place):
    """Anywhere in its range the engine is as good as where the column is free."""
    free = Prior(tiny.columns(name))
    known = SURVEY.names if name != "survey" else ("logmass", "noise_floor")
    for fixed in [each for each in free.names if each not in known][:5]:
        i = free.names.index(fixed)
        number = free.theta(free.low + place * (free.high - free.low))[i]
        prior = Prior(dict(free.columns) | {fixed: {"given": float(number)}})
        theta = prior.sample(60, np.random.default_rng(0))
        error = errors(Ssp(**arrays, prior=prior), theta, prior.names)
        assert (theta[:, i] == number).all()
        assert np.median(error) < 2e-4 and np.percentile(error, 99) < 1e-2, fixed


@pytest.mark.parametrize("name", PRIORS)
def test_fast_equals_exact_on_the_prior(engines, name):
    """The basis and the interpolation cost less than the table's own error."""
    prior = PRIORS[name]
    theta = prior.sample(2000, np.random.default_rng(1))

    error = errors(engines[name], theta, prior.names)

    assert np.median(error) < 1e-4
    assert np.percentile(error, 99) < 2e-3
    assert error.max() < 2e-2


@pytest.mark.parametrize("name", PRIORS)
def test_fast_equals_exact_in_young_and_extreme_corners(engines, name):
    """The corners of the prior and galaxies younger than 100 Myr are no exception."""
    prior, rng = PRIORS[name], np.random.default_rng(2)
    ends = np.array([[column.low, column.high] for column in prior.columns.values()])
    corners = ends[np.arange(len(ends)), rng.integers(0, 2, (200, len(ends)))]
    young = prior.sample(500, rng)
    young[:, prior.names.index("tage")] = 10 ** rng.uniform(-2 if name == "survey" else -5, -1, 500)

    for theta in (corners, young):
        error = errors(engines[name], theta, prior.names)
        assert np.percentile(error, 99) < 5e-3
        assert error.max() < 5e-2


def test_lines_scale_with_their_strength(engines):
    """Flux is linear in line_strength, lines only add, and a missing column means one."""
    engine, names = engines["survey"], SURVEY.names[:6]
    theta = np.repeat(SURVEY.sample(50, np.random.default_rng(3))[None, :, :6], 3, 0)
    theta[:, :, 5] = np.array([0.0, 1.0, 3.0])[:, None]
    none, one, three = (exact_spectra(engine, part, names) for part in theta)

    assert np.allclose(three - none, 3 * (one - none), rtol=1e-9, atol=1e-9 * one.max())
    assert (one - none > -1e-3 * none).all()
    assert np.array_equal(exact_spectra(engine, theta[0, :, :5], names[:5]), one)
    assert torch.allclose(
        engine.flux(torch.tensor(theta[0, :, :5]), names[:5]),
        engine.flux(torch.tensor(theta[1]), names),
    )


def test_dust_is_a_screen_and_mass_a_factor(engines):
    """Light is lost as exp(-dust2 k) up to k's change inside a pixel; mass multiplies."""
    engine = engines["digs"]
    theta = np.array([[10.0, -0.5, 1.0, 2.0, 0.5], [10.0, -0.5, 3.0, 2.0, 0.5]])
    theta = np.vstack([theta, theta[:1] + np.eye(5)[:1] * 2])
    flux = exact_spectra(engine, theta, DIGS.names)

    assert np.abs(np.log(flux[0] / flux[1]) / (2 * engine.k.numpy()) - 1).max() < 5e-3
    assert np.allclose(flux[2], 100 * flux[0])


@pytest.mark.parametrize("slopes", [False, True])
def test_dustless_is_bare_without_dust(engines, slopes):
    """Whatever dust2 says, compiled and differentiable alike; with dust it is another spectrum."""
    engine, names = engines["survey"], SURVEY.names
    theta = torch.from_numpy(SURVEY.sample(100, np.random.default_rng(4))).float()
    clear = theta.clone()
    clear[:, names.index("dust2")] = 0
    theta.requires_grad_(slopes)

    assert torch.allclose(engine.dustless(theta, names), engine.bare(clear, names)[0], rtol=2e-5)
    bare, _ = engine.bare(theta, names)
    assert not torch.allclose(engine.dustless(theta, names), bare, rtol=1e-3)


def test_band_flux_is_that_of_dustless_stars(engines):
    """Means over parts of the pixels, whatever theta says of dust and lines; control: with lines
    they are others.
    """
    engine, names = engines["survey"], SURVEY.names
    theta = torch.from_numpy(SURVEY.sample(100, np.random.default_rng(4))).float()
    dark = theta.clone()
    dark[:, names.index("line_strength")] = 0
    band = engine.band_flux(theta, names)

    assert torch.allclose(band, band_means(engine.dustless(dark, names)), rtol=2e-3)
    assert torch.equal(band, engine.band_flux(dark, names))
    assert not torch.allclose(band, band_means(engine.dustless(theta, names)), rtol=2e-2)


@pytest.mark.parametrize("family", ["dust", "gas"])
def test_bands_of_other_compositions_are_those_of_their_stars(family):
    """Of two layers of dust and of free gas: no dust, no lines, the level of the whole spectrum."""
    if family == "dust":
        prior = dusty_table.prior("dust2", "dust_index", "dust1_fraction")
        engine = dusty_table.engine(4, prior)
    else:
        prior = gas_table.prior("dust2")
        engine = gas_table.engine(2, prior)
    theta = torch.from_numpy(prior.sample(50, np.random.default_rng(0))).float()
    dustier = theta.clone()
    dustier[:, prior.names.index("dust2")] += 1
    band = engine.band_flux(theta, prior.names)

    assert torch.equal(band, engine.band_flux(dustier, prior.names))
    whole = engine.dustless(theta, prior.names).mean(1)
    assert ((band.mean(1) / whole) < 1.02).all()
    old = theta[:, prior.names.index("tage")] > 5
    assert ((band.mean(1) / whole)[old] > 0.6).all()


def test_gradient_equals_finite_differences(arrays):
    """All parameters can be followed uphill: automatic and numerical slopes agree."""
    names = SURVEY.names
    engine = Ssp(**arrays, prior=SURVEY).double()
    theta = SURVEY.sample(20, np.random.default_rng(4))
    theta[:, 1] = theta[:, 1].clip(-1.89, 0.34)  # between nodes of the table
    theta = torch.tensor(theta, requires_grad=True)
    value = engine.flux(theta, names).log().sum()
    (slope,) = torch.autograd.grad(value, theta)
    for i in range(len(names)):
        step = torch.zeros(len(names), dtype=torch.float64)
        step[i] = 1e-6
        with torch.no_grad():
            up, down = (engine.flux(theta + sign * step, names).log().sum(1) for sign in (1, -1))
        numerical = (up - down) / 2e-6
        # Nodes of the tables are kinks: a row that steps over one may differ.
        close = torch.isclose(slope[:, i], numerical, rtol=1e-4, atol=1e-3)
        assert close.sum() >= 19, names[i]


def test_rows_do_not_depend_on_the_chunk(engines):
    """A batch of several chunks gives what its rows give alone, to rounding."""
    theta = torch.tensor(DIGS.sample(5000, np.random.default_rng(5)))
    engine = engines["digs"]

    some = torch.tensor([0, 4095, 4096, 4999])
    assert torch.allclose(
        engine.flux(theta, DIGS.names)[some], engine.flux(theta[some], DIGS.names)
    )


def test_the_comparison_sees_a_wrong_dust_law(arrays, engines):
    """Negative control: an engine with the power law fails the limits that hold above."""
    wrong = {**arrays, "dust_curve": dust_curve(arrays["wave"], 0)}
    theta = DIGS.sample(100, np.random.default_rng(6))

    power_law = Ssp(**wrong, prior=DIGS, physics=Physics(dust_type=0))
    flux = power_law.flux(torch.tensor(theta), DIGS.names).numpy()

    error = np.abs(np.log(flux / exact_spectra(engines["digs"], theta, DIGS.names)))
    assert np.median(error) > 0.05


def test_what_does_not_fit_is_refused(arrays):
    """Missing columns, other shapes and priors beyond the table are named."""
    columns = dict(DIGS.columns)
    wide = Prior({**columns, "logzsol": {"low": -2.4, "high": 0.2}})
    with pytest.raises(ValueError, match=r"logzsol spans -2\.4"):
        Ssp(**arrays, prior=wide)
    del columns["tau"]
    with pytest.raises(ValueError, match="needs tau"):
        Ssp(**arrays, prior=Prior(columns))
    with pytest.raises(ValueError, match="lines of shape"):
        Ssp(**{**arrays, "lines": arrays["lines"][:3]}, prior=DIGS)
    with pytest.raises(ValueError, match=r"dust_curve is not that of physics\.dust_type 0"):
        Ssp(**arrays, prior=DIGS, physics=Physics(dust_type=0))
