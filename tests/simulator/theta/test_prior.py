import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from hpcsbi.simulator.theta.column import Column
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.simulator.theta.prior import Prior

CONF = Path(__file__).parents[3] / "conf" / "prior"


def load(name: str) -> Prior:
    settings = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    settings.pop("_target_")
    return Prior(**settings)


def test_digs_is_table_1():
    """Names, order, ranges and scales of Table 1 of Khullar et al. 2022."""
    prior = load("digs")

    assert prior.names == ("logmass", "logzsol", "dust2", "tage", "tau")
    bounds = [(column.low, column.high) for column in prior.columns.values()]
    assert bounds == [(8, 13), (-2, 0.2), (0.1, 10), (0, 4), (0.1, 1.0)]
    assert prior.log.tolist() == [name == "tau" for name in prior.names]
    assert prior.nuisance == ()


def test_survey_marks_its_nuisance_columns():
    """Line strength and noise floor are inferred, and said not to be properties of the galaxy."""
    prior = load("survey")

    assert prior.nuisance == ("line_strength", "noise_floor")
    assert prior.names[:5] == load("digs").names


def test_two_part_dust_is_survey_with_the_dust_of_prospector_alpha():
    """Its "alpha" template has the same fraction, and dust1 follows dust2 as there."""
    from prospect.models.templates import TemplateLibrary

    prior, alpha = load("two_part_dust"), TemplateLibrary["alpha"]
    theirs, ours = alpha["dust_ratio"]["prior"], prior.columns["dust1_fraction"]
    assert (ours.low, ours.high) == tuple(theirs.range)
    assert ours.distribution == {"kind": "normal", "mean": theirs.loc, "sd": theirs.scale}
    assert alpha["dust_type"]["init"] == 4
    assert alpha["dust1"]["depends_on"](dust2=0.5, dust_ratio=1.2) == pytest.approx(0.6)
    survey = load("survey")
    rest = {name for name in prior.names if not name.startswith("dust")}
    assert rest == {*survey.names} - {"dust2"}
    assert all(prior.columns[name] == survey.columns[name] for name in rest)


@pytest.mark.parametrize("name", ["digs", "survey", "digs_survey", "burst", "truncated"])
def test_samples_have_the_stated_distribution(name):
    """Each column is uniform, or uniform in its logarithm, and independent of the others."""
    prior = load(name)
    theta = prior.sample(20_000, np.random.default_rng(1))

    assert prior.support(theta).all()
    for (key, column), values in zip(prior.columns.items(), theta.T, strict=True):
        shape = stats.loguniform if column.log else stats.uniform
        args = (column.low, column.high) if column.log else (column.low, column.high - column.low)
        assert stats.kstest(values, shape(*args).cdf).pvalue > 1e-3, key
        if column.log:  # control: the other scale is seen
            wrong = stats.uniform(column.low, column.high - column.low)
            assert stats.kstest(values, wrong.cdf).pvalue < 1e-3
    off_diagonal = np.corrcoef(theta.T) - np.eye(len(prior.names))
    assert abs(off_diagonal).max() < 0.03


def test_log_prob_is_the_density_in_own_units():
    """Equal to scipy's densities inside, minus infinity outside and for NaN."""
    prior = load("digs")
    theta = prior.sample(100, np.random.default_rng(0))
    expected = sum(
        stats.uniform(low, high - low).logpdf(theta[:, i])
        for i, (low, high) in enumerate([(8, 13), (-2, 0.2), (0.1, 10), (0, 4)])
    )
    expected = expected + stats.loguniform(0.1, 1.0).logpdf(theta[:, 4])

    assert np.allclose(prior.log_prob(theta), expected)
    outside = np.array([[7.9, 0, 1, 1, 0.5], [9, 0, 1, 1, 1.1], [np.nan, 0, 1, 1, 0.5]])
    assert (prior.log_prob(outside) == -np.inf).all()
    assert not prior.support(outside).any()


def mass_of(prior, low, high, zred=None, n=700):
    """Integral over a box of tage and tau, by the sum over n^2 middles."""
    tage, tau = (a + (b - a) * (np.arange(n) + 0.5) / n for a, b in zip(low, high, strict=True))
    theta = np.stack(np.meshgrid(tage, tau), -1)
    return np.exp(prior.log_prob(theta, zred)).mean() * np.prod(np.subtract(high, low))


def test_density_integrates_to_one():
    """A sum over a box that is wider than the prior gives one, with a column in log and bounded."""
    prior = Prior({"tage": Column(0.5, 13.8), "tau": Column(0.1, 1.0, log=True)}, bound_age=True)

    for zred in (None, 0.0, 2.0):
        assert abs(mass_of(prior, (0, 0.05), (14, 1.1), zred) - 1) < 1e-2, zred


