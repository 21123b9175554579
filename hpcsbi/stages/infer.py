"""Infer: posteriors of survey spectra, one row out for every row in, catalogue.zarr."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np

from hpcsbi.arguments import Count, Natural, checked
from hpcsbi.cluster.executors import Cluster
from hpcsbi.errors import BadInput
from hpcsbi.flags import NOT_INFERRED, Flag, counts, legend
from hpcsbi.inference.certificate import COLUMNS, ORIGINS, QUANTILES, certify, strong
from hpcsbi.inference.posterior import Draws, Posterior
from hpcsbi.inference.row_checks import posterior_flags, predictive_columns
from hpcsbi.run.catalogue import write_catalogue
from hpcsbi.run.flows import load_posterior
from hpcsbi.run.folder import FlowFolder
from hpcsbi.seeds import object_seed
from hpcsbi.simulator.batch import Batch
from hpcsbi.simulator.prior import age_of_universe
from hpcsbi.store.provenance import code_of
from hpcsbi.store.settings import refuse_other_settings
from hpcsbi.store.shards import part_rows, run_shards
from hpcsbi.store.store import Array, Store, create, open_complete, open_store, refuse_damage
from hpcsbi.terminal import tell_once

__all__ = ["infer"]

FEW_ACCEPTED = 0.05


def _few_kept(draws: int, keep_draws: int) -> None:
    if keep_draws > draws:
        raise BadInput(f"infer.keep_draws={keep_draws} of infer.draws={draws}: keep 0 to all.")


@checked(_few_kept)
def infer(
    out: str,
    flow: str,
    spectra: str,
    draws: Count,
    cap: Count,
    keep_draws: Natural,
    certificate: bool,
    shard: Count,
    seed: Natural,
    cluster: Cluster,
) -> None:
    """Draw from the posterior of every spectrum; write quantiles, checks and flags.

    With the certificate, quantiles and kept draws are re-weighted to the exact posterior where the
    weights are good (`origin`), and the flow's own quantiles stand beside them (`*_flow_p16`).
    Without it they are the flow's, and its columns are absent.

    Arguments:
        out: the store to write, catalogue.zarr; catalogue.parquet beside it holds the same columns,
            and what converged chains of `fit` say of their rows.
        flow: folder of the trained flow.
        spectra: the store of spectra.
        draws: posterior draws of each spectrum.
        cap: draws made at most of each spectrum, in units of `draws`.
        keep_draws: draws of each spectrum that the store keeps.
        certificate: weight the draws by the exact likelihood; takes the table beside the flow.
        shard: spectra in a shard.
        seed: seed of the draws; those of an object depend on it and on the object's id only.
        cluster: where to run.

    Raises:
        Mismatch: the spectra lie on another grid than the flow's.
        ValueError: more draws to keep than drawn, or a certificate without a table.
    """
    part = cluster.part()
    posterior, source = load_posterior(flow), open_complete(spectra, "ingest", part is None)
    refuse_damage(source, "ingest", part_rows(source.rows, shard, part))
    if certificate and posterior.ssp is None:
        refuse_without_table(flow)
    refuse_other_settings(
        spectra,
        source.settings["grid"],
        posterior.grid.settings(),
        "Ingest the spectra on the flow's grid (asked), or name another infer.flow.",
    )
    settings = {
        "code": code_of("infer"),
        "flow": posterior.settings,
        "spectra": source.settings,
        "draws": draws,
        "cap": cap,
        "keep_draws": keep_draws,
        "certificate": certificate,
        "seed": seed,
    }
    notice = posterior.notice or source.attributes.get("notice", "")
    arrays = _arrays(source.rows, posterior, keep_draws, certificate)
    store = create(out, arrays, settings, shard, {"notice": notice})
    run_shards(partial(_infer_shard, out, flow, spectra), store, cluster, "infer")
    write_catalogue(out)
    _tell(store, notice)


def refuse_without_table(flow: str) -> NoReturn:
    """A flow that took no table along cannot certify."""
    raise BadInput(
        f"infer.certificate=true takes the table, and {FlowFolder(Path(flow)).table} is not there: "
        "run jobs/tabulate.py and train again, or set infer.certificate=false."
    )


def _arrays(
    rows: int, posterior: Posterior, keep_draws: int, certificate: bool
) -> dict[str, Array]:
    row = {"row": rows}
    quantiles = {
        column: Array(row, "float32", {"units": unit, "nuisance": name in nuisance})
        for nuisance in [posterior.prior.nuisance]
        for name, unit in posterior.prior.units.items()
        for column in _quantile_columns((name,), certificate)
    }
    checked = {
        name: Array(row, kind, {"long_name": text}) for name, (kind, text) in COLUMNS.items()
    }
    checked["origin"] = Array(row, "string", {"long_name": "of quantiles: " + ", ".join(ORIGINS)})
    samples = {"row": rows, "draw": keep_draws, "parameter": len(posterior.names)}
    about = {
        "long_name": "draws of equal weight, resampled by weight where origin is reweighted",
        "units": "see description",
        "description": posterior.prior.units,
    }
    kept = {"samples": Array(samples, "float32", about)} if keep_draws else {}
    names = np.array(posterior.names, dtype=object)
    kept["parameter"] = Array({"parameter": len(names)}, "string", values=names)
    return {
        "id": Array(row, "string"),
        "zred": Array(row, "float64"),
        **quantiles,
        "flags": Array(row, "int32", legend()),
        "n_draws": Array(row, "int32", {"long_name": "draws inside the prior"}),
        "acceptance": Array(row, "float32", {"long_name": "share of draws inside the prior"}),
        "n_pixels": Array(row, "int32", {"long_name": "valid pixels"}),
        "chi2": Array(row, "float32", {"long_name": "chi squared per valid pixel, floor included"}),
        "predictive_p": Array(row, "float32", {"long_name": "posterior predictive p-value"}),
        **(checked if certificate else {}),
        **kept,
    }


def _quantile_columns(names: tuple[str, ...], certificate: bool) -> list[str]:
    kinds = ("", "flow_") if certificate else ("",)
    return [f"{name}_{kind}{level}" for kind in kinds for name in names for level in QUANTILES]


def _infer_shard(out: str, flow: str, spectra: str, shard: int) -> int:
    store, source, posterior = Store(Path(out)), open_store(spectra), load_posterior(flow)
    settings, rows = store.settings, store.rows_of(shard)
    names = ("id", "zred", "flux", "ivar", "flags")
    ids, zred, flux, ivar, flags = (source.read(name, rows) for name in names)
    columns = _nothing(len(ids), posterior.names, settings["keep_draws"], settings["certificate"])
    columns |= {
        "id": ids,
        "zred": zred,
        "flags": flags,
        "n_pixels": (ivar > 0).sum(1, dtype=np.int32),
    }
    good = posterior.usable(flux, ivar) & (flags & NOT_INFERRED == 0)
    if good.any():
        seeds = np.array([object_seed(settings["seed"], str(name)) for name in ids])
        found = _measure(posterior, Batch(flux, ivar, seeds, zred)[good], settings)
        for name, values in found.items():
            columns[name][good] = values
    columns["flags"] = flags | columns.pop("new_flags")
    store.write(shard, **columns)
    return len(ids)


def _measure(posterior: Posterior, batch: Batch, settings: dict) -> dict[str, np.ndarray]:
    """Columns of the spectra that can be inferred."""
    drawn = posterior.sample(batch, settings["draws"], settings["cap"])
    columns = {"n_draws": drawn.kept, "acceptance": drawn.acceptance}
    own = drawn.quantiles(list(QUANTILES.values()))
    best, quantiles, certificate = drawn, own, None
    if settings["certificate"]:
        levels = list(QUANTILES.values())
        certificate = certify(posterior, posterior.likelihood, drawn, batch, levels)
        best = certificate.draws
        quantiles = np.where(certificate.reweighted[:, None], certificate.quantiles, own)
        columns |= _by_level(posterior.names, own, "flow_") | certificate.numbers
        columns["origin"] = np.where(certificate.reweighted, "reweighted", "flow").astype(object)
    columns |= _by_level(posterior.names, quantiles) | predictive_columns(
        posterior.likelihood, best, batch
    )
    if settings["keep_draws"]:
        columns["samples"] = best.theta[:, : settings["keep_draws"]]
    columns["new_flags"] = _flags(posterior, drawn, best, columns, batch.zred)
    older = _older_than_universe(posterior, batch)
    columns["new_flags"][older] |= Flag.OLDER_THAN_UNIVERSE
    return columns


def _by_level(
    names: tuple[str, ...], quantiles: np.ndarray, kind: str = ""
) -> dict[str, np.ndarray]:
    return {
        f"{name}_{kind}{level}": quantiles[i, :, j]
        for j, name in enumerate(names)
        for i, level in enumerate(QUANTILES)
    }


def _flags(
    posterior: Posterior,
    drawn: Draws,
    best: Draws,
    columns: dict[str, np.ndarray],
    zred: np.ndarray,
) -> np.ndarray:
    """Flags of the flow's draws and of the best draws there are."""
    flags = np.zeros(len(zred), dtype=np.int32)
    flags[drawn.kept < drawn.theta.shape[1]] |= Flag.LOW_ACCEPTANCE
    flags[drawn.acceptance < FEW_ACCEPTED] |= Flag.LOW_ACCEPTANCE
    flags[best.kept == 0] |= Flag.NO_POSTERIOR
    floor = columns.get("noise_floor_p50")
    flags |= posterior_flags(posterior, best, columns["predictive_p"], floor, zred)
    if "ess" in columns:
        flags[~strong(columns["ess"], columns["pareto_k"])] |= Flag.WEAK_WEIGHTS
    return flags


