import json

import numpy as np
import pytest
import tiny

from hpcsbi import calibrate as stage
from hpcsbi.calibrate import calibrate
from hpcsbi.cluster import Serial
from hpcsbi.dask_cluster import Local
from hpcsbi.posterior import Posterior
from hpcsbi.store import Mismatch, open_complete


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("calibrate")
    training = tiny.pairs(path, n=450, test=300)
    tiny.trained(path, training, steps=2000)
    return path


def judge(run, out, cluster=None, **options) -> bool:
    settings = {
        "flow": str(run / "flow"),
        "pairs": str(run / "training.zarr"),
        "draws": 100,
        "cap": 20,
        "shard": 128,
        "seed": 0,
    } | options
    return calibrate(out=str(out), cluster=cluster or Serial(), **settings)


def test_a_flow_passes_and_a_narrow_one_fails(run, tmp_path, monkeypatch):
    """The verdict accepts the trained flow, and rejects it when its base is 40 % too narrow."""
    passed = judge(run, tmp_path / "right.zarr")

    transform = Posterior._transform
    monkeypatch.setattr(
        Posterior, "_transform", lambda self, z, *rest: transform(self, 0.6 * z, *rest)
    )
    narrow = judge(run, tmp_path / "narrow.zarr")

    assert passed
    assert not narrow
    verdict = json.loads((tmp_path / "narrow.json").read_text())
    assert verdict["reasons"] and not verdict["passed"]
    assert verdict["parameters"]["logmass"]["coverage"]["0.68"] < 0.6


def test_rows_hold_what_was_judged(run, tmp_path):
    """Truths are those of the test split, ranks count the draws below, quantiles rise."""
    judge(run, tmp_path / "c.zarr")
    store = open_complete(tmp_path / "c.zarr", "calibrate")
    pairs = open_complete(run / "training.zarr", "augment")
    theta = pairs.read("theta")[pairs.read("split") == 2]

    assert np.array_equal(store.read("theta"), theta)
    assert ((store.read("ranks") >= 0) & (store.read("ranks") <= 100)).all()
    assert (np.diff(store.read("quantiles"), axis=2) >= 0).all()
    assert store.attributes["notice"]
    below = (store.read("quantiles")[..., 2] < theta).mean()
    assert abs((store.read("ranks") > 50).mean() - below) < 0.05


def test_bytes_do_not_depend_on_where_it_ran(run, tmp_path):
    """Serial, two workers, and a run that lost a shard: equal bytes of store and verdict."""
    judge(run, tmp_path / "a" / "c.zarr")
    judge(run, tmp_path / "b" / "c.zarr", Local(2, str(tmp_path / "dask")))
    whole = tiny.all_bytes(tmp_path / "a")
    assert tiny.all_bytes(tmp_path / "b") == whole

    (tmp_path / "a" / "c.zarr" / ".marks" / "000001.done").unlink()
    (tmp_path / "a" / "c.json").unlink()
    judge(run, tmp_path / "a" / "c.zarr")
    assert tiny.all_bytes(tmp_path / "a") == whole


def test_pairs_of_another_model_are_refused(run, tmp_path):
    """Another noise or prior than the flow's is told by key before anything is drawn."""
    other = tiny.pairs(tmp_path, survey=True, n=220)

    with pytest.raises(Mismatch, match=r"noise\.kind: \"survey\" in the store, \"fractional\""):
        judge(run, tmp_path / "c.zarr", pairs=str(other))


def test_no_test_pairs(run, tmp_path):
    """Held out is what calibration needs; without it the mend is named."""
    bare = tiny.pairs(tmp_path, n=120, test=0)

    with pytest.raises(ValueError, match=r"augment\.test > 0"):
        judge(run, tmp_path / "c.zarr", pairs=str(bare))
    assert stage.LEVELS == (0.025, 0.16, 0.5, 0.84, 0.975)
