import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas
import pytest
import tiny

from hpcsbi.cluster.dask_local import Local
from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fsps_spectra import FspsError
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.table.ssp_arrays import NOTICE
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.simulate import read_theta, simulate
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.store.opening import open_complete, open_store
from hpcsbi.store.settings import Mismatch

HOME = os.environ.get("SPS_HOME")
COLUMNS = tiny.columns("digs") | {"logzsol": {"low": -1.0, "high": 0.2}}
PRIOR = Prior(COLUMNS)
RUN = """
from hpcsbi.stages.simulate import simulate
from hpcsbi.cluster.executors import Serial
from hpcsbi.grid import Grid
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.simulator.galaxy.physics import Physics
simulate({out!r}, "table", {n}, None, 256, Prior({columns!r}), Grid(), Physics(), {table!r}, 0,
         Serial())
"""


def run(out, **changes):
    arguments = {
        "source": "table",
        "n": 3000,
        "theta": None,
        "shard": 1024,
        "prior": PRIOR,
        "grid": Grid(),
        "physics": Physics(),
        "table": str(SHIPPED),
        "seed": 0,
        "cluster": Serial(),
    }
    simulate(str(out), **{**arguments, **changes})
    return open_complete(out, "simulate")


def content(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(Path(path).rglob("*"))
        if file.is_file()
    }


def forget(path, shard):
    """Undo a shard as a kill would leave it: no mark, and one array not written."""
    (path / ".marks" / f"{shard:06d}.done").unlink()
    (path / "flux" / f"c.{shard}.0").unlink()


def test_rows_are_draws_of_the_prior_and_their_spectra(tmp_path):
    """Shapes, ranges, status, settings and notice of a store are as the contract says."""
    store = run(tmp_path / "s.zarr")
    theta, flux = store.read("theta"), store.read("flux")

    assert theta.shape == (3000, 5) and flux.shape == (3000, 138)
    assert PRIOR.support(theta).all() and len(np.unique(theta[:, 0])) == 3000
    assert (flux > 0).all() and not store.read("status").any()
    assert tuple(store.read("parameter")) == PRIOR.names
    assert store.settings["table"] == open_store(SHIPPED).settings
    assert store.attributes["notice"] == NOTICE


@pytest.mark.slow
def test_the_same_bytes_from_any_workers_and_after_a_kill(tmp_path):
    """Serial, two processes of a Dask cluster, and a run that lost a shard agree to the byte."""
    run(tmp_path / "a.zarr")
    run(tmp_path / "b.zarr", cluster=Local(2, str(tmp_path / "dask")))
    forget(tmp_path / "b.zarr", 1)
    run(tmp_path / "b.zarr")

    assert content(tmp_path / "a.zarr") == content(tmp_path / "b.zarr")
    run(tmp_path / "c.zarr", seed=1)  # negative control
    assert content(tmp_path / "a.zarr") != content(tmp_path / "c.zarr")


@pytest.mark.slow
def test_a_killed_process_is_resumed_to_the_same_bytes(tmp_path):
    """SIGKILL in the middle, then the same command: as if nothing had happened."""
    columns = {name: dict(column) for name, column in COLUMNS.items()}
    code = RUN.format(out=str(tmp_path / "k.zarr"), n=40_000, columns=columns, table=str(SHIPPED))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL
    )
    marks, deadline = tmp_path / "k.zarr" / ".marks", time.time() + 60
    while len(list(marks.glob("*.done"))) < 5 and time.time() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(marks.glob("*.done")))

    run(tmp_path / "k.zarr", n=40_000, shard=256)
    run(tmp_path / "whole.zarr", n=40_000, shard=256)

    assert 5 <= done < 157
    assert content(tmp_path / "k.zarr") == content(tmp_path / "whole.zarr")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_of_a_file_are_simulated_in_order(tmp_path, suffix):
    """Columns are found by name, others are left out, and every row is simulated."""
    theta = PRIOR.sample(50, np.random.default_rng(0))
    frame = pandas.DataFrame(theta[:, ::-1], columns=PRIOR.names[::-1]).assign(id=range(50))
    path = str(tmp_path / f"theta{suffix}")
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)

    store = run(tmp_path / "s.zarr", theta=path, n=7, shard=16)

    assert np.allclose(store.read("theta"), theta, rtol=1e-15)
    assert store.rows == store.settings["n"] == 50
    frame.iloc[::-1].to_parquet(tmp_path / "other.parquet")
    with pytest.raises(Mismatch, match="theta"):
        run(tmp_path / "s.zarr", theta=str(tmp_path / "other.parquet"), n=7, shard=16)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.drop(columns="tau"), "also needs tau"),
        (lambda f: f.iloc[:0], "0 rows"),
        (
            lambda f: f.assign(tage=[1.0, 2.0, np.nan, 1.0]),
            r"row 2 has tage = nan.*0.0 to 4.0 \(Gyr\)",
        ),
        (lambda f: f.assign(dust2=[1.0, 20.0, 30.0, 1.0]), "row 1 has dust2 = 20.0.*2 of 4 rows"),
        (lambda f: f.assign(tau=["a", "b", "c", "d"]), "tau is not of numbers"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything_starts(tmp_path, change, says):
    """The message names file, row, column, value and range, and no store is made."""
    frame = pandas.DataFrame(PRIOR.sample(4, np.random.default_rng(0)), columns=PRIOR.names)
    path = str(tmp_path / "theta.csv")
    change(frame).to_csv(path, index=False)

    with pytest.raises(ValueError, match=says) as error:
        run(tmp_path / "s.zarr", theta=path)
    assert str(error.value).startswith(path)
    assert not (tmp_path / "s.zarr").exists()


def test_any_byte_of_a_file_of_parameters_may_be_wrong(tmp_path):
    """What pyarrow says of a page, which names no file, is told with it."""
    path = tmp_path / "theta.parquet"
    rows = PRIOR.sample(4, np.random.default_rng(0))
    pandas.DataFrame(rows, columns=PRIOR.names).to_parquet(path)
    raw, refused = path.read_bytes(), 0

    for place in range(0, 300, 5):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 255]) + raw[place + 1 :])
        try:
            read_theta(str(path), PRIOR)
        except BadInput as error:
            refused += 1
            assert "theta.parquet" in str(error) and "\n" not in str(error)
    assert refused > 5


