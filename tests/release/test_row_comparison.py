"""What was changed in a row is found, and what its draws may move is not."""

import numpy as np
import pytest

from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.release.row_comparison import compare_rows, disagreements

ROWS, LEVELS = 40, np.array([*QUANTILES.values()])


def catalogue(seed, weak=()):
    """Rows of two parameters, whose posteriors are known: each seed has draws of its own."""
    rng, scale = np.random.default_rng(seed), 1 + np.arange(ROWS) / ROWS
    columns = {
        "id": np.array([f"o{i}" for i in range(ROWS)], object),
        "key": np.array([f"o{i}/1" for i in range(ROWS)], object),
        "zred": np.linspace(0.01, 0.1, ROWS),
        "ra": np.where(np.arange(ROWS) % 7 == 0, np.nan, 10.0),
        "flags": np.zeros(ROWS, np.int32),
        "n_draws": np.full(ROWS, 1000, np.int32),
        "acceptance": (rng.binomial(1250, 0.8, ROWS) / 1250).astype(np.float32),
        "predictive_p": (rng.binomial(128, 0.3, ROWS) / 128).astype(np.float32),
        "chi2": 1 + 0.01 * rng.normal(size=ROWS).astype(np.float32),
        "ess": (500 + 20 * rng.normal(size=ROWS)).astype(np.float32),
        "pareto_k": np.full(ROWS, 0.3, np.float32),
        "log_evidence": -100 + 0.05 * rng.normal(size=ROWS),
        "log_evidence_error": np.full(ROWS, 0.05, np.float32),
        "observed_hbeta_ew": np.ones(ROWS, np.float32),
        "observed_hbeta_luminosity": (1e6 + 1e3 * rng.normal(size=ROWS)).astype(np.float32),
        "observed_hbeta_luminosity_error": np.full(ROWS, 1e5, np.float32),
        "origin": np.full(ROWS, "reweighted", object),
    }
    columns["origin"][[*weak]] = "flow"
    columns["ess"][[*weak]] = 20.0
    for name, number in (("tage_", 500), ("tage_flow_", 1000), ("tau_", 500)):
        drawn = np.quantile(rng.normal(size=(number, ROWS)) * scale + 3, LEVELS, axis=0)
        columns |= {f"{name}{level}": drawn[i] for i, level in enumerate(QUANTILES)}
    return columns


def bad(first, second, searched=False):
    return {column.name for column in disagreements(compare_rows(first, second, searched))}


def test_the_same_rows_are_equal():
    """To the last bit, gaps among them."""
    columns = compare_rows(catalogue(0), catalogue(0), False)

    assert all(each.agrees and each.equal == each.count == ROWS for each in columns)
    assert [each.name for each in columns] == [*catalogue(0)]


@pytest.mark.parametrize("seed", range(1, 6))
def test_independent_draws_agree(seed):
    """And are told apart from equal ones; their widths and errors are of the right size."""
    columns = {each.name: each for each in compare_rows(catalogue(0), catalogue(seed), False)}

    assert all(each.agrees for each in columns.values())
    assert columns["tage_p50"].equal == 0 and 0.05 < columns["tage_p50"].widths < 0.4
    assert 0.3 < columns["tage_p50"].mean_square < 2


CHANGES = {
    "zred": lambda rows: rows["zred"].__setitem__(4, rows["zred"][4] + 1e-9),
    "ra": lambda rows: rows["ra"].__setitem__(7, 10.0),
    "key": lambda rows: rows["key"].__setitem__(0, "other"),
    "tage_p50": lambda rows: rows["tage_p50"].__setitem__(3, rows["tage_p84"][3] + 0.5),
    "tau_p97_5": lambda rows: rows["tau_p97_5"].__setitem__(9, np.nan),
    "log_evidence": lambda rows: rows["log_evidence"].__setitem__(3, -99.0),
    "predictive_p": lambda rows: rows["predictive_p"].__setitem__(3, 0.99),
    "acceptance": lambda rows: rows["acceptance"].__setitem__(3, 0.3),
    "observed_hbeta_luminosity": lambda rows: rows["observed_hbeta_luminosity"].__setitem__(3, 2e6),
    "tage_flow_p16": lambda rows: rows["tage_flow_p16"].__setitem__(5, -9.0),
    "flags": lambda rows: rows["flags"].__setitem__(slice(0, 9), 4),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_edit_is_found(name):
    """In one object of one column, and in no other column; the object is named."""
    edited = catalogue(0)
    CHANGES[name](edited)
    columns = disagreements(compare_rows(edited, catalogue(1), False))

    assert [column.name for column in columns] == [name] and columns[0].far


def test_wide_errors_hide_nothing():
    """A row whose own errors have been made large is judged by those of the other one."""
    edited = catalogue(0)
    edited["log_evidence"][2] += 5
    edited["log_evidence_error"][2] = 1e3

    assert bad(edited, catalogue(1)) == bad(catalogue(1), edited) == {"log_evidence"}


def test_a_column_that_one_has_not():
    """Is told, whichever has it."""
    less = catalogue(0)
    del less["tau_p84"]

    assert "tau_p84" in bad(less, catalogue(0)) and "tau_p84" in bad(catalogue(0), less)


def test_a_flow_that_searches_may_find_another_optimum():
    """For one of twenty objects, where its own draws are told; not where the weights are good."""
    moved = catalogue(1, weak=(4,))
    for name in moved:
        if name.startswith("tage_flow_"):
            moved[name][[4, 6]] += 5
        elif name.startswith("tage_"):
            moved[name][4] += 5
    first = catalogue(0, weak=(4,))
    assert bad(first, moved, searched=True) == set()
    assert {"tage_p50", "tage_flow_p50"} <= bad(first, moved, searched=False)

    for level in QUANTILES:
        moved[f"tage_{level}"][6] += 5
    assert {"tage_p16", "tage_p50", "tage_p84"} <= bad(first, moved, searched=True)


def test_other_weights_are_excused_near_their_limit_only():
    """From good to weak, with 250 effective draws or with 5000."""
    first, second = catalogue(0), catalogue(1, weak=(4,))
    for level in QUANTILES:
        second[f"tage_{level}"][4] += 5  # of the flow's draws now: not compared
    second["ess"][4] = 190.0
    assert bad(first, second) == set()
    second["ess"][4], first["ess"][4] = 20.0, 5000.0
    assert bad(first, second) == {"origin"}