def test_coordinates_undo_theta():
    """The flat coordinates and own units are inverse to each other."""
    prior = load("survey")
    theta = prior.sample(1000, np.random.default_rng(2))

    assert np.allclose(prior.theta(prior.coordinates(theta)), theta, rtol=1e-12)
    u = (prior.coordinates(theta) - prior.low) / (prior.high - prior.low)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3


def test_no_draw_has_no_coordinates():
    """NaN stays NaN both ways, in every column, and nobody is warned."""
    prior = load("survey")
    theta = prior.sample(10, np.random.default_rng(0))
    theta[::2] = np.nan

    with np.errstate(all="raise"):
        coordinates = prior.coordinates(theta)
        again = prior.theta(coordinates)

    for values in (coordinates, again):
        assert np.isnan(values[::2]).all() and np.isfinite(values[1::2]).all()


@pytest.mark.slow
def test_age_is_bounded_by_the_universe():
    """Draws, support and density end at the age of the Universe at the object's redshift."""
    prior = load("survey")
    zred = np.repeat([0.0, 1.0, 4.0], 2000)
    age = age_of_universe(zred)
    theta = prior.sample(len(zred), np.random.default_rng(3), zred)
    tage = theta[:, prior.names.index("tage")]

    assert np.allclose(age_of_universe(np.array([0.0, 1.0])), [13.77, 5.92], atol=0.01)  # WMAP9
    assert (tage <= age).all()
    assert tage[zred == 1].max() > 5.7
    assert prior.support(theta, zred).all()
    old = theta.copy()
    old[:, prior.names.index("tage")] = 13.5
    assert prior.support(old, zred).tolist() == (age >= 13.5).tolist()
    assert np.isfinite(prior.log_prob(theta, zred)).all()
    assert (prior.log_prob(theta, zred) >= prior.log_prob(theta) - 1e-9).all()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"age": Column(0, 1)}, "'age' is unknown; did you mean tage?"),
        (
            {"dust2": Column(0, 4, distribution={"kind": "normal", "mean": 0})},
            r"prior\.columns\.dust2\.distribution\.sd is missing",
        ),
        (
            {"tau": Column(0.1, 1, True, distribution={"kind": "normal", "mean": 9, "sd": 1})},
            r"columns\.tau.*only .* lies between -1 and 0",
        ),
    ],
)
def test_wrong_columns_are_refused(columns, message):
    """A wrong prior is told by name, value and mend before anything is computed."""
    with pytest.raises(ValueError, match=message):
        Prior(columns)


def test_settings_make_an_equal_prior():
    """What travels in the stores is enough to make the prior again."""
    prior = load("survey")

    again = Prior(**prior.settings())
    assert again == prior
    assert again.names == prior.names


def test_flat_priors_are_what_they_were():
    """Settings in every letter, and draws in every bit: uniform numbers spread over a box."""
    for name in ("digs", "survey", "digs_survey"):
        prior, file = load(name), yaml.safe_load((CONF / f"{name}.yaml").read_text())
        columns = {
            key: {"low": column["low"], "high": column["high"], "log": column.get("log", False)}
            | {"nuisance": column.get("nuisance", False)}
            for key, column in file["columns"].items()
        }
        expected = {"columns": columns, "bound_age": file["bound_age"]}
        assert json.dumps(prior.settings()) == json.dumps(expected)
        unit = np.random.default_rng(5).random((100, len(columns)))
        drawn = prior.sample_coordinates(100, np.random.default_rng(5))
        assert np.array_equal(drawn, prior.low + (prior.high - prior.low) * unit)
        pad = np.linspace(0, 1, len(columns))
        low, high = prior.low - pad, prior.high + pad
        assert np.array_equal(prior.widened(unit, pad), low + (high - low) * unit)
        volume = np.log(prior.high - prior.low).sum()
        assert (prior.log_density(drawn) == -volume).all()


