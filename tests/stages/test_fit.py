"""The yardstick: chains with and without the flow agree, kills change nothing, short ones tell."""

import json
import os
import signal
import subprocess
import sys
import time

import nautilus
import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import xarray
from scipy import stats

from hpcsbi.cluster.deadline import OutOfTime
from hpcsbi.cluster.executors import Array, Serial
from hpcsbi.errors import Unfinished
from hpcsbi.flags import Flag
from hpcsbi.inference.columns.row_checks import OF_DRAWS
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.mcmc.fit_columns import ARRAYS, SPECTRUM
from hpcsbi.run.flows import load_posterior, to_inference_data
from hpcsbi.simulator.pairs import split_of
from hpcsbi.stages import fit as module
from hpcsbi.stages.fit import fit
from hpcsbi.stages.infer import infer
from hpcsbi.statistics.calibration import sbc_ranks
from hpcsbi.statistics.importance_weights import FEWEST
from hpcsbi.store import layout
from hpcsbi.store.layout import Array as StoreArray
from hpcsbi.store.opening import create, open_complete, open_store
from hpcsbi.store.settings import Mismatch
from hpcsbi.store.shards import Elsewhere

pytestmark = pytest.mark.slow

GOOD = 12
SMOOTH = "object 5"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short flow, twelve spectra of its test set, and two with hardly any pixel; a catalogue."""
    path = tmp_path_factory.mktemp("fit")
    training = tiny.pairs(path, n=320, test=GOOD + 2)
    tiny.trained(path, training, steps=500)
    store = open_complete(training, "augment")
    rows = split_of(store.settings, store.rows, "test")
    theta, flux, ivar = (store.read(name, rows) for name in ("theta", "flux", "ivar"))
    flags = np.zeros(len(flux), np.int32)
    ivar[GOOD], flags[GOOD] = -1, Flag.NO_DATA
    ivar[GOOD + 1, 3:], flags[GOOD + 1] = 0, Flag.NO_DATA | Flag.FEW_PIXELS
    ivar[2, :20] = -1
    flux[2, :20] = np.nan
    row = {"row": len(flux)}
    wide = row | {"pixel": flux.shape[1]}
    spectra = create(
        path / "spectra.zarr",
        {
            "id": StoreArray(row, "string"),
            "zred": StoreArray(row, "float64"),
            "flux": StoreArray(wide, "float32"),
            "ivar": StoreArray(wide, "float32"),
            "flags": StoreArray(row, "int32"),
        },
        {"grid": load_posterior(path / "flow").grid.settings(), "survey": "test"},
        len(flux),
        {"notice": ""},
    )
    ids = np.array([f"object {i}" for i in range(len(flux))], dtype=object)
    spectra.write(0, id=ids, zred=np.full(len(flux), 0.1), flux=flux, ivar=ivar, flags=flags)
    infer(
        str(path / "catalogue.zarr"), str(path / "flow"), str(path / "spectra.zarr"), 300, 20, 0,
        True, 16, 0, Serial(),
    )  # fmt: skip
    return path, theta


def fitted(run, name, cluster=None, **options):
    settings = {
        "flow": str(run[0] / "flow"), "spectra": str(run[0] / "spectra.zarr"), "catalogue": None,
        "objects": 2, "engine": "table", "start": "flow", "likelihood": "simulator",
        "moves": "mixed", "walkers": 64, "burn_in": [50], "steps": 3000, "converge": True,
        "block": 50, "draws": 2000, "proposals": 2000, "shard": 1, "seed": 0,
    } | options  # fmt: skip
    fit(out=str(run[0] / name), cluster=cluster or Serial(), **settings)
    return open_complete(run[0] / name, "fit")


@pytest.fixture(scope="module")
def yardstick(run):
    return fitted(run, "fits.zarr")


@pytest.fixture(scope="module")
def smooth(run):
    """Draws of one spectrum, and how many independent ones they are worth."""
    return chain_of(run, "smooth.zarr")


def chain_of(run, name, **options):
    """Coordinates of draws of SMOOTH's chain, and how many independent ones they are worth."""
    store = fitted(run, name, objects=[SMOOTH], draws=8000, proposals=8000, **options)
    assert store.read("converged").all()
    samples = store.read("samples")[0].astype(float)
    worth = np.minimum(store.read("ess")[0], len(samples))
    return load_posterior(run[0] / "flow").prior.coordinates(samples), worth