def test_the_ends_of_the_prior_are_inside(tmp_path):
    """A row on the bounds is allowed, also in columns that are flat in log."""
    ends = [[getattr(column, end) for column in PRIOR.columns.values()] for end in ("low", "high")]
    pandas.DataFrame(ends, columns=PRIOR.names).to_csv(tmp_path / "ends.csv", index=False)

    assert read_theta(str(tmp_path / "ends.csv"), PRIOR).tolist() == ends
    with pytest.raises(ValueError, match=r"\.parquet or a \.csv"):
        read_theta(str(tmp_path / "ends.txt"), PRIOR)


def test_a_file_holds_the_given_column_too(tmp_path):
    """An age that the redshift gives stands in the file as the others do, in its range."""
    prior, path = tiny.given_prior(), tmp_path / "given.csv"
    frame = pandas.DataFrame(prior.sample(4, np.random.default_rng(0)), columns=prior.names)
    frame.to_csv(path, index=False)

    assert np.allclose(read_theta(str(path), prior), frame.to_numpy(), rtol=1e-15)
    frame.assign(tage=[7.0, 3.0, 7.0, 7.0]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"row 1 has tage = 3\.0, the prior allows 6\.5 to 13\.75"):
        read_theta(str(path), prior)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"source": "bc03"}, ValueError, "choose from table, fsps"),
        ({"grid": Grid(pixels=100)}, Mismatch, "grid.pixels: 138 in the store, 100 asked"),
        ({"physics": Physics(dust_type=0)}, Mismatch, "physics.dust_type"),
        (
            {"prior": Prior({**COLUMNS, "logzsol": {"low": -2.4, "high": 0}})},
            ValueError,
            "logzsol spans -2.4",
        ),
        ({"table": "no/such.zarr"}, FileNotFoundError, "no/such.zarr"),
    ],
)
def test_what_does_not_fit_the_table_is_refused(tmp_path, changes, error, says):
    """Another grid, model or range is named before any row is made."""
    with pytest.raises(error, match=says):
        run(tmp_path / "s.zarr", **changes)
    assert not (tmp_path / "s.zarr").exists()


def test_fsps_without_a_tree_is_refused(tmp_path, monkeypatch):
    """source=fsps says what is missing and how to get it, and leaves no store."""
    monkeypatch.delenv("SPS_HOME", raising=False)
    with pytest.raises(FspsError, match=r"SPS_HOME is not set.*git clone"):
        run(tmp_path / "s.zarr", source="fsps")
    assert not (tmp_path / "s.zarr").exists()


@pytest.mark.slow
@pytest.mark.fsps
@pytest.mark.skipif(not HOME, reason="SPS_HOME is not set")
def test_fsps_gives_the_same_bytes_from_any_workers_and_after_a_kill(tmp_path):
    """Children of one process or of a Dask worker's threads, killed or not: the same store."""
    small = {"source": "fsps", "n": 24, "shard": 8}
    store = run(tmp_path / "a.zarr", **small)
    run(tmp_path / "b.zarr", cluster=Local(2, str(tmp_path / "dask")), **small)
    forget(tmp_path / "b.zarr", 1)
    run(tmp_path / "b.zarr", **small)

    assert content(tmp_path / "a.zarr") == content(tmp_path / "b.zarr")
    assert not store.read("status").any()
    assert store.settings["table"] is None
