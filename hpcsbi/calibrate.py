"""Calibrate: are posteriors right on spectra never seen? calibration.zarr and a verdict.

Judged is what `infer` publishes: draws re-weighted where the weights are good, cut at the age of
the Universe at the spectrum's redshift. Beside it stands the flow alone.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hpcsbi.arguments import Count, Natural, checked
from hpcsbi.artifacts import load_posterior, refuse_other_model
from hpcsbi.certificate import certify
from hpcsbi.checks import predicted
from hpcsbi.cluster import Cluster
from hpcsbi.diagnostics import (
    IMPROBABLE,
    blunt,
    joint_names,
    joint_ranks,
    sbc_ranks,
    score,
    tarp_fractions,
    verdict,
)
from hpcsbi.errors import BadInput
from hpcsbi.files import write_atomically
from hpcsbi.pairs import split_of
from hpcsbi.posterior import Draws, Posterior
from hpcsbi.provenance import code_of
from hpcsbi.seeds import generator, object_seed
from hpcsbi.shards import part_rows, run_shards
from hpcsbi.store import Array, Store, create, open_complete, open_store, refuse_damage
from hpcsbi.terminal import tell_once

__all__ = ["calibrate"]

LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)


@checked()
def calibrate(
    out: str,
    flow: str,
    pairs: str,
    draws: Count,
    cap: Count,
    shard: Count,
    seed: Natural,
    cluster: Cluster,
) -> bool:
    """Draw from the posteriors of the held-out test pairs and judge them together.

    A spectrum whose true age the Universe had not reached at its redshift comes from no prior that
    ends there: the verdict on what is published leaves it out.

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
        True when the posteriors pass that `infer` would publish.

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
    found = _verdicts(store, names) | {"notice": notice}
    write_atomically(Path(out).with_suffix(".json"), json.dumps(found, indent=1).encode())
    _tell(found)
    return found["passed"]


def _verdicts(store: Store, names: tuple[str, ...]) -> dict:
    """The verdict on what is published, that on the flow under "flow", and its score."""
    possible = store.read("possible")
    published, flow = (
        verdict(
            *(store.read(f"{kind}{name}")[rows] for name in ("ranks", "n_draws", "tarp")),
            names,
            joint=store.read(f"{kind}joint_ranks")[rows],
            predictive_p=store.read(f"{kind}predictive_p")[rows],
        )
        for kind, rows in (("", possible), ("flow_", np.full(store.rows, True)))
    )
    mean, error = score(store.read("log_prob"))
    reasons = [*published["reasons"], *filter(None, [blunt(flow)])]
    return published | {
        "passed": not reasons,
        "reasons": reasons,
        "flow": flow,
        "left_out": int((~possible).sum()),
        "reweighted": float(store.read("reweighted")[possible].mean()),
        "mean_log_prob": mean,
        "mean_log_prob_error": error,
    }


def _arrays(rows: int, names: tuple[str, ...]) -> dict[str, Array]:
    table = {"row": rows, "parameter": len(names)}
    joint = joint_names(names)
    of_each = {
        "ranks": Array(table, "int32", {"long_name": "draws below the truth"}),
        "joint_ranks": Array({"row": rows, "joint": len(joint)}, "int32"),
        "tarp": Array(
            {"row": rows}, "float32", {"long_name": "draws closer to a random point than the truth"}
        ),
        "predictive_p": Array({"row": rows}, "float32"),
        "n_draws": Array({"row": rows}, "int32"),
    }
    return {
        "theta": Array(table, "float64"),
        "possible": Array({"row": rows}, "bool", {"long_name": "age below the Universe's"}),
        "quantiles": Array(table | {"level": len(LEVELS)}, "float32"),
        **of_each,
        **{f"flow_{name}": array for name, array in of_each.items()},
        "reweighted": Array({"row": rows}, "bool", {"long_name": "draws are re-weighted ones"}),
        "log_prob": Array(
            {"row": rows}, "float32", {"long_name": "log density of the truth, tau etc. in log10"}
        ),
        "acceptance": Array({"row": rows}, "float32"),
        "parameter": Array({"parameter": len(names)}, "string", values=np.array(names)),
        "joint": Array({"joint": len(joint)}, "string", values=np.array(joint)),
        "level": Array({"level": len(LEVELS)}, "float64", values=np.array(LEVELS)),
    }


def _calibrate_shard(out: str, flow: str, pairs: str, shard: int) -> int:
    torch.set_num_threads(1)
    store, source, posterior = Store(Path(out)), open_store(pairs), load_posterior(flow)
    settings, rows = store.settings, store.rows_of(shard)
    first = split_of(source.settings, source.rows, "test").start
    test = slice(first + rows.start, first + rows.stop)
    names = ("theta", "flux", "ivar", "zred")
    theta, flux, ivar, zred = (source.read(name, test) for name in names)
    seeds = np.array(
        [object_seed(settings["seed"], f"test {i}") for i in range(test.start, test.stop)]
    )
    arrays = _nothing(len(theta), len(posterior.names))
    arrays |= {"theta": theta, "possible": posterior.prior.support(theta, zred)}
    good = posterior.usable(flux, ivar)
    if good.any():
        rng = generator(settings["seed"], "calibrate", shard)
        spectra = theta[good], flux[good], ivar[good]
        for name, values in _judged(posterior, *spectra, zred[good], seeds[good], settings, rng):
            arrays[name][good] = values
    store.write(shard, **arrays)
    return len(theta)