def agree(one, other):
    """True for two sets of draws of one distribution; a false alarm comes once in 10^5.

    Each coordinate's shares below the quartiles of both together may differ by 5.5 standard errors
    of as many independent draws as half of each set is worth: walkers cross a quartile less often
    than an autocorrelation time, which is that of the mean, says.
    """
    (a, n_a), (b, n_b) = one, other
    levels = np.array([0.1, 0.25, 0.5, 0.75, 0.9])[:, None]
    marks = np.quantile(np.concatenate([a[: len(b)], b[: len(a)]]), levels[:, 0], axis=0)
    below = [(draws <= marks[:, None]).mean(1) for draws in (a, b)]
    error = np.sqrt(levels * (1 - levels) * (2 / n_a + 2 / n_b))
    return (abs(below[0] - below[1]) < 5.5 * error).all()


def distance(a, b, prior):
    """Wasserstein distance of two sets of draws in sd of the first, each coordinate."""
    a, b = (prior.coordinates(one.astype(float)) for one in (a, b))
    far = [stats.wasserstein_distance(*pair) for pair in zip(a.T, b.T, strict=True)]
    return np.array(far) / a.std(0)


def test_chains_converge(yardstick):
    """Every chain passes its own criterion, and holds what it says."""
    assert yardstick.read("converged").all()
    steps, tau = yardstick.read("n_steps"), yardstick.read("tau")
    assert (steps[:, None] >= 50 * tau).all() and (yardstick.read("rhat") < 1.01).all()
    assert yardstick.read("ess") == pytest.approx(64 * steps[:, None] / tau, rel=1e-5)
    samples, quantiles = yardstick.read("samples"), yardstick.read("quantiles")
    below = (samples[:, None] < quantiles[:, :, None]).mean(2)
    assert abs(below - np.array(list(QUANTILES.values()))[:, None]).max() < 0.06
    assert np.isfinite(yardstick.read("log_prob")).all()


def test_flow_is_compared_with_the_chain(run, yardstick):
    """Re-weighted draws agree with it better than the short flow's own, which are the flow's."""
    read = {name: yardstick.read(name) for name in ARRAYS}
    flow, reweighted, halves = read["wasserstein"].swapaxes(0, 1)

    assert np.isfinite(read["flow_samples"]).all() and np.isfinite(read["c2st"]).all()
    assert (halves < 0.2).all() and (reweighted < 0.2).all()
    assert reweighted.mean() < flow.mean()
    prior = load_posterior(run[0] / "flow").prior
    own = [distance(read["samples"][i], read["flow_samples"][i], prior) for i in range(2)]
    np.testing.assert_allclose(flow, own, rtol=0.1, atol=0.1)  # of fewer draws than fit's
    assert (read["weights_ess"][:, 1] >= FEWEST).all() and np.isnan(read["pareto_k"][:, 2]).all()
    assert (read["n_weights"][:, 0] == 2000).all()


def test_checks_are_those_of_the_likelihood(run, yardstick):
    """predictive_p of the chain's draws, by the likelihood's own sigma."""
    posterior = load_posterior(run[0] / "flow")
    spectra = open_complete(run[0] / "spectra.zarr", "ingest")
    flux, ivar = (torch.from_numpy(spectra.read(name, slice(0, 2))) for name in ("flux", "ivar"))
    likelihood = posterior.likelihood
    with torch.no_grad():
        chi2 = likelihood.evaluate(flux, ivar, torch.from_numpy(yardstick.read("samples")))[1]
    expected = stats.chi2.sf(chi2.numpy(), (ivar > 0).sum(1)[:, None].numpy()).mean(1)

    assert yardstick.read("predictive_p") == pytest.approx(expected, abs=0.06)
    assert (yardstick.read("flags") & ~int(OF_DRAWS) == 0).all()


def test_costs_are_told_apart(run, yardstick):
    """CPU seconds of chain, flow and weights, beside the store and not in it."""
    lines = [json.loads(line) for line in (run[0] / "rates.jsonl").read_text().splitlines()]
    told = {line["stage"]: line for line in lines}
    parts = [told[f"fit: {name}"]["worker_seconds"] for name in ("chain", "flow", "weights")]

    assert min(parts) > 0 and parts[0] > parts[1]
    assert told["fit: chain"]["rows"] >= 1


