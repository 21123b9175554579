"""Derived quantities: closed forms, invariances, and FSPS itself."""

import os
import subprocess
import sys
from pathlib import Path

import dusty_table
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsbi.run.flows import load_derived, load_engine
from hpcsbi.simulator.galaxy.attenuations import ATTENUATIONS
from hpcsbi.simulator.galaxy.delayed_tau import delayed_tau_weights
from hpcsbi.simulator.galaxy.indices import BANDS, LINES, band_means, line_centres
from hpcsbi.simulator.table.derived import QUANTITIES, DerivedQuantities
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_store

PRIOR = Prior(tiny.columns("survey"))
TABLE = open_store(tiny.TABLE)
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "derived.py"
HOME = os.environ.get("SPS_HOME")


@pytest.fixture(scope="module")
def quantities():
    """Of the shipped table."""
    made = load_derived(tiny.TABLE, load_engine(tiny.TABLE, PRIOR))
    return lambda theta: dict(zip(made.names, made(theta, PRIOR.names).T, strict=True))


def draws(n, seed=0, **fixed):
    """Of the prior, with some columns held."""
    theta = PRIOR.sample(n, np.random.default_rng(seed))
    for name, value in fixed.items():
        theta[:, PRIOR.names.index(name)] = value
    return theta


def test_surviving_mass_is_the_sum_over_populations(quantities):
    """Of exact weights and the table, on its nodes of metallicity; always less than was formed."""
    theta = draws(50, logzsol=-0.5)
    node = int(np.abs(TABLE.read("logzsol") + 0.5).argmin())
    column = dict(zip(PRIOR.names, theta.T, strict=True))
    weights = delayed_tau_weights(TABLE.read("log_age"), column["tage"], column["tau"])
    share = weights @ TABLE.read("surviving_mass")[node]
    values = quantities(theta)

    assert values["logmass_surviving"] - column["logmass"] == pytest.approx(
        np.log10(share), abs=1e-5
    )
    assert (values["logmass_surviving"] < column["logmass"]).all()


@settings(max_examples=30, deadline=None)
@given(st.floats(6, 12), st.integers(0, 10_000))
def test_mass_scales_what_is_a_mass_and_nothing_else(quantities, logmass, seed):
    """Rates and luminosities go with the mass; ages, ratios and widths do not know it."""
    one, other = (
        quantities(draws(5, seed, logmass=8.0)),
        quantities(draws(5, seed, logmass=logmass)),
    )
    factor = 10 ** (logmass - 8)
    for quantity in QUANTITIES:
        a, b = one[quantity.name], other[quantity.name]
        if quantity.name == "logmass_surviving":
            assert b - a == pytest.approx(np.full(5, logmass - 8))
        elif quantity.name.startswith("sfr") or quantity.name.endswith("luminosity"):
            assert b == pytest.approx(a * factor, rel=1e-9)
        else:
            assert b == pytest.approx(a, rel=1e-12)


def test_a_young_galaxy_formed_everything_lately(quantities):
    """Below 10 Myr both rates are the mass over their times; ages lie within the galaxy's."""
    theta = draws(50)
    theta[:, PRIOR.names.index("tage")] = np.linspace(0.001, 0.01, 50)
    values, mass = quantities(theta), 10 ** theta[:, PRIOR.names.index("logmass")]
    tage = theta[:, PRIOR.names.index("tage")]

    assert values["sfr_10myr"] == pytest.approx(mass / 1e7)
    assert values["sfr_100myr"] == pytest.approx(mass / 1e8)
    for name in ("mass_weighted_age", "t50", "t90"):
        assert ((values[name] > 0) & (values[name] < tage)).all()
    assert (values["t90"] < values["t50"]).all()


def test_dust_reddens_the_break_and_leaves_widths_alone(quantities):
    """One screen before lines and stars: luminosities fall by the curve, widths stay."""
    bare, red = quantities(draws(200, dust2=0.0)), quantities(draws(200, dust2=2.0))

    assert bare["av"] == pytest.approx(np.zeros(200))
    assert (red["av_young"] == red["av"]).all()  # no cloud stands before the young
    assert red["av"] == pytest.approx(np.full(200, 2.172), rel=2e-3)  # 1.086 a unit
    assert (red["dn4000"] > bare["dn4000"]).all()
    assert red["dn4000"] / bare["dn4000"] == pytest.approx(np.full(200, 1.1), abs=0.05)
    some = bare["halpha_ew"] > 1
    assert red["halpha_ew"][some] == pytest.approx(bare["halpha_ew"][some], rel=0.01)
    assert (red["halpha_luminosity"][some] < 0.3 * bare["halpha_luminosity"][some]).all()
    decrements = [
        each["halpha_luminosity"][some] / each["hbeta_luminosity"][some] for each in (bare, red)
    ]
    assert (decrements[1] > 1.5 * decrements[0]).all()