def _older_than_universe(posterior: Posterior, batch: Batch) -> np.ndarray:
    """True where most draws are older than the Universe was, before that bound cuts them."""
    if not posterior.prior.bound_age:
        return np.zeros(len(batch), dtype=bool)
    free = posterior.sample(replace(batch, zred=None), 50)
    older = free.theta[..., posterior.names.index("tage")] > age_of_universe(batch.limits)
    return older.mean(1) > 0.5


def _nothing(
    rows: int, names: tuple[str, ...], keep_draws: int, certificate: bool
) -> dict[str, np.ndarray]:
    """Columns of rows that nothing is inferred for."""
    nan = partial(np.full, fill_value=np.nan, dtype=np.float32)
    columns = {column: nan(rows) for column in _quantile_columns(names, certificate)}
    columns |= {name: nan(rows) for name in ("acceptance", "chi2", "predictive_p")}
    if certificate:
        columns |= {name: nan(rows).astype(np.float64) for name in COLUMNS}
        columns |= {"n_weights": np.zeros(rows, np.int32), "origin": np.full(rows, "", object)}
    if keep_draws:
        columns["samples"] = nan((rows, keep_draws, len(names)))
    columns["n_draws"] = np.zeros(rows, dtype=np.int32)
    columns["new_flags"] = np.full(rows, int(Flag.NO_POSTERIOR), dtype=np.int32)
    return columns


def _tell(store: Store, notice: str) -> None:
    flags = store.read("flags")
    n = int((store.read("n_draws") > 0).sum())
    print(f"{store.path}: {n} of {store.rows} spectra have a posterior.")
    for name, count in counts(flags).items():
        print(f"  {name}: {count}")
    if notice:
        tell_once(notice)
