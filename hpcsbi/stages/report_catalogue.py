"""The report's section of a catalogue: all its objects together, some of them one by one."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.inference.columns.catalogue_columns import by_level
from hpcsbi.report import (
    derived_section,
    gallery,
    history_plots,
    object_table,
    overview_plots,
    page,
    residual_stack,
    tables,
)
from hpcsbi.run.overview import overview, percentiles
from hpcsbi.run.readers import (
    draws_of,
    finished_rows,
    label,
    prior_of,
    read_some,
    spectra_of,
    values_of,
)
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.probability.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.parameters import parameter
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.store import Store

__all__ = ["OBJECTS", "catalogue_section"]

TABLE, OBJECTS, DRAWS = 200, 6, 200  # rows of the table, objects drawn, draws of each
STACKED, STACK_DRAWS = 1000, 16  # objects whose residuals are stacked, draws of each
STACK_SHARDS = 24  # shards that they come from: a shard is read as a whole
ALONE = 6  # of so few objects the residuals are drawn one by one, too
CERTIFICATE = ("origin", "ess", "n_weights", "pareto_k", "n_draws")

Columns = Mapping[str, np.ndarray]


def catalogue_section(stores: dict, engine: Callable[[Prior], Ssp]) -> dict:
    """Everything that the page says of a catalogue.

    Arguments:
        stores: of the jobs infer, beside and ingest, each with its notes, see `readers.store_at`.
        engine: makes that of the flow's table; raises FileNotFoundError or BadInput without it.

    Returns:
        "columns" are those of `overview`, empty without a catalogue.
    """
    (store, notes), (other, other_notes) = stores["infer"], stores["beside"]
    section = {
        "rows": 0,
        "notes": [*notes, *other_notes],
        "columns": {},
        "objects": [],
        "stack": None,
    }
    if store is None:
        return section
    if "quantiles" not in store.arrays:
        old = f"{store.path.name} was made by an older version: remove it and run jobs/infer.py."
        return section | {"notes": [*notes, old]}
    prior, rows = prior_of(store), finished_rows(store)
    columns = overview(store, rows, prior.names)
    if len(rows) < store.rows:
        section["notes"].append(f"Figures are of the first {len(rows)} of {store.rows} rows.")
    places, chosen = gallery.listed(columns, TABLE)
    listed, second = _listed(store, prior, rows[places]), None
    if other is not None and "quantiles" in other.arrays:
        theirs = prior_of(other)
        second = _listed(other, theirs, rows[places])
        if not {*second["id"]} <= {*listed["id"], ""}:
            section["notes"].append(f"{label(other)} is not of the same spectra: left out.")
            other = second = None
    section |= {
        "rows": len(rows),
        "columns": columns,
        "without": int((columns["n_draws"] == 0).sum()),
        "flags": tables.flag_rows(columns["flags"]),
        "heads": [f"#{parameter(name).header}" for name in prior.inferred_names],
        "table": object_table.table_rows(listed, prior, second),
        "chosen": chosen,
        "beside": tables.prior_difference(prior, theirs) if second else "",
        "stack": None,
        "linked": [],
        **_overview_pictures(store, prior, rows, columns),
    }
    if "samples" not in store.group:
        section["notes"].append(_how_to_keep_draws(store.path))
    elif stores["ingest"][0] is not None:
        spectra, likelihood = stores["ingest"][0], _likelihood(store, engine, prior)
        shown = [(rows[i], why) for i, why in gallery.gallery(columns, OBJECTS)]
        section["objects"] = [
            _object(store, spectra, other, likelihood, int(row)) | {"why": why}
            for row, why in shown
        ]
        section["linked"] = [each["row"] for each in section["objects"]]
        if likelihood is not None:
            section["stack"] = _stack(store, spectra, likelihood, rows, columns)
    return section


def _how_to_keep_draws(catalogue: Path) -> str:
    """What makes the figures of objects; a catalogue of other settings takes another name."""
    other = catalogue.absolute().with_name(f"{catalogue.stem}_draws{catalogue.suffix}")
    more = shlex.join([f"infer.out={other}", "infer.keep_draws=100"])
    return (
        "No draws were kept (infer.keep_draws=0): no figures of objects. They are made by python "
        "jobs/infer.py and then python jobs/report.py (on SLURM slurm/pipeline.sh NAME "
        f"--stages=infer,report), both with the options of this run and {more}; {catalogue.name} "
        "stays as it is."
    )


def _overview_pictures(
    store: Store, prior: Prior, rows: np.ndarray, columns: Columns
) -> dict[str, str | None]:
    """Planes and histograms of all objects; none of fewer than two."""
    drawn = columns["n_draws"] > 0
    if drawn.sum() < 2:
        return {"planes": None, "quality": None}
    few = drawn.sum() <= overview_plots.BARS
    bars = percentiles(store, rows[drawn], prior.names) if few else None
    some = {name: values[drawn] for name, values in columns.items()}
    figures = {
        "planes": overview_plots.planes(some, bars),
        "quality": overview_plots.quality(some) if drawn.sum() > OBJECTS else None,
    }
    return {name: figure and page.picture(figure) for name, figure in figures.items()}


def _listed(store: Store, prior: Prior, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the table; what an unfinished catalogue lacks is NaN."""
    rows = rows[rows < store.rows]
    columns = read_some(store, ["id", "zred", "flags", "chi2", "ess", "quantiles"], rows)
    return columns | {"row": rows} | by_level(columns["quantiles"], prior.names)


