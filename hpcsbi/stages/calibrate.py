"""Calibrate: are posteriors right on spectra never seen? calibration.zarr and a verdict.

Judged is what `infer` publishes: draws re-weighted where the weights are good, cut at the age of
the Universe at the spectrum's redshift. Beside it stands the flow alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hpcsbi.arguments import Count, Natural, checked
from hpcsbi.cluster.executors import Cluster
from hpcsbi.errors import BadInput
from hpcsbi.inference.columns.calibration_columns import arrays_of, columns_without_ranks
from hpcsbi.inference.columns.derived_columns import derived_values
from hpcsbi.inference.columns.row_checks import P_VALUES, predictive_columns
from hpcsbi.inference.sampling.certificate import certify
from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.run.flows import load_posterior, refuse_other_model
from hpcsbi.run.folder import verdict_of
from hpcsbi.run.readers import instruments
from hpcsbi.seeds import generator, object_seed
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.calibration import joint_names, joint_ranks, sbc_ranks, score, tarp_fractions
from hpcsbi.statistics.verdict import IMPROBABLE, verdict, why_blunt
from hpcsbi.store.batches import write_batches
from hpcsbi.store.files import write_atomically
from hpcsbi.store.opening import create, open_complete, open_store, refuse_damage
from hpcsbi.store.provenance import code_of
from hpcsbi.store.schema import store_arrays
from hpcsbi.store.shards import run_shards
from hpcsbi.store.store import Store
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

    Redshifts are drawn without regard to inferred ages, as for training. Of the pairs whose age
    the Universe had reached, theta is flat below that age: what the published posterior takes for
    granted. The others come from no such prior; the verdict on the flow alone, which is not cut at
    an age, has them all. (Redshifts drawn anew until they fit an age would make the old ones rare
    at each redshift.) Columns that are given are known, and not judged.

    Arguments:
        out: the store to write, calibration.zarr; calibration.json beside it holds the verdict.
        flow: folder of the trained flow.
        pairs: store of pairs whose test split is judged; any that has the flow's prior, grid and
            noise, e.g. one made by direct FSPS.
        draws: posterior draws of each spectrum.
        cap: draws made at most of each spectrum, in units of `draws`.
        shard: spectra that are judged at a time.
        seed: seed of the draws.
        cluster: where to run.

    Returns:
        True when the posteriors pass that `infer` would publish.

    Raises:
        Mismatch: the pairs were made with another prior, grid or noise than the flow.
        ValueError: the store holds no test pairs.
    """
    posterior, source = load_posterior(flow), open_complete(pairs, "augment", verify=False)
    refuse_other_model(posterior, source)
    rows = split_of(source.settings, source.rows, "test")
    if rows.start == rows.stop:
        raise BadInput(f"{pairs} holds no test pairs: run jobs/augment.py with augment.test > 0.")
    refuse_damage(source, "augment", rows)
    settings = {
        "code": code_of("calibrate"),
        "flow": posterior.settings,
        "pairs": source.settings,
        "draws": draws,
        "cap": cap,
        "seed": seed,
    }
    notice = posterior.notice or source.attributes["notice"]
    sizes = _sizes(rows.stop - rows.start, posterior)
    arrays = store_arrays(arrays_of(sizes), sizes, _coordinates(posterior), {})
    store = create(out, arrays, settings, shard, {"notice": notice, "levels": list(LEVELS)})
    run_shards(partial(_calibrate_shard, out, flow, pairs), store, cluster, "calibrate")
    judgement = _verdicts(store, posterior) | {"notice": notice}
    write_atomically(verdict_of(Path(out)), json.dumps(judgement, indent=1).encode())
    _tell(judgement)
    return judgement["passed"]


def _verdicts(store: Store, posterior: Posterior) -> dict:
    """The verdict on what is published, that on the flow under "flow", and its score."""
    possible = store.read("possible")
    published, flow = (
        verdict(
            store.read(f"{kind}ranks")[rows][:, posterior.prior.inferred],
            *(store.read(f"{kind}{name}")[rows] for name in ("n_draws", "tarp")),
            posterior.prior.inferred_names,
            derived=_by_quantity(store, f"{kind}derived_ranks", rows),
            joint=store.read(f"{kind}joint_ranks")[rows],
            p_values={name: store.read(f"{kind}{name}")[rows] for name in P_VALUES},
        )
        for kind, rows in (("", possible), ("flow_", np.full(store.rows, True)))
    )
    mean, error = score(store.read("log_prob"))
    reasons = [*published["reasons"], *filter(None, [why_blunt(flow)])]
    return published | {
        "passed": not reasons,
        "reasons": reasons,
        "flow": flow,
        "left_out": int((~possible).sum()),
        "reweighted": float(store.read("reweighted")[possible].mean()),
        "mean_log_prob": mean,
        "mean_log_prob_error": error,
    }