def reference(column):
    """A column's distribution in its coordinate, by scipy alone."""
    low, high = np.log10([column.low, column.high]) if column.log else (column.low, column.high)
    settings = dict(column.distribution or {"kind": "flat"})
    kind = settings.pop("kind")
    if kind == "flat":
        return stats.uniform(low, high - low)
    if kind == "normal":
        mean, sd = settings["mean"], settings["sd"]
        return stats.truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
    assert kind == "student_t"
    whole = stats.t(settings["degrees"], settings["mean"], settings["scale"])
    mass = whole.cdf(high) - whole.cdf(low)

    class Cut(stats.rv_continuous):
        def _cdf(self, x):
            return (whole.cdf(x) - whole.cdf(low)) / mass

        def _pdf(self, x):
            return whole.pdf(x) / mass

    return Cut(a=low, b=high)()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_informative_draws_are_distributed_as_scipy_says(seed):
    """Every column at several seeds, and the density; control: none of them is like a flat one."""
    prior, flat = load("informative"), load("survey")
    coordinates = prior.sample_coordinates(20_000, np.random.default_rng(seed))
    log_density = np.zeros(len(coordinates))

    assert set(prior.distributions) == {0, 1, 2, 4, 5} and prior.names == flat.names
    assert prior.inside(coordinates).all()
    for i, (column, values) in enumerate(zip(prior.columns.values(), coordinates.T, strict=True)):
        theirs = reference(column)
        assert stats.kstest(values, theirs.cdf).pvalue > 1e-4, prior.names[i]
        log_density += theirs.logpdf(values)
        if i in prior.distributions:
            box = stats.uniform(prior.low[i], prior.high[i] - prior.low[i])
            assert stats.kstest(values, box.cdf).pvalue < 1e-4
    assert prior.log_density(coordinates) == pytest.approx(log_density)
    assert abs(np.corrcoef(coordinates.T) - np.eye(len(prior.names))).max() < 0.03


def test_informative_density_integrates_to_one():
    """A normal age that the Universe cuts, and a log-normal tau; half of a box has half of it."""
    columns = {
        "tage": Column(0.5, 13.8, distribution={"kind": "normal", "mean": 5.0, "sd": 2.0}),
        "tau": Column(0.1, 10.0, True, distribution={"kind": "normal", "mean": 0.0, "sd": 0.3}),
    }
    prior = Prior(columns, bound_age=True)

    for zred in (None, 0.0, 1.0, 4.0):
        assert abs(mass_of(prior, (0, 0.05), (14, 11), zred) - 1) < 1e-2, zred
    younger = stats.truncnorm(-2.25, 4.4, 5, 2).cdf(5)
    assert mass_of(prior, (0, 0.05), (5, 11)) == pytest.approx(younger, abs=1e-2)
    assert prior.log_prob(np.array([5.0, 1.0])) == pytest.approx(
        stats.truncnorm(-2.25, 4.4, 5, 2).logpdf(5) + stats.lognorm(0.3 * np.log(10)).logpdf(1),
        abs=1e-3,
    )


@pytest.mark.parametrize("zred", [None, 0.7, 3.0])
def test_the_unit_cube_is_the_prior(zred):
    """There and back, in both halves; draws of an age that the Universe cuts end there."""
    bell = {"kind": "normal", "mean": 9.0, "sd": 2.0}
    columns = load("informative").settings()["columns"]
    columns["tage"]["distribution"] = bell
    prior = Prior(columns, bound_age=True)
    upper = prior.upper(zred)
    unit = np.random.default_rng(0).random((1000, len(columns)))
    coordinates = prior.from_unit(unit, 1 - unit, upper)

    assert prior.inside(coordinates, zred).all()
    assert prior.to_unit(coordinates, upper) == pytest.approx(unit, abs=1e-9)
    tage = prior.names.index("tage")
    share = stats.truncnorm((0.01 - 9) / 2, 2.4, 9, 2).cdf
    assert share(coordinates[:, tage]) / share(upper[tage]) == pytest.approx(unit[:, tage])
    ends = prior.from_unit(np.ones(len(columns)), np.zeros(len(columns)), upper)
    assert ends == pytest.approx(upper)


def test_informative_settings_make_an_equal_prior():
    """Through JSON as stores do it; the order of a distribution's numbers is none of its own."""
    prior = load("informative")
    again = Prior(**json.loads(json.dumps(prior.settings())))
    columns = prior.settings()["columns"]
    for column in columns.values():
        if "distribution" in column:
            column["distribution"] = dict(reversed(column["distribution"].items()))
    turned = Prior(columns, prior.bound_age)

    assert again == prior == turned and prior != load("survey")
    assert json.dumps(again.settings()) == json.dumps(turned.settings())
    assert "distribution" not in prior.settings()["columns"]["tage"]


def test_draws_at_a_bound_stay_inside_with_a_distribution():
    """A normal whose mean is far below a bound piles up at it, and inside, as float32 too."""
    steep = {"kind": "normal", "mean": -2.0, "sd": 0.5}
    columns = {"noise_floor": Column(0.2, 0.9, distribution=steep), "tage": Column(0, 4)}
    prior = Prior(columns)
    draws = prior.sample(20_000, np.random.default_rng(0))

    assert np.quantile(draws[:, 0], 0.5) < 0.3
    assert prior.support(draws).all() and prior.support(draws.astype(np.float32)).all()
    assert np.isfinite(prior.log_prob(draws.astype(np.float32))).all()


