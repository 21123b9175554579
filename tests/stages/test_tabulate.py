import os
import shutil

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsbi.cluster.executors import Serial
from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fsps_data import FspsError, tree_notice
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.table.ssp_arrays import NOTICE
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.tabulate import (
    SHIPPED,
    _create,
    _measure,
    _rounded,
    _tabulate_shard,
    metallicities,
    tabulate,
)
from hpcsbi.store.opening import open_complete, open_store
from hpcsbi.store.settings import Mismatch

HOME = os.environ.get("SPS_HOME")
GRID, PHYSICS = Grid(), Physics()
PRIOR = Prior(tiny.columns("digs"))


def run(out, **changes):
    arguments = {"grid": GRID, "physics": PHYSICS, "prior": PRIOR, "draws": 30, "shard": 8}
    tabulate(str(out), **{**arguments, "seed": 0, "cluster": Serial(), **changes})


def content(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def no_tree(monkeypatch):
    monkeypatch.delenv("SPS_HOME", raising=False)


def test_the_shipped_table_is_whole_small_and_says_what_it_is():
    """Under 8 MB, all shards intact, its notice and its measured error in its attributes."""
    table = open_complete(SHIPPED, "tabulate")

    assert sum(map(len, content(SHIPPED).values())) < 8e6
    assert table.settings["demonstration"] is True
    assert table.attributes["notice"] == NOTICE
    assert table.attributes["accuracy"]["median"] <= 1e-4
    assert table.attributes["accuracy"]["p99"] <= 5e-3
    assert table.attributes["accuracy"]["draws"] >= 200


def test_without_a_tree_the_shipped_table_is_copied(no_tree, tmp_path, capsys):
    """The copy has the shipped table's bytes, also after a lost file, and says what it is."""
    out = tmp_path / "ssp.zarr"
    run(out)
    assert content(out) == content(SHIPPED)
    assert NOTICE in capsys.readouterr().out

    (out / ".marks" / "000002.done").unlink()
    (out / "continuum" / "c.4.0.0.0").unlink()
    run(out)
    assert content(out) == content(SHIPPED)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"grid": Grid(pixels=100)}, "grid.pixels: 138"),
        ({"grid": Grid(sampling="point")}, 'grid.sampling: "mean"'),
        ({"physics": Physics(gas_logu=-3.0)}, "physics.gas_logu: -2.0"),
    ],
)
def test_without_a_tree_another_grid_or_model_is_refused(no_tree, tmp_path, changes, key):
    """The message names the key, both values and the mend."""
    with pytest.raises(Mismatch, match="Set SPS_HOME") as error:
        run(tmp_path / "ssp.zarr", **changes)
    assert key in str(error.value)
    assert not (tmp_path / "ssp.zarr").exists()


@settings(deadline=None)
@given(low=st.floats(-2.5, -1), high=st.floats(-0.9, 0.5))
def test_metallicities_cover_the_prior(low, high):
    """Ascending, no wider than 0.05, with the nodes of the nebular tables and the prior inside."""
    columns = {**PRIOR.columns, "logzsol": {"low": low, "high": high}}
    nodes = metallicities(Prior(columns))

    assert (np.diff(nodes) > 0).all() and np.diff(nodes).max() < 0.0501
    assert nodes[0] <= min(low, -2) and nodes[-1] >= max(high, 0.4)
    assert np.isin([-1.98, -0.39, 0.2], nodes).all()


def test_rounding_keeps_the_bits_that_it_promises():
    """Dust moments are right to 14, 10 and 10 bits, and zeros stay zeros."""
    x = np.random.default_rng(0).lognormal(sigma=9, size=(40, 3, 50)) * [[1.0], [-1.0], [1.0]]
    x[3] = 0
    error = np.abs(_rounded(x) - x)

    assert (error <= np.abs(x) * 2.0 ** -np.array([14, 10, 10])[:, None]).all()
    assert (error[:, 1] > np.abs(x[:, 1]) * 2.0**-14).any()
    assert not _rounded(x)[3].any()


@pytest.mark.slow
@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
def test_fsps_makes_the_shipped_table_again(tmp_path):
    """A shard made now is the shipped shard to the bit, if the tree is the one it was made with."""
    if not tree_notice(HOME):
        pytest.skip("the shipped table was made with the stand-in tree")
    store = _create(str(tmp_path / "ssp.zarr"), GRID, PHYSICS, PRIOR, 8, 0.0)
    _tabulate_shard(str(store.path), GRID, PHYSICS, 3)

    shipped, rows = open_store(SHIPPED), store.rows_of(3)
    assert {**store.settings, "code": ""} == {**shipped.settings, "code": ""}
    for name in shipped.sharded:
        # libm and FFT of another machine may move single bits
        least = 1e-9 * np.abs(shipped.read(name, rows)).max()
        assert np.allclose(store.read(name, rows), shipped.read(name, rows), rtol=2e-3, atol=least)


@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
def test_the_measurement_sees_a_wrong_table(tmp_path):
    """The error of the shipped table is small on 30 draws; lines 5 % too weak fail the limit."""
    if not tree_notice(HOME):
        pytest.skip("the shipped table was made with the stand-in tree")
    good = _measure(open_store(SHIPPED), GRID, PHYSICS, PRIOR, 30, 1, 2)
    path = tmp_path / "wrong.zarr"
    shutil.copytree(SHIPPED, path)
    wrong = open_store(path)
    for shard in wrong.shards:
        rows = wrong.rows_of(shard)
        arrays = {name: wrong.read(name, rows) for name in wrong.sharded}
        wrong.write(shard, **arrays | {"lines": 0.95 * arrays["lines"]})
    bad = _measure(wrong, GRID, PHYSICS, PRIOR, 30, 1, 2)

    assert good["median"] <= 1e-4 and good["p99"] <= 5e-3
    assert bad["p99"] > 5 * good["p99"]


def test_the_demonstration_table_is_asked_for(tmp_path, monkeypatch):
    """What is asked for decides, not the environment: no science begins with it by accident."""
    monkeypatch.setenv("SPS_HOME", "/nowhere")
    run(tmp_path / "a.zarr", demo=True)
    assert open_complete(tmp_path / "a.zarr", "tabulate").attributes["notice"] == NOTICE
    for home, demo in (("/nowhere", None), ("/nowhere", False), ("", False)):
        monkeypatch.setenv("SPS_HOME", home)
        with pytest.raises(FspsError, match=r"tabulate\.demo=true"):
            run(tmp_path / "b.zarr", demo=demo)
    run(tmp_path / "c.zarr", demo=None)