def _judged(
    posterior: Posterior,
    theta: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    zred: np.ndarray,
    seeds: np.ndarray,
    settings: dict,
    rng: np.random.Generator,
) -> Iterator[tuple[str, np.ndarray]]:
    """Names and values of the arrays, of usable spectra."""
    likelihood = posterior.likelihood
    draw = partial(posterior.sample, flux, ivar, settings["draws"], seeds, cap=settings["cap"])
    free = draw()
    best = draw(zred=zred) if posterior.prior.bound_age else free
    if likelihood is not None:
        certificate = certify(posterior, likelihood, best, flux, ivar, zred, seeds, list(LEVELS))
        best = certificate.draws
        yield "reweighted", certificate.reweighted
    for kind, drawn in (("flow_", free), ("", best)):
        for name, values in _ranks(posterior, drawn, theta, rng).items():
            yield kind + name, values
        yield kind + "predictive_p", predicted(likelihood, drawn, flux, ivar)["predictive_p"]
        yield kind + "n_draws", drawn.kept
    yield "quantiles", _quantiles(best)
    yield "log_prob", posterior.log_prob(theta, flux, ivar)
    yield "acceptance", free.acceptance


def _ranks(
    posterior: Posterior, drawn: Draws, theta: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    prior = posterior.prior
    samples = np.nan_to_num(drawn.theta, nan=1.0)
    truth, others = prior.coordinates(theta), prior.coordinates(samples)
    return {
        "ranks": sbc_ranks(theta, samples, drawn.kept),
        "joint_ranks": joint_ranks(truth, others, drawn.kept),
        "tarp": tarp_fractions(truth, others, prior.low, prior.high, rng, drawn.kept),
    }


def _quantiles(drawn: Draws) -> np.ndarray:
    """Quantiles of draws, NaN where there are none, shape (rows, n_theta, levels)."""
    quantiles = np.full((len(drawn.kept), drawn.theta.shape[2], len(LEVELS)), np.nan)
    enough = drawn.kept > 0
    quantiles[enough] = np.moveaxis(np.nanquantile(drawn.theta[enough], LEVELS, axis=1), 0, -1)
    return quantiles


def _nothing(rows: int, n_theta: int) -> dict[str, np.ndarray]:
    nan = partial(np.full, fill_value=np.nan, dtype=np.float32)
    of_each = {
        "ranks": np.full((rows, n_theta), -1, dtype=np.int32),
        "joint_ranks": np.full((rows, 3 * n_theta * (n_theta - 1) // 2), -1, dtype=np.int32),
        "tarp": nan(rows),
        "predictive_p": nan(rows),
        "n_draws": np.zeros(rows, dtype=np.int32),
    }
    return {
        **of_each,
        **{f"flow_{name}": values.copy() for name, values in of_each.items()},
        "quantiles": nan((rows, n_theta, len(LEVELS))),
        "reweighted": np.zeros(rows, bool),
        "log_prob": nan(rows),
        "acceptance": nan(rows),
    }


def _tell(found: dict) -> None:
    left_out = f" ({found['left_out']} older than the Universe)" if found["left_out"] else ""
    for what, one in (("posteriors", found), ("the flow alone", found["flow"])):
        print(f"{what} on {one['n']} spectra: {'passed' if one['passed'] else 'FAILED'}", end="")
        print(left_out if one is found else "")
        print(f"{'parameter':>14}  {'KS p':>6}  coverage of the central intervals")
        for name, figures in one["parameters"].items():
            coverage = "  ".join(
                f"{level}: {share:.3f}" for level, share in figures["coverage"].items()
            )
            print(f"{name:>14}  {figures['ks_p']:6.3f}  {coverage}")
        joint = min((figures["ks_p"] for figures in one["joint"].values()), default=np.nan)
        print(f"{'joint, least':>14}  {joint:6.3f}  of {len(one['joint'])}")
        print(f"{'TARP':>14}  {one['tarp']['ks_p']:6.3f}")
        if one["predictive"]["p"] is not None:
            print(f"predictive p-value below {IMPROBABLE}: {one['predictive']['improbable']:.3f}")
        for reason in one["reasons"]:
            print(f"  {reason}")
    print(f"re-weighted: {found['reweighted']:.3f} of the spectra")
    print(f"mean log probability of the truth: {found['mean_log_prob']:.3f} nat")
    if found["notice"]:
        tell_once(found["notice"])
