"""Checks of a row: chi squared, the predictive p-value, and flags where draws pile up."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.inference.columns.row_checks import (
    OF_DRAWS,
    P_VALUES,
    error_fractions,
    outside_training,
    posterior_flags,
    predictive_columns,
)
from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.probability.predictive import predict
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.cosmology import age_of_universe

PRIOR, SURVEY = tiny.prior(), tiny.prior(survey=True)
N = 200


def draws_of(coordinates, kept=None):
    """Draws that are nothing but coordinates, NaN past those that are kept."""
    n = coordinates.shape[1]
    kept = np.full(len(coordinates), n) if kept is None else np.asarray(kept)
    coordinates = np.where((np.arange(n) < kept[:, None])[..., None], coordinates, np.nan)
    return Draws(coordinates, np.zeros(coordinates.shape[:2]), kept, np.ones(len(kept)))


def middle(prior, objects=1, n=N):
    """Draws far from every edge."""
    return np.tile((prior.low + prior.high) / 2, (objects, n, 1))


def flags_of(prior, drawn, p=0.5, floor=None, zred=0.0, of="predictive_p"):
    """Of one object after another."""
    objects = len(drawn.kept)
    p, zred = (np.broadcast_to(np.asarray(a, float), objects) for a in (p, zred))
    values = dict.fromkeys(P_VALUES, np.full(objects, 0.5)) | {of: p}
    return posterior_flags(SimpleNamespace(prior=prior), drawn, values, floor, zred)


@pytest.fixture(scope="module")
def likelihood():
    return Likelihood(load_engine(tiny.TABLE, PRIOR), PRIOR.names, "fractional", 0.05)


@pytest.mark.parametrize("column", range(len(PRIOR.names)))
@pytest.mark.parametrize("side", ["low", "high"])
def test_more_than_a_tenth_at_an_edge_is_flagged(column, side):
    """In the outer 2 % of any column and either side; a tenth, or what lies further in, is not."""
    edge, width = getattr(PRIOR, side)[column], (PRIOR.high - PRIOR.low)[column]
    inwards = width if side == "low" else -width
    coordinates = middle(PRIOR, 3)
    coordinates[0, : N // 10 + 1, column] = edge + 0.01 * inwards
    coordinates[1, : N // 10, column] = edge + 0.01 * inwards
    coordinates[2, :, column] = edge + 0.03 * inwards

    assert flags_of(PRIOR, draws_of(coordinates)).tolist() == [int(Flag.EDGE), 0, 0]


def test_shares_are_of_the_draws_that_are_kept():
    """Eleven of a hundred kept are over a tenth, whatever was asked for; no draws, no edge."""
    coordinates = middle(PRIOR, 3)
    coordinates[:, :11, 0] = PRIOR.low[0]

    assert flags_of(PRIOR, draws_of(coordinates, [100, N, 0])).tolist() == [int(Flag.EDGE), 0, 0]


def test_nuisance_columns_have_no_edge():
    """They are not of the galaxy."""
    coordinates = middle(SURVEY, len(SURVEY.names))
    for i in range(len(SURVEY.names)):
        coordinates[i, :, i] = SURVEY.low[i]
    flags = flags_of(SURVEY, draws_of(coordinates))

    nuisance = [name in SURVEY.nuisance for name in SURVEY.names]
    assert any(nuisance) and not all(nuisance)
    assert np.array_equal(flags == 0, nuisance)


def test_the_age_of_the_universe_is_an_edge():
    """At redshift 2 an age of 3.2 Gyr is at the end; near us it is not, nor without that bound."""
    age = float(age_of_universe(2.0)) - 0.05
    flags = {}
    for prior in (SURVEY, PRIOR):
        coordinates = middle(prior, 2)
        place = prior.names.index("tage")
        coordinates[..., place] = np.log10(age) if prior.log[place] else age
        flags[prior] = flags_of(prior, draws_of(coordinates), zred=[2.0, 0.1]).tolist()

    assert flags[SURVEY] == [int(Flag.EDGE), 0] and flags[PRIOR] == [0, 0]


def test_a_given_column_has_no_edge():
    """A near galaxy is as old as any in the prior, by its redshift; an inferred column piles up."""
    prior = tiny.given_prior()
    coordinates = middle(prior, 2)
    coordinates[..., prior.names.index("tage")] = prior.high[prior.names.index("tage")] - 1e-3
    coordinates[1, :, prior.names.index("tau")] = prior.low[prior.names.index("tau")]

    assert flags_of(prior, draws_of(coordinates), zred=[0.001, 0.001]).tolist() == [0, Flag.EDGE]


def test_a_redshift_beyond_the_noise_is_outside_training():
    """Of a flow whose noise reaches 0.8; one whose age is given by the redshift has it in range."""
    wave, flux = Grid().wave, np.ones((2, 138), np.float32)
    ivar = np.where(wave * 1.85 < 10_000, 400, 0) * flux
    batch = Batch(flux, ivar, np.arange(2), np.array([0.1, 0.85]))
    alarms = []
    for prior in (SURVEY, tiny.given_prior()):
        model = SimpleNamespace(noise=SurveyNoise())
        posterior = SimpleNamespace(prior=prior, model=model, grid=Grid())
        alarms.append(outside_training(posterior, batch).tolist())

    assert alarms == [[False, True], [False, False]]


def test_bad_fits_and_high_floors_are_flagged():
    """p below 1e-3 and a floor above 5 %; a number that is not known is no alarm."""
    drawn = draws_of(middle(PRIOR, 4))
    p, floor = [1e-4, 0.5, np.nan, 1e-4], np.array([0.01, 0.06, np.nan, 0.06])
    both = Flag.PREDICTIVE | Flag.FLOOR_HIGH

    assert flags_of(PRIOR, drawn, p, floor).tolist() == [
        int(Flag.PREDICTIVE), int(Flag.FLOOR_HIGH), 0, int(both),
    ]  # fmt: skip
    assert not (flags_of(PRIOR, drawn, p) & Flag.FLOOR_HIGH).any()
    residuals = Flag.CORRELATED | Flag.WINDOW | Flag.LINES
    for name, flag in P_VALUES.items():
        assert flags_of(PRIOR, drawn, p, of=name).tolist() == [int(flag), 0, 0, int(flag)]
    assert both | Flag.EDGE | residuals == OF_DRAWS


def test_a_fit_that_is_too_good_is_flagged():
    """Errors ten times too large: p above 0.999; of the other statistics that is no alarm."""
    drawn, p = draws_of(middle(PRIOR, 3)), [0.9995, 0.99, np.nan]

    assert flags_of(PRIOR, drawn, p).tolist() == [int(Flag.PREDICTIVE), 0, 0]
    for name in set(P_VALUES) - {"predictive_p"}:
        assert not flags_of(PRIOR, drawn, p, of=name).any()


def test_a_smooth_error_counts_like_a_floor():
    """In quadrature, whichever of them theta has."""
    names, medians = ("tage", "noise_floor", "model_error"), np.array([[5, 0.03, 0.04]])

    assert error_fractions(names, medians) == pytest.approx(0.05)
    assert error_fractions(names[:2], medians) == pytest.approx(0.03)
    assert error_fractions(("tage", "tau", "model_error"), medians) == pytest.approx(0.04)
    assert error_fractions(("tage", "tau", "dust2"), medians) is None


def test_right_draws_fit_and_others_do_not(likelihood):
    """Chi squared of one a pixel and a p that is no alarm for the truth; for 0.3 dex off, both."""
    rng = np.random.default_rng(0)
    theta = np.repeat(PRIOR.sample(20, rng)[:, None], 8, axis=1)
    with torch.no_grad():
        model = likelihood.ssp.flux(torch.tensor(theta[:, 0]).float(), PRIOR.names).numpy()
    flux = (model * (1 + 0.05 * rng.normal(size=model.shape))).astype(np.float32)
    batch = Batch(flux, (0.05 * model) ** -2, np.arange(20))
    coordinates = PRIOR.coordinates(theta)
    right = predictive_columns(PRIOR, likelihood, draws_of(coordinates), batch)
    coordinates[..., 0] += 0.3
    wrong = predictive_columns(PRIOR, likelihood, draws_of(coordinates), batch)

    assert right["chi2"].mean() == pytest.approx(1, abs=4 * np.sqrt(2 / 138 / 20))
    assert wrong["predictive_p"].max() < 1e-10 and wrong["chi2"].min() > 5
    for name in P_VALUES:
        assert right[name].min() > 1e-3 / 20
    assert (wrong["autocorrelation_p"] < 1e-3).all() and (wrong["window_p"] < 1e-3).mean() > 0.5


def test_rows_of_fewer_draws_are_as_if_alone(likelihood):
    """All draws, some and none in one batch: each object by its own, NaN where there are none."""
    rng = np.random.default_rng(1)
    theta = PRIOR.sample(3 * 80, rng).reshape(3, 80, -1)
    coordinates, kept = PRIOR.coordinates(theta), [80, 7, 0]
    flux = np.ones((3, 138), np.float32)
    batch = Batch(flux, 400 * flux, np.arange(3))
    columns = predictive_columns(PRIOR, likelihood, draws_of(coordinates, kept), batch)

    for i, n in ((0, 80), (1, 7)):
        alone = predict(likelihood, theta[i : i + 1, :n], flux[:1], 400 * flux[:1])
        both = [columns[name][i] for name in ("chi2", "predictive_p")]
        assert 0 < columns["window_p"][i] <= 1
        assert both == pytest.approx([float(values[0]) for values in alone], rel=1e-4)
    assert np.isnan([columns["chi2"][2], columns["predictive_p"][2]]).all()
    nothing = predictive_columns(PRIOR, None, draws_of(coordinates), batch)
    assert all(np.isnan(values).all() for values in nothing.values())
