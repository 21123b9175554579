import json

import numpy as np
import pytest
import tiny
import torch
from scipy import stats

from hpcsbi.cluster.dask_local import Local
from hpcsbi.cluster.executors import Serial
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.report import tables
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.stages import calibrate as stage
from hpcsbi.stages.calibrate import calibrate
from hpcsbi.stages.compare import compare
from hpcsbi.store.opening import open_complete
from hpcsbi.store.settings import Mismatch

pytestmark = pytest.mark.slow

FEW = 60  # of a hopeless flow, which a fifth of its spectra gives away; each takes the rescue


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


def verdict_of(path):
    return json.loads(path.with_suffix(".json").read_text())


def test_a_flow_passes_and_a_narrow_one_fails(run, tmp_path, monkeypatch):
    """The verdict accepts the trained flow, and rejects it when its base is 40 % too narrow.

    What is published of the narrow one is re-weighted, and right.
    """
    passed = judge(run, tmp_path / "right.zarr")
    right = verdict_of(tmp_path / "right.zarr")

    transform = Posterior._transform
    monkeypatch.setattr(
        Posterior, "_transform", lambda self, z, *rest: transform(self, 0.6 * z, *rest)
    )
    judge(run, tmp_path / "narrow.zarr")
    narrow = verdict_of(tmp_path / "narrow.zarr")

    assert passed and right["passed"] and right["flow"]["passed"]
    assert not narrow["flow"]["passed"] and narrow["flow"]["reasons"]
    assert narrow["flow"]["parameters"]["logmass"]["coverage"]["0.68"] < 0.6
    published = narrow["parameters"]["logmass"]["coverage"]["0.68"]
    assert published > narrow["flow"]["parameters"]["logmass"]["coverage"]["0.68"]
    assert published == pytest.approx(0.68, abs=0.11)  # 4 standard deviations of 300 spectra


@pytest.fixture(scope="module", params=[False, True], ids=["digs", "survey"])
def begun(request, tmp_path_factory):
    """A run whose flow took 30 steps, its prior, and what calibration returned."""
    path, survey = tmp_path_factory.mktemp("begun"), request.param
    training = tiny.pairs(path, survey=survey, n=FEW + 16, validation=10, test=FEW)
    kind = "projection" if survey else "equivariant"
    tiny.trained(path, training, steps=30, representation=kind)
    return path, tiny.prior(survey), judge(path, path / "c.zarr")


def test_thirty_steps_do_not_pass(begun):
    """A flow that has learned next to nothing fails, and so does what is published of it.

    It may be calibrated, as broad as the prior, and weights may be good where they see one mode.
    """
    found = verdict_of(begun[0] / "c.zarr")

    assert not begun[2] and not found["passed"] and "train longer" in found["reasons"][-1]


def test_impossible_pairs_are_of_the_flow_alone(begun):
    """Galaxies older than the Universe at their redshift have no draw, weight or verdict."""
    path, prior, _ = begun
    store = open_complete(path / "c.zarr", "calibrate")
    pairs = open_complete(path / "training.zarr", "augment")
    theta, zred = (pairs.read(name)[-FEW:] for name in ("theta", "zred"))
    found, possible = verdict_of(path / "c.zarr"), prior.support(theta, zred)

    assert np.array_equal(store.read("possible"), possible)
    assert (0 < possible.sum() < FEW) if prior.bound_age else possible.all()
    assert found["n"] == possible.sum() == FEW - found["left_out"] and found["flow"]["n"] == FEW
    assert np.array_equal(store.read("n_draws") > 0, possible)
    assert np.array_equal(np.isfinite(store.read("quantiles")).all((1, 2)), possible)
    assert not store.read("reweighted")[~possible].any()


def test_ages_of_possible_pairs_are_flat_up_to_the_universe():
    """Redshifts are drawn without regard to ages: what is left is what the bounded prior says.

    Control: redshifts drawn again until they fit the age would make old galaxies rare.
    """
    prior, n, wave = tiny.prior(survey=True), 2000, torch.linspace(3750, 9500, 30)
    theta, column = prior.sample(n, np.random.default_rng(0)), prior.names.index("tage")
    generator = torch.Generator().manual_seed(0)

    def redshifts(n):
        return SurveyNoise()(torch.ones(n, 30), wave, None, generator)[2].numpy()

    def p_of(theta, zred):
        width = prior.upper(zred)[:, column] - prior.low[column]
        return stats.kstest((theta[:, column] - prior.low[column]) / width, "uniform").pvalue

    zred = redshifts(n)
    possible = prior.support(theta, zred)
    assert 0.6 < possible.mean() < 0.9 and p_of(theta[possible], zred[possible]) > 1e-4

    again = np.flatnonzero(~possible)
    for _ in range(20):
        zred[again] = redshifts(len(again))
        again = again[~prior.support(theta[again], zred[again])]
    fit = np.setdiff1d(np.arange(n), again)
    assert p_of(theta[fit], zred[fit]) < 1e-12


def test_the_score_has_one_value(run, tmp_path, capsys):
    """In the terminal, in the JSON, on the page and in the sweep's table: the same digits."""
    judge(run, tmp_path / "c.zarr")
    told = capsys.readouterr().out
    store = open_complete(tmp_path / "c.zarr", "calibrate")
    columns = {name: store.read(name) for name in ("log_prob", "n_draws")}
    tiny.copy(run / "flow", tmp_path / "flows" / "a")
    compare(str(tmp_path / "sweep.html"), str(tmp_path), str(run / "training.zarr"), 5, 10, 0)
    sweep = json.loads((tmp_path / "sweep.json").read_text())["flows"][0]

    value = verdict_of(tmp_path / "c.zarr")["mean_log_prob"]
    assert f"{value:.3f} nat" in told
    assert (f"{value:.3f} nat") in dict(tables.calibration_numbers(columns, 0)).values()
    assert sweep["log_prob"] == pytest.approx(value, abs=1e-5)
    assert (columns["log_prob"] < value).any()


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
    derived, names = store.read("derived_ranks"), store.read("quantity").tolist()
    assert ((derived >= 0) & (derived <= 100)).all()
    dust2 = store.read("parameter").tolist().index("dust2")
    assert np.array_equal(derived[:, names.index("av")], store.read("ranks")[:, dust2])
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