@pytest.mark.parametrize(
    "low, high", [(0.03, 3.0), (0.003, 0.2), (0.2, 0.7), (0.3, 5.0), (0.1, 10.0), (1e-3, 0.9)]
)
@pytest.mark.parametrize("log", [True, False])
def test_bounds_are_those_that_were_given(low, high, log):
    """They lie inside, also as float32, and coordinates lead back to them; the next number is out.

    10^log10(0.003) is above 0.003, and 0.2 in float32 above 0.2.
    """
    prior = Prior({"logmass": Column(8, 13), "line_strength": Column(low, high, log)})
    ends = np.array([[8.0, low], [13.0, high]])
    beyond = np.nextafter(ends, [[-np.inf] * 2, [np.inf] * 2])

    assert np.array_equal(prior.theta(np.stack([prior.low, prior.high])), ends)
    assert prior.support(ends).all() and prior.support(ends.astype(np.float32)).all()
    assert not prior.support(beyond).any()
    assert not prior.support(np.where([True, False], ends, np.nan)).any()
    assert np.isfinite(prior.log_prob(ends)).all()
    draws = prior.sample(20_000, np.random.default_rng(0))
    assert prior.support(draws).all() and prior.support(draws.astype(np.float32)).all()


def ranges():
    """Bounds of a log column, with all the digits that a number can have."""
    ends = st.tuples(st.floats(1e-3, 5.0), st.floats(1e-3, 5.0)).map(sorted)
    return ends.filter(lambda ends: ends[1] > 1.001 * ends[0])


@given(ranges(), st.sampled_from([0, 1]), st.integers(0, 3), st.floats(0.0, 3.0))
@example([0.003, 0.4], 1, 0, 0.0)  # 0.4 is above 0.4 in float32
@example([0.003, 0.4], 0, 0, 0.0)  # 10^log10(0.003) is above 0.003
def test_a_draw_at_a_bound_is_inside_wherever_it_goes(ends, side, steps, zred):
    """On a bound and a rounding before it: in coordinates, own units and float32, and back.

    The age ends at the Universe's, which a redshift alone knows. Control: a millionth further out
    it is outside of all of them.
    """
    columns = {"tage": Column(0.5, 14.0), "line_strength": Column(*ends, log=True)}
    prior = Prior(columns, bound_age=True)
    bound, outwards = (prior.low, prior.upper(zred))[side], (-1, 1)[side]
    near = bound.copy()
    for _ in range(steps):
        near = np.nextafter(near, -outwards * np.inf)

    assert prior.inside(near, zred)
    theta, written = prior.theta(near), prior.theta(near, np.float32)
    assert prior.support(theta, zred) and prior.support(written, zred)
    assert written == pytest.approx(theta, rel=1e-6)
    assert (ends[0] <= written[1] <= ends[1]) and written[0] <= 14.0  # to the last digit
    assert prior.inside(prior.coordinates(theta), zred)
    assert prior.inside(prior.coordinates(written))

    for column in range(2):
        beyond = near.copy()
        beyond[column] = bound[column] + outwards * 1e-6 * max(1, abs(bound[column]))
        theta, written = prior.theta(beyond), prior.theta(beyond, np.float32)
        assert not prior.inside(beyond, zred)
        assert not prior.support(theta, zred) and not prior.support(written, zred)
        assert not prior.inside(prior.coordinates(theta), zred)


def test_nothing_is_inside_without_a_number():
    """NaN in one column is outside; draws are inside in their coordinates, and support agrees."""
    prior = load("survey")
    coordinates = prior.sample_coordinates(1000, np.random.default_rng(0))
    wider = prior.low + 1.5 * (coordinates - prior.low)

    assert prior.inside(coordinates).all()
    assert np.array_equal(prior.theta(coordinates), prior.sample(1000, np.random.default_rng(0)))
    assert np.array_equal(prior.inside(wider, 0.5), prior.support(prior.theta(wider), 0.5))
    assert 0 < prior.inside(wider).sum() < 1000
    coordinates[:, 2] = np.nan
    assert not prior.inside(coordinates).any()