def _object(
    store: Store, spectra: Store, other: Store | None, likelihood: Likelihood | None, row: int
) -> dict:
    """Words and figures of one object that has draws."""
    prior, draws = prior_of(store), draws_of(store, row)
    name, zred, chi2, flags = values_of(store, row, "id", "zred", "chi2", "flags")
    quantiles, of_flow = values_of(store, row, "quantiles", "flow_quantiles")
    at = object_table.edges(prior, quantiles, float(zred))
    certificate = values_of(store, row, *CERTIFICATE)
    entry = dict.fromkeys(("spectrum", "calibration", "floor", "legend"), "") | {
        "row": row,
        "name": str(name),
        "title": object_table.object_title(name, zred, chi2),
        "facts": object_table.fact_words(
            *values_of(spectra, row, "snr"), *values_of(store, row, "position")
        ),
        "flags": object_table.flag_words(flags, at),
        "certificate": object_table.certificate_words(*certificate),
        "flow": object_table.flow_words(prior, quantiles, of_flow),
        "history": history_plots.history_picture(prior, draws, float(zred)),
        "derived": derived_section.rows(*values_of(store, row, *derived_section.ARRAYS)),
    }
    second = draws_of(other, row) if other is not None and "samples" in other.group else ()
    if len(second):
        theirs = prior_of(other)
        difference = tables.prior_difference(prior, theirs)
        entry["legend"] = f" Solid: this run; dashed: {difference}."
        entry["corner"] = page.corner_picture(prior, draws, (theirs, second))
    else:
        entry["corner"] = page.corner_picture(prior, draws)
    if likelihood is not None:
        observed = spectra_of(spectra, np.array([row]), Model.of(store.settings).noise)
        entry["spectrum"], floor = page.fit_picture(likelihood, draws[:DRAWS], observed)
        entry["floor"] = f" with a floor of {100 * floor:.1f} % of the flux" if floor else ""
        entry["calibration"] = page.errors_words(likelihood.amplitudes.kinds)
    return entry


def _stack(
    store: Store, spectra: Store, likelihood: Likelihood, rows: np.ndarray, columns: Columns
) -> dict | None:
    """Residuals of objects together, of all or of some at random, shard by shard."""
    places = gallery.scattered(
        rows, columns["n_draws"] >= STACK_DRAWS, store.shard, STACKED, STACK_SHARDS
    )
    if not len(places):
        return None
    noise, parts = Model.of(store.settings).noise, []
    for shard in np.unique(rows[places] // store.shard):
        some = rows[places][rows[places] // store.shard == shard]
        draws = store.read("samples", some)
        kept = np.isfinite(draws).all(-1).sum(1)
        steps = (np.arange(STACK_DRAWS) * kept[:, None]) // STACK_DRAWS
        draws = np.take_along_axis(draws, steps[..., None], 1)
        batch = spectra_of(spectra, some, noise)
        parts.append(residual_stack.percent_residuals(likelihood, draws, batch))
    percent = np.concatenate(parts)
    kinds = residual_stack.types({name: values[places] for name, values in columns.items()})
    whole = residual_stack.stack(percent)
    by_type = {name: residual_stack.stack(percent[mask]) for name, mask in kinds.items()}
    alone = percent if len(percent) <= ALONE else percent[:0]
    figure = residual_stack.residuals(likelihood.ssp.wave, whole, alone, by_type)
    return {
        "image": page.picture(figure),
        "objects": len(percent),
        "all": len(percent) == int((columns["n_draws"] > 0).sum()),
        "alone": bool(len(alone)),
        "types": bool(by_type),
        "errors": page.errors_words(likelihood.amplitudes.kinds),
        "worst": residual_stack.worst_words(likelihood.ssp.wave, whole),
    }


def _likelihood(store: Store, engine: Callable[[Prior], Ssp], prior: Prior) -> Likelihood | None:
    """That of a catalogue's flow; None without its table."""
    try:
        ssp = engine(prior)
    except (FileNotFoundError, BadInput):
        return None
    return of_simulator(ssp, prior.names, Model.of(store.settings).noise)
