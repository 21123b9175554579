"""Quantiles of derived quantities, and how much of the prior an interval holds."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import tiny

from hpcsbi.inference.columns.derived_columns import derived_quantiles, derived_values, prior_shares
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.run.flows import load_derived, load_engine
from hpcsbi.simulator.table.derived import DerivedQuantities
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.simulator.theta.prior import Prior

PRIOR = Prior(tiny.columns("survey"), bound_age=True)
LEVELS = list(QUANTILES.values())
NAMES = PRIOR.names


@dataclass(frozen=True)
class Draws:
    """What these functions ask of a flow."""

    derived: DerivedQuantities = field(hash=False)
    prior: Prior = PRIOR
    names: tuple = NAMES


@pytest.fixture(scope="module")
def posterior():
    return Draws(load_derived(tiny.TABLE, load_engine(tiny.TABLE, PRIOR)))


def of(values, name, posterior):
    return values[..., posterior.derived.names.index(name)]


def test_values_stand_where_their_draws_do(posterior):
    """Shapes are kept, and a draw that is not there has none."""
    coordinates = PRIOR.sample_coordinates(12, np.random.default_rng(0)).reshape(3, 4, -1)
    coordinates[1, 2:] = np.nan
    values = derived_values(posterior, coordinates)

    assert np.isnan(values[1, 2:]).all() and np.isfinite(np.delete(values, 1, 0)).all()
    av = of(values, "av", posterior)
    dust2 = coordinates[..., NAMES.index("dust2")]
    assert av[0] == pytest.approx(1.0857 * dust2[0], rel=3e-3)
    assert np.isnan(derived_values(posterior, np.full((2, len(NAMES)), np.nan))).all()


def test_weights_count_as_repeated_draws(posterior):
    """Weighted quantiles are those of as many copies; draws without weight do not count."""
    rng = np.random.default_rng(1)
    coordinates, times = PRIOR.sample_coordinates(300, rng), rng.integers(0, 6, 300)
    coordinates[times == 0] = np.nan
    weighted, equal = derived_quantiles(
        posterior,
        [(coordinates, times / times.sum()), (np.repeat(coordinates, times, axis=0), None)],
        LEVELS,
    )

    for name in ("mass_weighted_age", "av", "dn4000", "logmass_surviving"):
        width = np.ptp(of(equal, name, posterior))
        assert of(weighted, name, posterior) == pytest.approx(
            of(equal, name, posterior), abs=0.02 * width
        )


def test_draws_next_to_no_weight_are_left_out(posterior):
    """Two thirds of the draws with a 1e-5 of the weight move no quantile; with a third they do."""
    coordinates = PRIOR.sample_coordinates(3000, np.random.default_rng(2))
    coordinates = coordinates[coordinates[:, NAMES.index("logzsol")].argsort()]
    few, light, heavy = np.ones(3000), np.ones(3000), np.ones(3000)
    few[1000:], light[1000:], heavy[1000:] = 0.0, 5e-6, 0.25
    of_few, of_light, of_heavy = derived_quantiles(
        posterior, [(coordinates, w / w.sum()) for w in (few, light, heavy)], LEVELS
    )

    assert of_light == pytest.approx(of_few, rel=1e-9)
    assert not np.allclose(of_heavy, of_few, rtol=1e-4)


def test_no_draw_no_number(posterior):
    """A row of NaN, beside one that has numbers."""
    some = PRIOR.sample_coordinates(20, np.random.default_rng(2))
    quantiles = derived_quantiles(
        posterior, [(np.full_like(some, np.nan), None), (some, None)], LEVELS
    )

    assert np.isnan(quantiles[0]).all() and np.isfinite(quantiles[1]).all()


@pytest.mark.parametrize("zred", [0.01, 0.8])
def test_a_posterior_that_is_the_prior_has_learned_nothing(posterior, zred):
    """Shares of one, at its own redshift: an age cut by the Universe is no knowledge."""
    draws = PRIOR.sample_coordinates(20_000, np.random.default_rng(3), zred)
    quantiles = np.quantile(PRIOR.theta(draws), LEVELS, axis=0)[None]
    derived = derived_quantiles(posterior, [(draws, None)], LEVELS)
    shares = prior_shares(posterior, quantiles, derived, LEVELS, np.array([zred]))

    assert shares["prior_share"][0] == pytest.approx(np.ones(len(NAMES)), abs=0.04)
    some = [
        name for name in posterior.derived.names if "luminosity" not in name and "ew" not in name
    ]
    for name in some:
        share = of(shares["derived_prior_share"][0], name, posterior)
        # Where many priors' galaxies form nothing, floats end before the distribution does.
        assert share == pytest.approx(1, abs=0.05), name


def test_the_redshift_decides_what_the_prior_is(posterior):
    """The ages possible at z = 0.8 are a part of those at z = 0.4, as the Universe's are."""
    draws = PRIOR.sample_coordinates(20_000, np.random.default_rng(3), 0.8)
    quantiles = np.quantile(PRIOR.theta(draws), LEVELS, axis=0)[None]
    shares = prior_shares(posterior, quantiles, None, LEVELS, np.array([0.4]))

    expected = age_of_universe(0.8) / age_of_universe(0.4)
    assert shares["prior_share"][0, NAMES.index("tage")] == pytest.approx(expected, abs=0.05)


