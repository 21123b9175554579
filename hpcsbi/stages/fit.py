"""Fit: converged MCMC of chosen spectra, the yardstick of the flow, fits.zarr.

One object is one batch, kept when it is made, and inside an object the chain is kept in a
checkpoint once a minute: a kill costs a minute, and the bytes are those of a run without it.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np

from hpcsbi.arguments import AtLeast, Count, Natural, OneOf, checked
from hpcsbi.cluster.executors import Cluster
from hpcsbi.errors import BadInput
from hpcsbi.flags import NOT_INFERRED, legend
from hpcsbi.inference.columns.derived_columns import ABOUT
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.mcmc.chain import Chain, Settings
from hpcsbi.mcmc.fit_columns import SPECTRUM, arrays_of, names_along
from hpcsbi.mcmc.flow_against_chain import PARTS, clock, object_columns
from hpcsbi.mcmc.likelihoods import ENGINES, LIKELIHOODS, likelihood_of, log_likelihoods
from hpcsbi.mcmc.moves import MOVES
from hpcsbi.mcmc.starts import STARTS, target_and_first_chain
from hpcsbi.run.catalogue import refuse_old, write_catalogue
from hpcsbi.run.chain_checkpoint import batches_to_extend, forget_checkpoints, has_ended, run_chain
from hpcsbi.run.flows import load_posterior
from hpcsbi.run.folder import FlowFolder
from hpcsbi.run.merges import CATALOGUE
from hpcsbi.run.readers import instruments
from hpcsbi.run.selection import checksum_of, select_rows
from hpcsbi.seeds import generator, object_seed
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.store.batches import write_batches
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete, open_store, refuse_damage
from hpcsbi.store.provenance import code_of
from hpcsbi.store.schema import empty_columns, store_arrays
from hpcsbi.store.settings import refuse_other_settings
from hpcsbi.store.shards import Costs, run_shards
from hpcsbi.store.store import Store
from hpcsbi.terminal import tell_once

__all__ = ["fit"]


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
        objects: ids, or a number of first rows; None for those flagged WEAK_WEIGHTS.
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
        proposals: draws of the flow that are weighted and compared, at least `draws`.
        shard: objects that are kept at a time; a file holds more where there are very many.
        seed: seed of the chains; that of an object depends on it and on the object's id only.
        cluster: where to run.

    Raises:
        Mismatch: spectra on another grid than the flow's, or another catalogue.
        ValueError: an unknown choice or id.
        OutOfTime: the job ends first; the same command goes on.
    """
    chain = Settings(moves, burn_in, steps, converge, block)
    posterior, source = load_posterior(flow), open_complete(spectra, "ingest", verify=False)
    if posterior.ssp is None:
        table = FlowFolder(Path(flow)).table
        raise BadInput(f"{table} is not there: run jobs/tabulate.py and train again.")
    refuse_other_settings(
        spectra,
        source.settings["grid"],
        posterior.grid.settings(),
        "Ingest the spectra on the flow's grid (asked), or name another fit.flow.",
    )
    target = _catalogue(catalogue, objects, posterior, source)
    rows = select_rows(objects, source, target)
    if not len(rows):
        print("fit: no spectrum is asked for (fit.objects), and none has weak weights.")
        return
    settings = {
        "code": code_of("fit"),
        "flow": posterior.settings,
        "spectra": source.settings,
        # Not the rows themselves, which every process would parse: they are a coordinate.
        "rows": {"number": len(rows), "checksum": checksum_of(rows)},
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
    arrays = _arrays(rows, posterior, draws)
    into = None if catalogue is None else os.path.relpath(catalogue, Path(out).parent)
    store = create(out, arrays, settings, shard, {"notice": notice, CATALOGUE: into})
    if into is not None and store.attributes.get(CATALOGUE) != into:
        store.group.attrs[CATALOGUE] = into
    again, work = partial(batches_to_extend, store, steps), _Run(out, flow, spectra, chain)
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
) -> Store | None:
    """The catalogue to merge into; none where none is asked for, or there yet."""
    if catalogue is None or (objects is not None and not Path(catalogue).exists()):
        return None
    store = open_complete(catalogue, "infer", verify=False)
    refuse_old(store)
    refuse_other_settings(
        catalogue,
        {name: store.settings[name] for name in ("flow", "spectra")},
        {"flow": posterior.settings, "spectra": source.settings},
        "Name the catalogue of this flow and these spectra, or fit.catalogue=null.",
    )
    return store