@pytest.mark.parametrize(("number", "name"), [(4, "two_part"), (2, "birth_clouds")])
def test_lines_and_bands_are_behind_their_own_dust(number, name):
    """Sums over populations, each behind its dust, by closed forms: lines, break and widths."""
    prior = dusty_table.prior(*ATTENUATIONS[name].names)
    engine = dusty_table.engine(number, prior)
    made = DerivedQuantities(engine, **dusty_table.derived_arrays(number))
    theta = prior.sample(60, np.random.default_rng(0))
    theta[:, prior.names.index("tage")] = np.geomspace(0.02, 1.0, 60)  # there are lines
    theta[:, prior.names.index("logzsol")] = -0.3
    values = dict(zip(made.names, made(theta, prior.names).T, strict=True))
    column = dict(zip(prior.names, theta.T, strict=True))
    weights = delayed_tau_weights(dusty_table.LOG_AGE, column["tage"], column["tau"])
    young, wave = dusty_table.LOG_AGE <= 7.0, np.arange(3400.0, 7200.0, 1.0)
    continuum, emission = (part[1] for part in dusty_table.populations(wave))
    shapes = continuum + emission
    lines = dusty_table.populations(line_centres())[1][1]
    rows = [dict(zip(prior.names, each, strict=True)) for each in theta]
    for i, row in enumerate(rows):
        old, cloudy = np.exp(-dusty_table.optical_depth(line_centres(), number, row))
        light = weights[i] @ (lines * np.where(young[:, None], cloudy, old)) * row["line_strength"]
        for line, each in zip(LINES, light * 10 ** row["logmass"], strict=True):
            assert values[f"{line}_luminosity"][i] == pytest.approx(each, rel=0.02)
        old, cloudy = np.exp(-dusty_table.optical_depth(wave, number, row))
        red = weights[i] @ (shapes * np.where(young[:, None], cloudy, old))
        band = dict(zip(BANDS, band_means(wave, red * wave**2, number, 1)[0], strict=True))
        ratio = band["break_red"] / band["break_blue"]
        assert values["dn4000"][i] == pytest.approx(ratio, rel=2e-3)
        width = light[3] / band["beside_halpha"]
        assert values["halpha_ew"][i] == pytest.approx(width, rel=0.02)
    at_v = [dusty_table.optical_depth(np.array([5500.0]), number, row) for row in rows]
    for name, depth in zip(("av", "av_young"), np.array(at_v)[:, :, 0].T, strict=True):
        assert values[name] == pytest.approx(1.0857362 * depth, rel=1e-6)
    theta[:, prior.names.index("dust1_fraction")] *= 0.5  # negative control
    less = dict(zip(made.names, made(theta, prior.names).T, strict=True))
    assert (less["av"] == values["av"]).all()
    assert np.median(less["halpha_luminosity"] / values["halpha_luminosity"]) > 1.1


def test_line_strength_is_a_factor_of_the_lines(quantities):
    """And of nothing else."""
    one, three = quantities(draws(50, line_strength=1.0)), quantities(draws(50, line_strength=3.0))

    for quantity in QUANTITIES:
        factor = 3.0 if quantity.name.endswith(("_ew", "_luminosity")) else 1.0
        assert three[quantity.name] == pytest.approx(factor * one[quantity.name], rel=1e-6)


def test_old_galaxies_have_breaks_and_no_lines(quantities):
    """Dn4000 rises with age; the widths fall to nothing."""
    theta = draws(40, logzsol=0.0, dust2=0.0, tau=0.1, line_strength=1.0)
    theta[:, PRIOR.names.index("tage")] = np.geomspace(0.05, 13, 40)
    values = quantities(theta)

    assert values["dn4000"][[0, -1]] == pytest.approx([1.05, 2.0], abs=0.15)
    assert (np.diff(values["dn4000"][::8]) > 0).all()
    assert values["halpha_ew"][0] > 100 and (values["halpha_ew"][-10:] < 1e-3).all()


def test_what_is_not_finite_is_not_a_number(quantities):
    """A NaN in theta costs its own row."""
    theta = draws(3)
    theta[1, PRIOR.names.index("tage")] = np.nan
    values = np.column_stack(list(quantities(theta).values()))

    assert np.isfinite(values[[0, 2]]).all()
    assert np.isnan(values[1]).any()


@pytest.mark.slow
@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
def test_fsps_says_the_same():
    """python-fsps, asked without Prospector and without this package, on draws of the prior."""
    command = [sys.executable, str(BENCHMARK), str(tiny.TABLE), "--draws", "60", "--seed", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()[1:-1]]
    largest = {name: float(figure) for name, figure, *_ in lines}

    assert list(largest) == [quantity.name for quantity in QUANTITIES]
    for name, figure in largest.items():
        lines_apart = name.endswith(("_ew", "_luminosity"))  # between nodes of metallicity and age
        assert figure < (0.1 if lines_apart else 2.5e-3), name
    for name in ("sfr_10myr", "sfr_100myr", "mass_weighted_age", "t50", "t90"):
        assert largest[name] < 1e-6
