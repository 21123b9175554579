import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tiny

from hpcsbi.cluster.dask_local import Local
from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import Unfinished
from hpcsbi.simulator.nearest_labels import LABELS
from hpcsbi.simulator.observation.noise import FractionalNoise
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.stages.augment import augment
from hpcsbi.store import layout
from hpcsbi.store.opening import Incomplete, open_complete
from hpcsbi.store.settings import Mismatch


def run(path, out: str, cluster, fraction: float = 0.05, copies: int = 5, labels: str = "own"):
    augment(
        str(path / out), str(path / "simulations.zarr"), FractionalNoise(fraction), labels, copies,
        20, 30, 256, 0, cluster,
    )  # fmt: skip
    return path / out


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("augment")
    tiny.pairs(path)
    return path


def test_noise_and_labels_belong_to_the_spectrum(base):
    """Theta is that of the base spectrum, residuals are 5 % of it, copies differ."""
    store = open_complete(run(base, "a.zarr", Serial()), "augment")
    source = open_complete(base / "simulations.zarr", "simulate")
    rows = store.read("base")
    residual = store.read("flux") / source.read("flux")[rows] - 1

    assert np.array_equal(store.read("theta"), source.read("theta")[rows])
    assert abs(residual.std() / 0.05 - 1) < 0.01
    copies = residual[np.flatnonzero(rows == rows[0])]
    assert len(copies) == 5
    assert abs(np.corrcoef(copies) - np.eye(5)).max() < 0.35


def test_nearest_labels_are_the_priors_with_a_spectrum_of_another(base):
    """Of training alone; no training spectrum is nearer. Held-out pairs keep what they were."""
    store = open_complete(run(base, "near.zarr", Serial(), labels="nearest"), "augment")
    own = open_complete(run(base, "own.zarr", Serial()), "augment")
    source, prior = open_complete(base / "simulations.zarr", "simulate"), tiny.prior()
    training = store.read("split") == 0
    theta, rows, others = (store.read(name) for name in ("theta", "base", "split"))
    residual = store.read("flux") / source.read("flux")[rows] - 1
    labels, there = (prior.coordinates(each) for each in (theta, source.read("theta")))
    apart = np.linalg.norm(labels[:, None] - there[None], axis=2)
    apart[:, ~np.isin(np.arange(len(there)), own.read("base")[training])] = np.inf

    assert abs(residual.std() / 0.05 - 1) < 0.01
    assert np.array_equal(rows[training], apart[training].argmin(1))
    assert (apart[training].min(1) > 0).all() and len(np.unique(theta[training], axis=0)) == 1250
    assert np.array_equal(others, own.read("split"))
    for name in ("theta", "base"):
        assert np.array_equal(store.read(name)[~training], own.read(name)[~training])


@pytest.mark.slow
@pytest.mark.parametrize("labels", LABELS)
def test_bytes_do_not_depend_on_where_it_ran(base, tmp_path, labels):
    """Serial, two workers, and a run that lost a shard and its mark: equal bytes."""
    serial, local = f"serial_{labels}.zarr", f"local_{labels}.zarr"
    whole = tiny.all_bytes(run(base, serial, Serial(), labels=labels))
    assert tiny.all_bytes(run(base, local, Local(2, str(tmp_path)), labels=labels)) == whole

    lost = base / serial
    (lost / ".marks" / "000002.done").unlink()
    (lost / "flux" / "c.1.0").write_bytes(b"half")
    assert tiny.all_bytes(run(base, serial, Serial(), labels=labels)) == whole


KILLED = """
import os, signal
from pathlib import Path

import test_augment
from hpcsbi.cluster.executors import Serial
from hpcsbi.store.store import Store

write = Store.write


def write_and_die(self, shard, **arrays):
    if shard == {shard}:
        for name in ("theta", "flux"):
            self.group[name][self.rows_of(shard)] = arrays[name]
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, shard, **arrays)


Store.write = write_and_die
test_augment.run(Path({path!r}), "killed{shard}.zarr", Serial())
"""