def test_a_narrow_posterior_has_learned_much(posterior):
    """A tenth of the prior in one column: its share is a tenth, of the others it is one."""
    draws = PRIOR.sample_coordinates(20_000, np.random.default_rng(4), 0.1)
    j = NAMES.index("logzsol")
    draws[:, j] = PRIOR.low[j] + 0.1 * (draws[:, j] - PRIOR.low[j])
    quantiles = np.quantile(PRIOR.theta(draws), LEVELS, axis=0)[None]
    shares = prior_shares(posterior, quantiles, None, LEVELS, np.array([0.1]))

    assert list(shares) == ["prior_share"]
    expected = np.where(np.arange(len(NAMES)) == j, 0.1, 1.0)
    assert shares["prior_share"][0] == pytest.approx(expected, abs=0.04)


def test_without_a_posterior_nothing_is_shared(posterior):
    """NaN in, NaN out."""
    nothing = np.full((1, len(LEVELS), len(NAMES)), np.nan)

    shares = prior_shares(posterior, nothing, None, LEVELS, np.array([0.1]))
    assert np.isnan(shares["prior_share"]).all()


@pytest.mark.parametrize("zred", [0.02, 0.3, 0.75])
def test_shares_of_a_given_age_are_of_priors_alike(zred):
    """A posterior that is the prior at its redshift has learned nothing; control: beside the prior
    at another redshift its ages have another share.
    """
    prior = tiny.given_prior()
    engine = load_engine(tiny.TABLE, prior)
    flow = Draws(load_derived(tiny.TABLE, engine), prior, prior.names)
    draws = prior.sample_coordinates(20_000, np.random.default_rng(5), zred)
    quantiles = np.quantile(prior.theta(draws), LEVELS, axis=0)[None]
    derived = derived_quantiles(flow, [(draws, None)], LEVELS)
    shares = prior_shares(flow, quantiles, derived, LEVELS, np.array([zred]))

    assert np.isnan(shares["prior_share"][0, ~prior.inferred]).all()
    assert shares["prior_share"][0, prior.inferred] == pytest.approx(np.ones(4), abs=0.1)
    for name in ("mass_weighted_age", "t50", "ssfr_100myr", "av"):
        share = of(shares["derived_prior_share"][0], name, flow)
        # Priors alike are those of some redshifts: 0.09 at the edge, and a scatter of 0.02.
        assert share == pytest.approx(1, abs=0.18), name
    far = np.array([0.75 if zred < 0.5 else 0.02])
    wrong = prior_shares(flow, quantiles, derived, LEVELS, far)["derived_prior_share"][0]
    assert abs(of(wrong, "mass_weighted_age", flow) - 1) > 0.1