def test_density_is_that_of_what_is_inferred():
    """The same at any given age in its range, one over the inferred columns alone, none beyond.

    Control: the same columns with an inferred age have the density of its range on top.
    """
    prior = tiny.given_prior()
    inferred = Prior({**prior.columns, "tage": Column(6.5, 13.75)})
    tage, draws = (
        prior.names.index("tage"),
        prior.sample_coordinates(2000, np.random.default_rng(0)),
    )
    again = draws.copy()
    again[:, tage] = 9.0

    assert np.array_equal(prior.log_density(draws), prior.log_density(again))
    assert np.allclose(prior.log_density(draws), inferred.log_density(draws) + np.log(7.25))
    assert np.allclose(
        prior.log_prob(prior.theta(draws)), inferred.log_prob(prior.theta(draws)) + np.log(7.25)
    )
    for age in (6.4, 13.8, np.nan):
        again[:, tage] = age
        assert not prior.inside(again).any() and not prior.support(prior.theta(again)).any()
        assert (prior.log_density(again) == -np.inf).all()
    narrow = {"tage": prior.columns["tage"], "tau": Column(0.1, 1.0, log=True)}
    tau = np.linspace(0.1, 1.0, 20_001)
    theta = np.column_stack([np.full(len(tau), 9.0), tau])
    assert np.trapezoid(np.exp(Prior(narrow).log_prob(theta)), tau) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("bound", [False, True])
def test_a_given_age_is_flat_in_simulations_and_the_universes_at_a_redshift(bound):
    """The inferred columns are drawn as if nothing was given, with and without a bound on ages."""
    prior = Prior(tiny.given_prior().columns, bound)
    tage, zred = prior.names.index("tage"), np.linspace(0.1, 0.7, 4000)
    free, at = (prior.sample(4000, np.random.default_rng(1), z) for z in (None, zred))

    assert stats.kstest(free[:, tage], stats.uniform(6.5, 7.25).cdf).pvalue > 1e-4
    assert at[:, tage] == pytest.approx(age_of_universe(zred), abs=1e-12)
    assert np.array_equal(free[:, prior.inferred], at[:, prior.inferred])
    assert prior.support(at, zred).all() and prior.support(free).all()
    assert (prior.upper(zred)[..., tage] == 13.75).all()


def test_settings_of_a_given_column_make_an_equal_prior():
    """Through JSON; a prior without one has no word of it."""
    prior = tiny.given_prior()

    assert Prior(**json.loads(json.dumps(prior.settings()))) == prior != tiny.prior()
    assert prior.settings()["columns"]["tage"]["given"] == "age_of_universe"
    assert prior.inferred_names == ("logmass", "logzsol", "dust2", "tau")
    assert not any("given" in column for column in tiny.prior().settings()["columns"].values())


def test_a_fixed_column_is_its_number_wherever_it_goes():
    """In draws, coordinates and float32; the others are drawn as without it, and have the density
    that they have alone. Another number is outside.
    """
    fixed = Prior(tiny.DIGS | {"dust2": {"given": 0.03}})  # float32 has no such number
    wide, column = tiny.prior(), 2
    draws = fixed.sample(2000, np.random.default_rng(0))
    free = wide.sample(2000, np.random.default_rng(0))
    alone = Prior({name: x for name, x in tiny.DIGS.items() if name != "dust2"})

    assert (draws[:, column] == 0.03).all() and fixed.inferred_names == alone.names
    assert np.array_equal(draws[:, fixed.inferred], free[:, fixed.inferred])
    assert np.allclose(fixed.log_prob(draws), alone.log_prob(draws[:, fixed.inferred]))
    coordinates = fixed.coordinates(draws)
    assert fixed.inside(coordinates).all() and np.isfinite(fixed.log_density(coordinates)).all()
    assert (fixed.theta(coordinates)[:, column] == 0.03).all()
    single = fixed.theta(coordinates, np.float32)
    assert (single[:, column] == np.float32(0.03)).all() and fixed.support(single).all()
    unit = fixed.to_unit(coordinates, fixed.high)
    assert np.isfinite(unit).all()
    assert fixed.from_unit(unit, 1 - unit, fixed.high) == pytest.approx(coordinates)
    assert (fixed.widened(unit, 0.0)[:, column] == 0.03).all()
    draws[:, column] = 0.031
    assert not fixed.support(draws).any() and (fixed.log_prob(draws) == -np.inf).all()


def test_settings_of_a_fixed_column_are_its_number():
    """Through JSON, beside a given one and one with a distribution."""
    columns = {**tiny.given_prior().columns, **tiny.columns("informative")} | {
        "dust2": {"given": 1},
        "tage": tiny.GIVEN_AGE,
    }
    prior = Prior(columns, bound_age=True)

    assert Prior(**json.loads(json.dumps(prior.settings()))) == prior
    assert prior.settings()["columns"]["dust2"] == {"given": 1}
