"""Fit: converged MCMC of chosen spectra, the yardstick of the flow, fits.zarr.

One object is one shard, so all ways of the cluster work, and inside an object the chain is kept in
a checkpoint once a minute: a kill costs a minute, and the bytes are those of a run without it.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np

from hpcsbi.arguments import AtLeast, Count, Natural, OneOf, checked
from hpcsbi.cluster.deadline import OutOfTime, leaves
from hpcsbi.cluster.executors import Cluster
from hpcsbi.errors import BadInput
from hpcsbi.flags import NOT_INFERRED, Flag, legend
from hpcsbi.inference.certificate import QUANTILES
from hpcsbi.inference.posterior import Posterior
from hpcsbi.mcmc.chain import MOVES, Chain, Settings, advance, is_finished
from hpcsbi.mcmc.fit_columns import ARRAYS, METHODS, empty_columns
from hpcsbi.mcmc.flow_against_chain import PARTS, clock, object_columns
from hpcsbi.mcmc.likelihoods import ENGINES, LIKELIHOODS, likelihood_of, log_likelihoods
from hpcsbi.mcmc.starts import STARTS, target_and_first_chain
from hpcsbi.run.catalogue import write_catalogue
from hpcsbi.run.flows import load_posterior
from hpcsbi.run.folder import FlowFolder
from hpcsbi.run.merges import CATALOGUE
from hpcsbi.seeds import generator, object_seed
from hpcsbi.simulator.batch import Batch
from hpcsbi.store.files import load_weights, save_weights
from hpcsbi.store.machine import machine, unlike
from hpcsbi.store.provenance import code_of
from hpcsbi.store.settings import refuse_other_settings
from hpcsbi.store.shards import Costs, part_rows, run_shards
from hpcsbi.store.store import Array, Store, create, open_complete, open_store, refuse_damage
from hpcsbi.terminal import tell_once

__all__ = ["fit"]

CHECKPOINT = 60.0  # seconds between two of one chain: most chains are shorter
STATES = ".states"  # folder in the store: chains under way, and those that have not converged


def _even(walkers: int) -> None:
    if walkers % 2:
        raise BadInput(f"fit.walkers={walkers}: an even number from 16.")


def _enough(draws: int, proposals: int) -> None:
    if draws > proposals:
        raise BadInput(f"fit.draws={draws} of fit.proposals={proposals}: 1 to all of them.")


def _something(objects: int | Sequence[str] | None, catalogue: str | None) -> None:
    if objects is None and catalogue is None:
        raise BadInput("fit.objects and fit.catalogue are both null: what is to be fitted?")


@checked(_even, _enough, _something)
def fit(
    out: str,
    flow: str,
    spectra: str,
    catalogue: str | None,
    objects: Natural | Sequence[str | int] | None,
    engine: Annotated[str, OneOf(ENGINES)],
    start: Annotated[str, OneOf(STARTS)],
    likelihood: Annotated[str, OneOf(LIKELIHOODS)],
    moves: Annotated[str, OneOf(MOVES)],
    walkers: Annotated[int, AtLeast(16)],
    burn_in: Sequence[Count],
    steps: Count,
    converge: bool,
    block: Count,
    draws: Count,
    proposals: Count,
    shard: Count,
    seed: Natural,
    cluster: Cluster,
) -> None:
    """Sample the posterior of chosen spectra by emcee until it has converged.

    A chain that has not when its budget ends is kept with `converged` false; a later call with
    more `steps` goes on from there. Beside it stand draws of the flow, as they are and weighted by
    the chain's likelihood, and how far they are from the chain.

    Quantiles and checks of converged chains go into catalogue.parquet with origin "mcmc", and take
    the flag WEAK_WEIGHTS away; catalogue.zarr stays as it is. Whichever of `infer` and `fit` comes
    last, the file is the same.

    Arguments:
        out: the store to write, fits.zarr.
        flow: folder of the trained flow: it gives prior, table and noise, and `start` may use it.
        spectra: the store of spectra.
        catalogue: catalogue.zarr of this flow and these spectra; None for none.
        objects: ids, or a number of first rows; None for those that the catalogue flags
            WEAK_WEIGHTS.
        engine: "table", or "prospector" for FSPS itself (0.05 s a likelihood; takes SPS_HOME).
        start: "flow" (and the flow's base space), or without the flow "prior" or "optimiser"
            (in amplitude, dust and mean age of the spectrum, `spaces.Anchored`).
        likelihood: "simulator" (what trained the flow) or "given" (the quoted sigma, the paper's).
        moves: "mixed", or "stretch" for plain stretch moves in the prior's box.
        walkers: number of them.
        burn_in: steps of the rounds that do not count.
        steps: longest chain.
        converge: end as soon as a chain has converged; else after `steps`.
        block: steps between two looks at the clock and at convergence, more in long chains.
        draws: draws that the store keeps, equally spaced in the chain.
        proposals: draws of the flow that are compared with the chain, and weighted; at least
            `draws`.
        shard: objects in a shard.
        seed: seed of the chains; that of an object depends on it and on the object's id only.
        cluster: where to run.

    Raises:
        Mismatch: spectra on another grid than the flow's, or another catalogue.
        ValueError: an unknown choice or id.
        OutOfTime: the job ends first; the same command goes on.
    """
    chain = Settings(moves, burn_in, steps, converge, block)
    part = cluster.part()
    posterior, source = load_posterior(flow), open_complete(spectra, "ingest", part is None)
    if posterior.ssp is None:
        table = FlowFolder(Path(flow)).table
        raise BadInput(f"{table} is not there: run jobs/tabulate.py and train again.")
    refuse_other_settings(
        spectra,
        source.settings["grid"],
        posterior.grid.settings(),
        "Ingest the spectra on the flow's grid (asked), or name another fit.flow.",
    )
    target = _catalogue(catalogue, objects, posterior, source, part is None)
    rows = _chosen(objects, source, target)
    refuse_damage(source, "ingest", rows[part_rows(len(rows), shard, part)])
    if not len(rows):
        print("fit: no spectrum is asked for (fit.objects), and none has weak weights.")
        return
    settings = {
        "code": code_of("fit"),
        "flow": posterior.settings,
        "spectra": source.settings,
        "rows": rows.tolist(),
        "engine": engine,
        "start": start,
        "likelihood": likelihood,
        "chain": {name: value for name, value in asdict(chain).items() if name != "steps"},
        "walkers": walkers,
        "draws": draws,
        "proposals": proposals,
        "seed": seed,
    }
    notice = posterior.notice or source.attributes.get("notice", "")
    arrays = _arrays(_sizes(len(rows), posterior, draws), posterior.names)
    into = None if catalogue is None else os.path.relpath(catalogue, Path(out).parent)
    store = create(out, arrays, settings, shard, {"notice": notice, CATALOGUE: into})
    if into is not None and store.attributes.get(CATALOGUE) != into:
        store.group.attrs[CATALOGUE] = into
    again, work = partial(_goes_on, store, steps), _Run(out, flow, spectra, chain)
    run_shards(partial(_fit_shard, work), store, cluster, "fit", again=again)
    if target is not None:
        write_catalogue(target.path)
    _tell(store, notice)


@dataclass(frozen=True)
class _Run:
    """What every shard needs."""

    out: str
    flow: str
    spectra: str
    chain: Settings


def _catalogue(
    catalogue: str | None,
    objects: int | Sequence[str] | None,
    posterior: Posterior,
    source: Store,
    verify: bool,
) -> Store | None:
    """The catalogue to merge into; none where none is asked for, or there yet."""
    if catalogue is None or (objects is not None and not Path(catalogue).exists()):
        return None
    store = open_complete(catalogue, "infer", verify)
    refuse_other_settings(
        catalogue,
        {name: store.settings[name] for name in ("flow", "spectra")},
        {"flow": posterior.settings, "spectra": source.settings},
        "Name the catalogue of this flow and these spectra, or fit.catalogue=null.",
    )
    return store


def _chosen(
    objects: int | Sequence[str] | None, source: Store, catalogue: Store | None
) -> np.ndarray:
    """Rows of the spectra that are fitted."""
    if objects is None:
        return np.flatnonzero(catalogue.read("flags") & Flag.WEAK_WEIGHTS)
    if isinstance(objects, int):
        return np.arange(min(objects, source.rows))
    asked = set(map(str, objects))
    known = {str(name): row for row, name in enumerate(source.read("id")) if str(name) in asked}
    unknown = [name for name in map(str, objects) if name not in known]
    if unknown:
        raise BadInput(f"fit.objects: {source.path} has no spectrum {unknown[0]!r}.")
    return np.array([known[str(name)] for name in objects], dtype=int)


def _sizes(rows: int, posterior: Posterior, draws: int) -> dict[str, int]:
    """Length of every dimension."""
    return {
        "row": rows,
        "draw": draws,
        "parameter": len(posterior.names),
        "level": len(QUANTILES),
        "method": len(METHODS),
    }


def _arrays(sizes: dict[str, int], names: Sequence[str]) -> dict[str, Array]:
    def named(dim: str, values: Sequence[str]) -> Array:
        return Array({dim: len(values)}, "string", values=np.array(values, dtype=object))

    levels = np.array([*QUANTILES.values()])
    return {
        "parameter": named("parameter", names),
        "level": Array({"level": len(levels)}, "float64", values=levels),
        "method": named("method", METHODS),
    } | {
        name: Array(
            {dim: sizes[dim] for dim in dims},
            kind,
            ({"long_name": text} if text else {}) | (legend() if name == "flags" else {}),
        )
        for name, (dims, kind, text) in ARRAYS.items()
    }


def _goes_on(store: Store, steps: int, shard: int) -> bool:
    """True if a chain of a shard has not converged, and may be longer now."""
    rows = store.rows_of(shard)
    short = ~store.read("converged", rows) & (store.read("n_steps", rows) < steps)
    kept = [_state(store, row).exists() for row in range(rows.start, rows.stop)]
    return bool((short & kept).any())


def _state(store: Store, row: int) -> Path:
    return store.path / STATES / f"{row:06d}.safetensors"


def _fit_shard(run: _Run, shard: int) -> Costs:
    store, source, posterior = (
        Store(Path(run.out)),
        open_store(run.spectra),
        load_posterior(run.flow),
    )
    settings, rows = store.settings, store.rows_of(shard)
    spectra = np.array(settings["rows"][rows])
    names = ("id", "zred", "flux", "ivar", "flags")
    ids, zred, flux, ivar, flags = (source.read(name, spectra) for name in names)
    fitted, by_flow = flags & NOT_INFERRED == 0, posterior.usable(flux, ivar)
    if settings["start"] == "flow":
        fitted &= by_flow
    columns = empty_columns(_sizes(len(ids), posterior, settings["draws"]))
    columns |= {"id": ids, "zred": zred, "spectrum": spectra}
    likelihood = likelihood_of(posterior, settings["likelihood"])
    seeds = np.array([object_seed(settings["seed"], str(name)) for name in ids])
    batch, seconds = Batch(flux, ivar, seeds, zred), dict.fromkeys(PARTS, 0.0)
    for i in np.flatnonzero(fitted):
        one = batch[i : i + 1]
        with clock(seconds, "chain"):
            chain = _sampled(run, store, rows.start + i, posterior, ids[i], one)
        found = object_columns(
            chain, posterior, likelihood, one, by_flow[i], settings["draws"],
            settings["proposals"], seconds,
        )  # fmt: skip
        for name, value in found.items():
            columns[name][i] = value
    store.write(shard, **columns)
    for i in np.flatnonzero(columns["converged"]):
        _state(store, rows.start + i).unlink(missing_ok=True)
    return Costs(int(fitted.sum()), seconds)


def _sampled(
    run: _Run,
    store: Store,
    row: int,
    posterior: Posterior,
    name: str,
    batch: Batch,
) -> Chain:
    """The chain of one object, from its checkpoint or from the start, to its end."""
    settings, path = store.settings, _state(store, row)
    rng = generator(int(batch.seeds[0]), "fit")
    scout, log_likelihood = log_likelihoods(
        posterior, settings["engine"], settings["likelihood"], batch
    )
    target, first = target_and_first_chain(
        settings["start"], run.chain.moves, posterior, batch, scout, log_likelihood,
        settings["walkers"], rng,
    )  # fmt: skip
    if path.exists():
        tensors, header = load_weights(path)
        chain = Chain.from_tensors(tensors)
        if text := unlike(header.get("machine", machine())):
            print(f"{path}: {text}.", flush=True)
    else:
        chain = first()
    longest, saved = 0.0, time.monotonic()

    def save() -> None:
        save_weights(path, chain.tensors(), {"machine": machine()})

    while not is_finished(chain, run.chain):
        if not leaves(2 * longest):
            if longest:
                save()
            raise OutOfTime(f"{store.path}: stopped in {name} at step {chain.steps}")
        began = time.monotonic()
        chain = advance(chain, target, run.chain)
        now = time.monotonic()
        longest = max(longest, now - began)
        if now - saved > CHECKPOINT:
            save()
            saved = now
    if longest and chain.steps >= run.chain.steps:  # it may go on with more of them
        save()
    return chain


def _tell(store: Store, notice: str) -> None:
    steps, converged = store.read("n_steps"), store.read("converged")
    fitted, short = int((steps > 0).sum()), (steps > 0) & ~converged
    print(f"{store.path}: {converged.sum()} of {store.rows} chains converged.")
    if fitted < store.rows:
        print(
            f"  {store.rows - fitted} spectra are not fitted: too few valid pixels, or none of the "
            "pixels that the flow needs (fit.start=prior does without it)."
        )
    if short.any():
        name = store.read("id")[short][0]
        print(f"  {short.sum()} need more steps (first: {name}): run again with larger fit.steps.")
    if notice:
        tell_once(notice)