def _sizes(rows: int, posterior: Posterior, draws: int) -> dict[str, int]:
    """Length of every dimension."""
    along = {dim: len(values) for dim, values in names_along(posterior).items()}
    return along | {"row": rows, "draw": draws}


def _arrays(rows: np.ndarray, posterior: Posterior, draws: int) -> dict[str, Array]:
    about = {"long_name": "row of the spectra and the catalogue"}
    which = {SPECTRUM: Array({"row": len(rows)}, "int64", about, rows.astype(np.int64))}
    sizes, attributes = _sizes(len(rows), posterior, draws), {"derived_quantiles": ABOUT}
    attributes["flags"] = legend()
    return which | store_arrays(arrays_of(sizes), sizes, names_along(posterior), attributes)


def _fit_shard(run: _Run, shard: int) -> Costs:
    store, source = Store(Path(run.out)), open_store(run.spectra)
    posterior = load_posterior(run.flow)
    spectra = store.read(SPECTRUM, store.rows_of(shard))
    refuse_damage(source, "ingest", spectra)
    costs = _Tally(dict.fromkeys(PARTS, 0.0))
    make = partial(_fitted, run, store, source, posterior, costs)
    ended = partial(has_ended, store, run.chain.steps)
    write_batches(store, shard, make, partial(forget_checkpoints, store), ended)
    return Costs(costs.fitted, costs.seconds)


@dataclass
class _Tally:
    """Objects fitted so far, and CPU seconds by part of the work."""

    seconds: dict[str, float]
    fitted: int = 0


def _fitted(
    run: _Run, store: Store, source: Store, posterior: Posterior, costs: _Tally, rows: slice
) -> dict[str, np.ndarray]:
    """All arrays of some objects."""
    settings, spectra = store.settings, store.read(SPECTRUM, rows)
    names = ("id", "zred", "flux", "ivar", "flags")
    ids, zred, flux, ivar, flags = (source.read(name, spectra) for name in names)
    added, known = instruments(source, spectra, posterior.model.noise)
    fitted = (flags & NOT_INFERRED == 0) & posterior.prior.given.covers(zred) & known
    by_flow = posterior.usable(flux, ivar)
    if settings["start"] == "flow":
        fitted &= by_flow
    sizes = _sizes(len(ids), posterior, settings["draws"])
    columns = empty_columns(arrays_of(sizes), sizes)
    columns |= {"id": ids, "zred": zred}
    likelihood = likelihood_of(posterior, settings["likelihood"])
    seeds = np.array([object_seed(settings["seed"], str(name)) for name in ids])
    batch = Batch(flux, ivar, seeds, zred, added)
    for i in np.flatnonzero(fitted):
        spectrum = batch[i : i + 1]
        with clock(costs.seconds, "chain"):
            chain = _sampled(run, store, rows.start + i, posterior, ids[i], spectrum)
        row = object_columns(
            chain, posterior, likelihood, spectrum, by_flow[i], settings["draws"],
            settings["proposals"], costs.seconds,
        )  # fmt: skip
        for name, value in row.items():
            columns[name][i] = value
    costs.fitted += int(fitted.sum())
    return columns


def _sampled(
    run: _Run, store: Store, row: int, posterior: Posterior, name: str, batch: Batch
) -> Chain:
    """The chain of one object, from its checkpoint or from the start, to its end."""
    settings = store.settings
    rng = generator(int(batch.seeds[0]), "fit")
    scout, log_likelihood = log_likelihoods(
        posterior, settings["engine"], settings["likelihood"], batch
    )
    target, first = target_and_first_chain(
        settings["start"], run.chain.moves, posterior, batch, scout, log_likelihood,
        settings["walkers"], rng,
    )  # fmt: skip
    return run_chain(store, row, name, target, first, run.chain)


def _tell(store: Store, notice: str) -> None:
    steps, converged = store.read("n_steps"), store.read("converged")
    fitted, short = int((steps > 0).sum()), (steps > 0) & ~converged
    print(f"{store.path}: {converged.sum()} of {store.rows} chains converged.")
    if fitted < store.rows:
        print(
            f"  {store.rows - fitted} spectra are not fitted: a redshift beyond the prior, too few "
            "valid pixels, or none that the flow needs (fit.start=prior does without it)."
        )
    if short.any():
        name = store.read("id")[short][0]
        print(f"  {short.sum()} need more steps (first: {name}): run again with larger fit.steps.")
    if notice:
        tell_once(notice)