def _by_quantity(store: Store, array: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Ranks of each derived quantity; none without a table."""
    if array not in store.arrays:
        return {}
    names = (str(name) for name in store.read("quantity"))
    return dict(zip(names, store.read(array)[rows].T, strict=True))


def _sizes(rows: int, posterior: Posterior) -> dict[str, int]:
    """Length of every dimension."""
    along = _coordinates(posterior)
    return {"row": rows} | {dim: len(values) for dim, values in along.items()}


def _coordinates(posterior: Posterior) -> dict[str, Sequence]:
    """Names and numbers along every dimension but the rows."""
    names, derived = posterior.names, posterior.derived
    joint = joint_names(posterior.prior.inferred_names)
    along = {"parameter": names, "joint": joint, "level": LEVELS}
    return along if derived is None else along | {"quantity": derived.names}


@dataclass(frozen=True)
class _Pairs:
    """Test pairs: `Prior.coordinates` of each truth, shape (objects, n_theta), and the spectra."""

    truth: np.ndarray
    spectra: Batch

    def __getitem__(self, rows: np.ndarray) -> "_Pairs":
        return _Pairs(self.truth[rows], self.spectra[rows])


def _calibrate_shard(out: str, flow: str, pairs: str, shard: int) -> int:
    store, source, posterior = Store(Path(out)), open_store(pairs), load_posterior(flow)
    write_batches(store, shard, partial(_calibrated, store, source, posterior))
    rows = store.rows_of(shard)
    return rows.stop - rows.start


def _calibrated(
    store: Store, source: Store, posterior: Posterior, rows: slice
) -> dict[str, np.ndarray]:
    """All arrays of some test pairs."""
    settings = store.settings
    first = split_of(source.settings, source.rows, "test").start
    test = slice(first + rows.start, first + rows.stop)
    seeds = np.array(
        [object_seed(settings["seed"], f"test {i}") for i in range(test.start, test.stop)]
    )
    names = ("theta", "flux", "ivar", "zred")
    theta, flux, ivar, zred = (source.read(name, test) for name in names)
    added, _ = instruments(source, test, posterior.model.noise)
    whole = _Pairs(posterior.prior.coordinates(theta), Batch(flux, ivar, seeds, zred, added))
    possible, usable = posterior.prior.inside(whole.truth, zred), posterior.usable(flux, ivar)
    arrays = columns_without_ranks(_sizes(len(possible), posterior))
    arrays |= {"theta": theta, "possible": possible}
    sizes = settings["draws"], settings["cap"]
    rng = generator(settings["seed"], "calibrate", rows.start // store.batch)
    for judged, good in ((_of_flow, usable), (_published, usable & possible)):
        if good.any():
            for name, values in judged(posterior, whole[good], *sizes, rng).items():
                arrays[name][good] = values
    return arrays


def _of_flow(
    posterior: Posterior, pairs: _Pairs, draws: int, cap: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Arrays of the flow alone, of usable spectra."""
    drawn = posterior.sample(pairs.spectra, draws, cap, bounded=False)
    ranks = _ranks(posterior, drawn, pairs, rng)
    return {f"flow_{name}": values for name, values in ranks.items()} | {
        "log_prob": posterior.log_prob(pairs.truth, *pairs.spectra.spectra),
        "acceptance": drawn.acceptance,
    }


def _published(
    posterior: Posterior, pairs: _Pairs, draws: int, cap: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Arrays of what `infer` publishes, of usable spectra that are possible at their redshift."""
    likelihood, levels = posterior.likelihood, list(LEVELS)
    drawn = posterior.sample(pairs.spectra, draws, cap)
    quantiles, arrays = drawn.quantiles(posterior.prior, levels), {}
    if likelihood is not None:
        certificate = certify(posterior, likelihood, drawn, pairs.spectra, levels)
        quantiles = np.where(certificate.reweighted[:, None], certificate.quantiles, quantiles)
        arrays, drawn = {"reweighted": certificate.reweighted}, certificate.draws
    arrays["quantiles"] = np.moveaxis(quantiles, 0, -1)
    return arrays | _ranks(posterior, drawn, pairs, rng)


def _ranks(
    posterior: Posterior, drawn: Draws, pairs: _Pairs, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Where the truths stand among draws, and how well draws foretell their spectra."""
    prior, draws = posterior.prior, (pairs.truth, drawn.coordinates)
    inferred = tuple(coordinates[..., prior.inferred] for coordinates in draws)
    box = prior.low[prior.inferred], prior.high[prior.inferred]
    predictive = predictive_columns(prior, posterior.likelihood, drawn, pairs.spectra)
    derived = {}
    if posterior.derived is not None:
        values = (derived_values(posterior, coordinates) for coordinates in draws)
        derived["derived_ranks"] = sbc_ranks(*values, drawn.kept)
    return derived | {
        "ranks": prior.given.join(sbc_ranks(*inferred, drawn.kept), -1),
        "joint_ranks": joint_ranks(*inferred, drawn.kept),
        "tarp": tarp_fractions(*inferred, *box, rng, drawn.kept),
        **{name: predictive[name] for name in P_VALUES},
        "n_draws": drawn.kept,
    }


def _tell(judgement: dict) -> None:
    left_out = (
        f" ({judgement['left_out']} older than the Universe)" if judgement["left_out"] else ""
    )
    for what, result in (("posteriors", judgement), ("the flow alone", judgement["flow"])):
        print(
            f"{what} on {result['n']} spectra: {'passed' if result['passed'] else 'FAILED'}", end=""
        )
        print(left_out if result is judgement else "")
        print(f"{'parameter':>24}  {'KS p':>6}  coverage of the central intervals")
        for name, figures in (result["parameters"] | result["derived"]).items():
            coverage = "  ".join(
                f"{level}: {share:.3f}" for level, share in figures["coverage"].items()
            )
            print(f"{name:>24}  {figures['ks_p']:6.3f}  {coverage}")
        joint = min((figures["ks_p"] for figures in result["joint"].values()), default=np.nan)
        print(f"{'joint, least':>24}  {joint:6.3f}  of {len(result['joint'])}")
        print(f"{'TARP':>24}  {result['tarp']['ks_p']:6.3f}")
        for name, figures in result["predictive"].items():
            print(f"{name:>24}  {figures['improbable']:6.3f}  of spectra below {IMPROBABLE}")
        for reason in result["reasons"]:
            print(f"  {reason}")
    print(f"re-weighted: {judgement['reweighted']:.3f} of the spectra")
    print(f"mean log probability of the truth: {judgement['mean_log_prob']:.3f} nat")
    if judgement["notice"]:
        tell_once(judgement["notice"])