@pytest.mark.slow
@pytest.mark.parametrize("shard", [0, 2])
def test_killed_in_the_middle_of_a_shard(base, shard):
    """SIGKILL between two arrays of a shard, then the same call again: equal bytes."""
    whole = tiny.all_bytes(run(base, "whole.zarr", Serial()))
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(shard=shard, path=str(base))],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(here), *sys.path])},
        check=False,
    )
    killed = base / f"killed{shard}.zarr"

    assert done.returncode == -signal.SIGKILL
    assert len(list((killed / ".marks").glob("*.done"))) == shard
    assert tiny.all_bytes(run(base, killed.name, Serial())) == whole


def test_other_noise_is_refused(base):
    """The store is not overwritten by another noise; the key and both values are named."""
    run(base, "noise.zarr", Serial())

    with pytest.raises(Mismatch, match=r"noise\.fraction: 0\.05 in the store, 0\.1 asked"):
        run(base, "noise.zarr", Serial(), fraction=0.1)


def test_damaged_simulations_are_refused(base, tmp_path):
    """What the split needs is read before any noise is drawn, the spectra by who copies them."""
    damaged = tiny.copy(base / "simulations.zarr", tmp_path / "simulations.zarr")
    (damaged / "status" / "c.3").write_bytes(b"all are well, which takes no file")
    with pytest.raises(Incomplete, match=r"shard 3 \(rows 192-255, damaged\).*jobs/simulate"):
        run(tmp_path, "out.zarr", Serial())
    assert not (tmp_path / "out.zarr").exists()

    (damaged / "status" / "c.3").unlink()
    (damaged / "flux" / "c.3.0").unlink()
    with pytest.raises(Unfinished, match=r"shard 3 \(rows 192-255, damaged\).*jobs/simulate"):
        run(tmp_path, "out.zarr", Serial())


class Weighed(Serial):
    """Notes how large a task is that travels to a worker."""

    tasks: ClassVar[list[bytes]] = []

    def map(self, function, pieces, threads=False):
        self.tasks.append(pickle.dumps(function))
        yield from super().map(function, pieces, threads)


def test_a_task_carries_no_rows(base, tmp_path):
    """Which spectra can be used is read once by each process, and not sent with each shard."""
    tiny.copy(base / "simulations.zarr", tmp_path / "simulations.zarr")

    run(tmp_path, "out.zarr", Weighed())

    assert len(Weighed.tasks[0]) < 1500


def test_rows_do_not_depend_on_how_many_a_file_holds(base, monkeypatch):
    """Noise follows from the rows made at a time, and the plan is that of these simulations."""
    whole = open_complete(run(base, "files.zarr", Serial()), "augment")
    monkeypatch.setattr(layout, "SHARDS", 2)
    wide = open_complete(run(base, "wide.zarr", Serial()), "augment")

    assert wide.shard > whole.shard == wide.batch
    for name in whole.sharded:
        np.testing.assert_array_equal(wide.read(name), whole.read(name))


@pytest.mark.parametrize("survey", [False, True], ids=["fractional", "survey"])
def test_pairs_of_a_given_age_are_observed_at_its_redshift(tmp_path, survey):
    """Every copy, whatever the noise; survey windows move with it: no pixel beyond the reddest."""
    prior = tiny.given_prior(survey)
    training = tiny.pairs(tmp_path, survey, n=60, under=prior, copies=2, validation=10, test=10)
    store = open_complete(training, "augment")
    theta, zred, ivar = (store.read(name) for name in ("theta", "zred", "ivar"))
    tage = theta[:, prior.names.index("tage")]

    assert age_of_universe(zred.astype(float)) == pytest.approx(tage, abs=2e-6)
    assert np.unique(zred).size == 60 and prior.given.covers(zred).all()
    beyond = store.read("wave") * (1 + zred[:, None]) > 10400
    assert beyond.any() and (ivar[beyond] == 0).all() == survey
