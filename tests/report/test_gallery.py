"""Objects that are shown: the best, the median, the worst, the strange; each once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.flags import Flag
from hpcsbi.report import gallery


def columns(n, seed=0):
    rng = np.random.default_rng(seed)
    values = {
        "n_draws": np.full(n, 100),
        "flags": np.zeros(n, "int32"),
        "chi2": rng.uniform(0.8, 1.2, n),
        "predictive_p": rng.uniform(0.01, 0.999, n),
        "window_p": np.full(n, np.nan),
        "pareto_k": rng.uniform(0, 0.6, n),
    }
    return values


def test_the_extremes_of_many_are_shown():
    """Best and worst by their least p-value, the median, weakest, largest chi squared, flags."""
    many = columns(1000)
    many["predictive_p"][[7, 8]] = 0.9999, 1e-4
    many["window_p"][9], many["pareto_k"][10], many["chi2"][11] = 1e-5, 3.0, 9.0
    many["flags"][12] = Flag.EDGE | Flag.WINDOW | Flag.LOW_SN

    shown = gallery.gallery(many, 6)

    assert [row for row, _ in shown] == [7, shown[1][0], 9, 10, 11, 12]
    median = np.median(many["predictive_p"])
    assert abs(many["predictive_p"][shown[1][0]] - median) < 0.01
    assert [why for _, why in shown][:3] == ["the best fit", "the median fit", "the worst fit"]


def test_few_objects_are_all_shown_from_the_best():
    """Without those that have no draws."""
    few = columns(4)
    few["n_draws"][2] = 0

    shown = gallery.gallery(few, 6)

    order = [row for row, _ in shown]
    assert sorted(order) == [0, 1, 3]
    assert (np.diff(few["predictive_p"][order]) < 0).all()
    assert shown[1][1] == "fit 2 of 3, from the best"
    few["n_draws"][:] = 0
    assert gallery.gallery(few, 6) == []


@given(st.integers(0, 60), st.integers(1, 8), st.integers(0, 100))
def test_each_object_is_shown_once(n, most, seed):
    """As many as there may be, for any number of objects, ties and missing values."""
    some = columns(n, seed)
    some["predictive_p"] = np.round(some["predictive_p"], 1)
    some["pareto_k"][::3] = np.nan
    some["chi2"][::5] = np.nan
    some["n_draws"][::4] = 0

    rows = [row for row, _ in gallery.gallery(some, most)]

    assert len(rows) == len({*rows}) == min(most, (some["n_draws"] > 0).sum())


def test_a_table_of_many_has_the_extremes_and_a_draw():
    """The worst, the weakest, those without a posterior, and others; the same every time."""
    many = columns(5000)
    many["n_draws"][:5] = 0
    places, words = gallery.listed(many, 200)

    assert len(places) == len({*places}) == 200 and (np.diff(places) > 0).all()
    order = gallery.misfit_order(many)
    assert {*order[-50:]} <= {*places} and {*range(5)} <= {*places}
    assert {*np.argsort(many["pareto_k"][5:])[-40:] + 5} <= {*places}
    assert "200 of 5000" in words
    assert np.array_equal(places, gallery.listed(many, 200)[0])
    assert len(gallery.listed(columns(200), 200)[0]) == 200


def test_few_shards_are_read():
    """At most so many objects and shards, chosen from usable ones; few are all taken."""
    rows, usable = np.arange(100_000, 200_000), np.arange(100_000) % 7 > 0

    places = gallery.scattered(rows, usable, 1000, 600, 24)

    assert len(places) == 600 and usable[places].all() and (np.diff(places) > 0).all()
    assert len(np.unique(rows[places] // 1000)) == 24
    few = gallery.scattered(rows[:50], usable[:50], 1000, 600, 24)
    assert np.array_equal(few, np.flatnonzero(usable[:50]))
