"""The report's section of a catalogue: its table, and its objects one by one."""

from pathlib import Path

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.inference.catalogue_columns import by_level
from hpcsbi.report import derived_section, histories, page, tables
from hpcsbi.run.flows import load_engine
from hpcsbi.run.readers import (
    draws_of,
    finished_rows,
    label,
    prior_of,
    read_some,
    spectrum_of,
    values_of,
)
from hpcsbi.simulator.likelihood import Likelihood, of_simulator
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.parameters import parameter
from hpcsbi.simulator.prior import Prior
from hpcsbi.store.store import Store

__all__ = ["OBJECTS", "catalogue_section"]

TABLE, OBJECTS, DRAWS = 20, 6, 200  # rows of the table, objects drawn, draws of each
CERTIFICATE = ("origin", "ess", "n_weights", "pareto_k")


def catalogue_section(stores: dict, table: Path) -> dict:
    (store, notes), (other, other_notes) = stores["infer"], stores["beside"]
    section = {"rows": 0, "notes": [*notes, *other_notes]}
    if store is None:
        return section
    if "quantiles" not in store.arrays:
        old = f"{store.path.name} was made by an older version: remove it and run jobs/infer.py."
        return section | {"notes": [*notes, old]}
    prior, rows = prior_of(store), finished_rows(store)
    n_draws, values = store.read("n_draws", rows), store.read("flags", rows)
    listed = rows[:TABLE]
    columns, second = _listed(store, prior, listed), None
    if other is not None and "quantiles" in other.arrays:
        theirs = prior_of(other)
        second = _listed(other, theirs, listed)
        if not set(second["id"]) <= {*columns["id"], ""}:
            section["notes"].append(f"{label(other)} is not of the same spectra: left out.")
            other = second = None
    section |= {
        "rows": len(rows),
        "without": int((n_draws == 0).sum()),
        "flags": tables.flag_rows(values),
        "labels": [parameter(name).header for name in prior.inferred_names],
        "table": tables.table_rows(columns, prior.inferred_names, second),
        "beside": tables.prior_difference(prior, theirs) if second else "",
        "objects": [],
    }
    if "samples" not in store.group:
        section["notes"].append("No draws were kept (infer.keep_draws=0): no corner plots.")
    elif stores["ingest"][0] is not None:
        section["objects"] = _objects(store, stores["ingest"][0], other, table, rows[n_draws > 0])
    return section


def _listed(store: Store, prior: Prior, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the table; what an unfinished catalogue lacks is NaN."""
    rows = rows[rows < store.rows]
    columns = read_some(store, ["id", "zred", "flags", "chi2"], rows)
    return columns | by_level(store.read("quantiles", rows), prior.names)


def _objects(
    store: Store, spectra: Store, other: Store | None, table: Path, rows: np.ndarray
) -> list[dict]:
    """Figures of the first objects that have draws."""
    prior = prior_of(store)
    likelihood = _likelihood(store, table, prior)
    objects = []
    for row in rows[:OBJECTS]:
        draws = draws_of(store, row)
        second = draws_of(other, row) if other is not None and "samples" in other.group else None
        entry = dict.fromkeys(("spectrum", "calibration", "floor", "legend"), "")
        zred = values_of(store, row, "zred")[0]
        entry |= {
            "title": tables.object_title(*values_of(store, row, "id", "zred", "chi2")),
            "certificate": tables.certificate_words(*values_of(store, row, *CERTIFICATE)),
            "history": histories.history_picture(prior, draws, float(zred)),
            "derived": derived_section.rows(*values_of(store, row, *derived_section.ARRAYS)),
        }
        if second is not None and len(second):
            theirs = prior_of(other)
            difference = tables.prior_difference(prior, theirs)
            entry["legend"] = f" Solid: this run; dashed: {difference}."
            entry["corner"] = page.corner_picture(prior, draws, (theirs, second))
        else:
            entry["corner"] = page.corner_picture(prior, draws)
        if likelihood is not None:
            observed = spectrum_of(spectra, row, Model.of(store.settings).noise)
            entry["spectrum"], floor = page.fit_picture(likelihood, draws[:DRAWS], observed)
            entry["floor"] = f" with a floor of {100 * floor:.1f} % of the flux" if floor else ""
            entry["calibration"] = page.errors_words(likelihood.amplitudes.kinds)
        objects.append(entry)
    return objects


def _likelihood(store: Store, table: Path, prior: Prior) -> Likelihood | None:
    """That of a catalogue's flow; None without its table."""
    try:
        engine = load_engine(table, prior)
    except (FileNotFoundError, BadInput):
        return None
    return of_simulator(engine, prior.names, Model.of(store.settings).noise)