@pytest.mark.parametrize("start", ["prior", "optimiser"])
def test_flow_does_not_decide(run, smooth, start):
    """A chain that never saw the flow converges and gives the same posterior."""
    assert agree(smooth, chain_of(run, f"{start}.zarr", start=start))


def test_what_differs_does_not_agree(smooth):
    """Half a standard deviation in one coordinate, or widths of all that are a third too small."""
    draws, worth = smooth
    shifted, narrow = draws.copy(), draws.mean(0) + (draws - draws.mean(0)) / 1.5
    shifted[:, 3] += 0.5 * draws[:, 3].std()

    assert agree(smooth, smooth)
    assert not agree(smooth, (shifted, worth)) and not agree(smooth, (narrow, worth))


def test_ranks_of_truths_are_uniform(run):
    """Truths lie anywhere in their posteriors, as truths must; the flow's widths do not matter."""
    rows = [i for i in range(GOOD) if i != 2]
    names = [f"object {i}" for i in rows]
    settings = {"objects": names, "steps": 40, "block": 40, "draws": 400, "proposals": 400}
    store = fitted(run, "many.zarr", converge=False, walkers=32, **settings)
    samples = store.read("samples")
    ranks = sbc_ranks(run[1][rows], samples) / samples.shape[1]

    assert 0.3 < ranks.mean() < 0.7 and 0.2 < ranks.std() < 0.38


def test_array_parts_give_the_same_bytes(run, yardstick):
    """Two parts of an array and one process in turn: equal stores."""
    for index in range(2):
        try:
            fitted(run, "parts.zarr", cluster=Array(index, 2))
        except Elsewhere:
            assert index == 0

    assert tiny.all_bytes(run[0] / "parts.zarr") == tiny.all_bytes(yardstick.path)


CHILD = """
import sys
from importlib import import_module
from hpcsbi.cluster.executors import Serial
module = import_module("hpcsbi.stages.fit")
import_module("hpcsbi.run.chain_checkpoint").CHECKPOINT = 0.0
run, out = sys.argv[1:]
module.fit(out=out, flow=run + "/flow", spectra=run + "/spectra.zarr", catalogue=None, objects=2,
    engine="table", start="flow", likelihood="simulator", moves="mixed", walkers=64,
    burn_in=[50], steps=3000, converge=True, block=50, draws=2000, proposals=2000, shard=1,
    seed=0, cluster=Serial())
"""


