"""Calibrate: is the flow right on spectra it never saw? calibration.zarr and a verdict."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hpcsbi.artifacts import load_posterior, refuse_other_model
from hpcsbi.checks import predicted
from hpcsbi.cluster import Cluster
from hpcsbi.diagnostics import sbc_ranks, tarp_fractions, verdict
from hpcsbi.errors import BadInput
from hpcsbi.files import write_atomically
from hpcsbi.pairs import split_of
from hpcsbi.posterior import Draws, Posterior
from hpcsbi.provenance import code_of
from hpcsbi.seeds import generator, object_seed
from hpcsbi.shards import part_rows, run_shards
from hpcsbi.store import Array, Store, create, open_complete, open_store, refuse_damage

__all__ = ["calibrate"]

IMPROBABLE = 0.01
LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)


def calibrate(
    out: str,
    flow: str,
    pairs: str,
    draws: int,
    cap: int,
    shard: int,
    seed: int,
    cluster: Cluster,
) -> bool:
    """Draw from the posteriors of the held-out test pairs and judge them together.

    Arguments:
        out: the store to write, calibration.zarr; calibration.json beside it holds the verdict.
        flow: folder of the trained flow.
        pairs: store of pairs whose test split is judged; any that has the flow's prior, grid and
            noise, e.g. one made by direct FSPS.
        draws: posterior draws of each spectrum.
        cap: draws made at most of each spectrum, in units of `draws`.
        shard: spectra in a shard.
        seed: seed of the draws.
        cluster: where to run.

    Returns:
        True when the flow passes.

    Raises:
        Mismatch: the pairs were made with another prior, grid or noise than the flow.
        ValueError: the store holds no test pairs.
    """
    part = cluster.part()
    posterior, source = load_posterior(flow), open_complete(pairs, "augment", part is None)
    refuse_other_model(posterior, source)
    rows = split_of(source.settings, source.rows, "test")
    if rows.start == rows.stop:
        raise BadInput(f"{pairs} holds no test pairs: run jobs/augment.py with augment.test > 0.")
    own = rows.start + part_rows(rows.stop - rows.start, shard, part)
    refuse_damage(source, "augment", own)
    settings = {
        "code": code_of("calibrate"),
        "flow": posterior.settings,
        "pairs": source.settings,
        "draws": draws,
        "cap": cap,
        "seed": seed,
    }
    notice = posterior.notice or source.attributes["notice"]
    names = posterior.names
    arrays = _arrays(rows.stop - rows.start, names)
    store = create(out, arrays, settings, shard, {"notice": notice, "levels": list(LEVELS)})
    run_shards(partial(_calibrate_shard, out, flow, pairs), store, cluster, "calibrate")
    found = verdict(store.read("ranks"), store.read("n_draws"), store.read("tarp"), names)
    found["mean_log_prob"] = _renormalised_score(store)
    p = store.read("predictive_p")
    found["improbable"] = (
        float(np.mean(p[np.isfinite(p)] < IMPROBABLE)) if np.isfinite(p).any() else None
    )
    found["notice"] = notice
    write_atomically(Path(out).with_suffix(".json"), json.dumps(found, indent=1).encode())
    _tell(found)
    return found["passed"]


def _arrays(rows: int, names: tuple[str, ...]) -> dict[str, Array]:
    table = {"row": rows, "parameter": len(names)}
    return {
        "theta": Array(table, "float64"),
        "ranks": Array(table, "int32", {"long_name": "draws below the truth"}),
        "quantiles": Array(table | {"level": len(LEVELS)}, "float32"),
        "tarp": Array(
            {"row": rows}, "float32", {"long_name": "draws closer to a random point than the truth"}
        ),
        "log_prob": Array(
            {"row": rows}, "float32", {"long_name": "log density of the truth, tau etc. in log10"}
        ),
        "predictive_p": Array({"row": rows}, "float32"),
        "acceptance": Array({"row": rows}, "float32"),
        "n_draws": Array({"row": rows}, "int32"),
        "parameter": Array({"parameter": len(names)}, "string", values=np.array(names)),
        "level": Array({"level": len(LEVELS)}, "float64", values=np.array(LEVELS)),
    }


def _calibrate_shard(out: str, flow: str, pairs: str, shard: int) -> int:
    torch.set_num_threads(1)
    store, source, posterior = Store(Path(out)), open_store(pairs), load_posterior(flow)
    settings, rows = store.settings, store.rows_of(shard)
    first = split_of(source.settings, source.rows, "test").start
    test = slice(first + rows.start, first + rows.stop)
    theta, flux, ivar = (source.read(name, test) for name in ("theta", "flux", "ivar"))
    seeds = np.array(
        [object_seed(settings["seed"], f"test {i}") for i in range(test.start, test.stop)]
    )
    good = posterior.usable(flux, ivar)
    arrays = _nothing(len(theta), len(posterior.names))
    arrays["theta"] = theta
    if good.any():
        drawn = posterior.sample(
            flux[good], ivar[good], settings["draws"], seeds[good], cap=settings["cap"]
        )
        rng = generator(settings["seed"], "calibrate", shard)
        judged = _judge(posterior, drawn, theta[good], flux[good], ivar[good], rng)
        checked = predicted(posterior.likelihood, drawn, flux[good], ivar[good])
        judged["predictive_p"] = checked["predictive_p"]
        for name, values in judged.items():
            arrays[name][good] = values
    store.write(shard, **arrays)
    return len(theta)


def _judge(
    posterior: Posterior,
    drawn: Draws,
    theta: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    prior = posterior.prior
    samples = np.nan_to_num(drawn.theta, nan=1.0)
    quantiles = np.full((*theta.shape, len(LEVELS)), np.nan, dtype=np.float32)
    enough = drawn.kept > 0
    quantiles[enough] = np.moveaxis(np.nanquantile(drawn.theta[enough], LEVELS, axis=1), 0, -1)
    return {
        "ranks": sbc_ranks(theta, samples, drawn.kept),
        "quantiles": quantiles,
        "tarp": tarp_fractions(
            prior.coordinates(theta),
            prior.coordinates(samples),
            prior.low,
            prior.high,
            rng,
            drawn.kept,
        ),
        "log_prob": posterior.log_prob(theta, flux, ivar),
        "acceptance": drawn.acceptance,
        "n_draws": drawn.kept,
    }


def _nothing(rows: int, n_theta: int) -> dict[str, np.ndarray]:
    nan = partial(np.full, fill_value=np.nan, dtype=np.float32)
    return {
        "ranks": np.full((rows, n_theta), -1, dtype=np.int32),
        "quantiles": nan((rows, n_theta, len(LEVELS))),
        "tarp": nan(rows),
        "log_prob": nan(rows),
        "predictive_p": nan(rows),
        "acceptance": nan(rows),
        "n_draws": np.zeros(rows, dtype=np.int32),
    }


def _renormalised_score(store: Store) -> float:
    """Mean log density of the truths, the flow's mass outside the prior given back."""
    score = store.read("log_prob") - np.log(np.maximum(store.read("acceptance"), 1e-3))
    return float(np.nanmean(score))


def _tell(found: dict) -> None:
    print(f"calibration on {found['n']} spectra: {'passed' if found['passed'] else 'FAILED'}")
    print(f"{'parameter':>14}  {'KS p':>6}  coverage of the central intervals")
    for name, figures in found["parameters"].items():
        coverage = "  ".join(
            f"{level}: {share:.3f}" for level, share in figures["coverage"].items()
        )
        print(f"{name:>14}  {figures['ks_p']:6.3f}  {coverage}")
    print(f"{'TARP':>14}  {found['tarp']['ks_p']:6.3f}")
    print(f"mean log probability of the truth: {found['mean_log_prob']:.3f} nat")
    if found["improbable"] is not None:
        print(f"predictive p-value below {IMPROBABLE}: {found['improbable']:.3f} of the spectra")
    for reason in found["reasons"]:
        print(f"  {reason}")
    if found["notice"]:
        print(found["notice"])
