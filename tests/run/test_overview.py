"""A catalogue in few numbers: the same whole and in pieces, and for rows with gaps."""

import many_objects
import numpy as np
import pytest

from hpcsbi.run import overview
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.store.opening import open_store


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    made = many_objects.make(folder, 500, 200, lambda theta: np.ones((len(theta), 138)))
    return open_store(made["catalogue"])


@pytest.mark.parametrize("rows", [np.arange(500), np.r_[0:200, 400:500]])
def test_pieces_are_the_whole(catalogue, rows, monkeypatch):
    """Medians and checks row by row, however many rows are read at a time."""
    names = many_objects.PRIOR.names
    whole = overview.overview(catalogue, rows, names)
    monkeypatch.setattr(overview, "PIECE", 7)
    pieces = overview.overview(catalogue, rows, names)

    quantiles = catalogue.read("quantiles")[rows]
    derived = catalogue.read("derived_quantiles")[rows]
    sfr = [each.name for each in QUANTITIES].index("sfr_100myr")
    assert whole.keys() == pieces.keys()
    assert all(np.array_equal(whole[name], pieces[name], equal_nan=True) for name in whole)
    assert np.array_equal(whole["logmass"], quantiles[:, 2, 0], equal_nan=True)
    assert np.array_equal(whole["sfr_100myr"], derived[:, 2, sfr], equal_nan=True)
    assert np.allclose(whole["zred"], catalogue.read("zred")[rows])
    assert (whole["n_draws"] == 0).sum() == len(rows) // 100


def test_a_row_takes_few_bytes(catalogue):
    """Ten million objects would take less than a GB."""
    columns = overview.overview(catalogue, np.arange(500), many_objects.PRIOR.names)

    assert sum(values.nbytes for values in columns.values()) / 500 < 80


def test_percentiles_are_in_order(catalogue):
    """The 16th, 50th and 84th of each."""
    for values in overview.percentiles(catalogue, slice(0, 90), many_objects.PRIOR.names).values():
        assert values.shape == (90, 3) and (np.diff(values) > 0).all()