def test_killed_inside_an_object(run, yardstick):
    """SIGKILL after a checkpoint, then the same call: bytes as if nothing had happened.

    The first one is on a machine that offers four threads to libraries.
    """
    out = run[0] / "killed.zarr"
    offered = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "4")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(run[0]), str(out)],
        env={**os.environ, **offered, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    limit = time.monotonic() + 600
    while not list(out.glob(".states/*.safetensors")) and time.monotonic() < limit:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    states = list(out.glob(".states/*.safetensors"))
    assert states and "done" not in open_store(out).states().values()

    fitted(run, "killed.zarr")
    assert tiny.all_bytes(out) == tiny.all_bytes(yardstick.path)


def test_out_of_time_is_kept(run, yardstick, monkeypatch):
    """At the end of a job the chain stops behind a checkpoint; no shard counts as failed."""
    looks = iter([True] * 4 + [False] * 100)
    with monkeypatch.context() as patch:
        patch.setattr("hpcsbi.run.chain_checkpoint.leaves", lambda seconds: next(looks))
        with pytest.raises(OutOfTime, match="object 0 at step"):
            fitted(run, "later.zarr")
    assert set(open_store(run[0] / "later.zarr").states().values()) == {"missing"}

    fitted(run, "later.zarr")
    assert tiny.all_bytes(run[0] / "later.zarr") == tiny.all_bytes(yardstick.path)


def test_short_chain_says_so_and_goes_on(run, yardstick, capsys):
    """Not converged is kept and flagged; with more steps it becomes the undisturbed chain."""
    short = fitted(run, "short.zarr", steps=50)
    assert not short.read("converged").any() and (short.read("n_steps") == 50).all()
    assert np.isfinite(short.read("samples")).all()
    assert "fit.steps" in capsys.readouterr().out

    fitted(run, "short.zarr", steps=3000)
    assert tiny.all_bytes(run[0] / "short.zarr") == tiny.all_bytes(yardstick.path)


def test_too_few_pixels_are_not_fitted(run, capsys):
    """Negative ivar everywhere and three valid pixels: no numbers, no chain, and it says so."""
    names = [f"object {i}" for i in (0, GOOD, GOOD + 1)]
    store = fitted(run, "few.zarr", objects=names, start="prior", steps=50, converge=False)

    assert store.read("n_steps").tolist() == [50, 0, 0]
    assert not store.read("converged")[1:].any() and np.isnan(store.read("samples")[1:]).all()
    assert "2 spectra are not fitted" in capsys.readouterr().out


def test_masked_pixels_do_not_count(run):
    """Negative ivar, and NaN under it: a chain of what is left, without a flow that needs all."""
    store = fitted(run, "masked.zarr", objects=["object 2"], start="prior", steps=50, walkers=32)

    assert store.read("n_steps") == 50 and np.isfinite(store.read("quantiles")).all()
    assert np.isnan(store.read("flow_samples")).all() and not store.read("n_weights").any()
    assert np.isfinite(store.read("wasserstein")).any(2).tolist() == [[False, False, True]]
    assert np.isfinite(store.read("predictive_p")).all()


def test_catalogue_takes_the_chains(run, yardstick):
    """Rows that were fitted hold the chain's quantiles and say mcmc; the store stays as it was."""
    path = run[0] / "catalogue.zarr"
    before, table = tiny.all_bytes(path), pd.read_parquet(path.with_suffix(".parquet"))
    store = fitted(run, "merged.zarr", catalogue=str(path), objects=2)
    merged = pd.read_parquet(path.with_suffix(".parquet"))

    assert tiny.all_bytes(path) == before
    assert (merged["origin"][:2] == "mcmc").all() and (
        merged["flags"][:2] & int(Flag.WEAK_WEIGHTS) == 0
    ).all()
    level = list(QUANTILES).index("p84")
    assert np.array_equal(merged["tage_p84"][:2], store.read("quantiles")[:, level, 3])
    for name in ("chi2", "predictive_p", "window_p"):
        assert np.array_equal(merged[name][:2], store.read(name))
        assert not np.array_equal(table[name][:2], store.read(name))
    kept = ~int(OF_DRAWS | Flag.WEAK_WEIGHTS)
    assert (merged["flags"][:2] == table["flags"][:2] & kept | store.read("flags")).all()
    pd.testing.assert_frame_equal(merged[2:], table[2:])
    assert merged["tage_flow_p84"].equals(table["tage_flow_p84"])


def test_weak_rows_are_the_queue(run):
    """Without objects those flagged WEAK_WEIGHTS are fitted, and no others."""
    flags = open_complete(run[0] / "catalogue.zarr", "infer").read("flags")
    weak = np.flatnonzero(flags & Flag.WEAK_WEIGHTS)
    out = run[0] / "queue.zarr"
    settings = {"catalogue": str(run[0] / "catalogue.zarr"), "steps": 50, "objects": None}
    if len(weak):
        assert fitted(run, out.name, **settings).read("spectrum").tolist() == weak.tolist()
    else:
        with pytest.raises(FileNotFoundError):
            fitted(run, out.name, **settings)


def test_draws_as_inference_data(run, yardstick):
    """Groups, dimensions and values that ArviZ expects; an object without a chain is an error."""
    tree = to_inference_data(yardstick.path, "object 0")

    assert list(tree["posterior"].data_vars) == list(load_posterior(run[0] / "flow").names)
    assert np.array_equal(tree["posterior"]["tage"][0], yardstick.read("samples")[0, :, 3])
    assert tree["sample_stats"]["lp"].dims == ("chain", "draw")
    with pytest.raises(ValueError, match="no chain of 'nobody'"):
        to_inference_data(yardstick.path, "nobody")


SOME = {"objects": 6, "steps": 30, "block": 30, "converge": False, "draws": 20, "proposals": 20,
        "start": "prior", "walkers": 32}  # fmt: skip


@pytest.fixture
def shared(monkeypatch):
    """Six objects are very many: two files of each array, of four objects and of two."""
    monkeypatch.setattr(layout, "SHARDS", 2)


def test_objects_share_files(run, shared):
    """A file of each array for four objects; the rows are one file and not a setting."""
    store = fitted(run, "shared.zarr", **SOME)
    files = [path for name in store.sharded for path in (store.path / name).glob("c.*")]

    assert (store.shard, store.batch) == (4, 1)
    assert len(ARRAYS) < len(files) <= 2 * len(ARRAYS)  # rows that are all zero take no file
    assert store.read(SPECTRUM).tolist() == list(range(6))
    assert set(store.settings["rows"]) == {"number", "checksum"}
    with pytest.raises(Mismatch, match=r"rows\.checksum"):
        fitted(
            run, "shared.zarr", **SOME | {"objects": [f"object {i}" for i in (1, 0, 2, 3, 4, 5)]}
        )
    opened = xarray.open_zarr(store.path)
    assert opened.quantiles.sel(level=0.5, parameter="tau").dims == ("row",)


def test_killed_between_objects_of_a_file(run, shared, monkeypatch):
    """Chains that had ended are not sampled again, and the bytes are the same."""
    whole, made, real = fitted(run, "undisturbed.zarr", **SOME), [], module._sampled

    def dying(run_, store, row, *rest):
        made.append(row)
        if made == [0, 1, 2]:
            raise MemoryError
        return real(run_, store, row, *rest)

    monkeypatch.setattr(module, "_sampled", dying)
    with pytest.raises(Unfinished):
        fitted(run, "again.zarr", **SOME)
    again = fitted(run, "again.zarr", **SOME)

    assert made == [0, 1, 2, 4, 5, 2, 3]
    assert tiny.all_bytes(again.path) == tiny.all_bytes(whole.path)


def test_kept_chains_go_on_when_they_may_be_longer(run, shared, monkeypatch):
    """A run that was killed, then the same with more steps: as if it had had them at once."""
    longer = SOME | {"steps": 60}
    whole, real = fitted(run, "longer.zarr", **longer), module._sampled

    def dying(run_, store, row, *rest):
        if row == 2:
            raise MemoryError
        return real(run_, store, row, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_sampled", dying)
        with pytest.raises(Unfinished):
            fitted(run, "went_on.zarr", **SOME)
    store = fitted(run, "went_on.zarr", **longer)

    assert (store.read("n_steps") == 60).all()
    assert tiny.all_bytes(store.path) == tiny.all_bytes(whole.path)


def test_wrong_input_is_named(run, yardstick):
    """Unknown choices, ids and another catalogue end before anything is sampled."""
    for name, value in (("engine", "bagpipes"), ("start", "truth"), ("likelihood", "exact")):
        with pytest.raises(ValueError, match=f"fit.{name} is '{value}'"):
            fitted(run, "wrong.zarr", **{name: value})
    with pytest.raises(ValueError, match="no spectrum 'nobody'"):
        fitted(run, "wrong.zarr", objects=["nobody"])
    with pytest.raises(ValueError, match="both null"):
        fitted(run, "wrong.zarr", objects=None)
    with pytest.raises(Mismatch, match="walkers"):
        fitted(run, "fits.zarr", walkers=32)
    with pytest.raises(ValueError, match=r"fit\.draws=2000 of fit\.proposals=10:"):
        fitted(run, "wrong.zarr", proposals=10)


def test_independent_sampler_agrees(run, smooth):
    """Nested sampling by nautilus, on the same likelihood, gives the same posterior."""
    posterior = load_posterior(run[0] / "flow")
    spectra = open_complete(run[0] / "spectra.zarr", "ingest")
    row = int(SMOOTH.split()[1])
    rows = slice(row, row + 1)
    flux, ivar = (torch.from_numpy(spectra.read(name, rows)) for name in ("flux", "ivar"))
    prior = posterior.prior

    def log_likelihood(u):
        theta = prior.theta(prior.low + (prior.high - prior.low) * u)
        return posterior.likelihood(flux, ivar, torch.tensor(theta)[None].float())[0].numpy()

    sampler = nautilus.Sampler(
        lambda u: u, log_likelihood, n_dim=5, n_live=500, vectorized=True, pass_dict=False,
        n_networks=1, seed=1,
    )  # fmt: skip
    with torch.no_grad():
        sampler.run(n_eff=3000)
    u = sampler.posterior(equal_weight=True)[0]

    assert agree(smooth, (prior.low + (prior.high - prior.low) * u, min(sampler.n_eff, len(u))))
