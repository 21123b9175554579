"""The page of a run: every store that is there, as one HTML file that needs nothing else."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from hpcsbi import __version__
from hpcsbi.arguments import checked
from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.inference.columns.row_checks import P_VALUES
from hpcsbi.report import (
    derived_section,
    diagnostic_plots,
    fits_section,
    model_words,
    page,
    residual_stack,
    story,
    tables,
)
from hpcsbi.run.flows import load_derived, load_engine
from hpcsbi.run.folder import FlowFolder, RunFolder, verdict_of
from hpcsbi.run.learned_errors import learned_error
from hpcsbi.run.page_sources import written_of
from hpcsbi.run.readers import (
    draws_of,
    finished_rows,
    label,
    prior_of,
    read_json,
    read_some,
    store_at,
    weights_of,
)
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.report_catalogue import OBJECTS, catalogue_section
from hpcsbi.store.files import read_notes, write_atomically
from hpcsbi.store.store import Store

__all__ = ["report"]

RATE, COST = ("stage", "rows", "worker_seconds"), ("stage", "cpu_seconds", "wall_seconds")


@checked()
def report(
    out: str,
    simulations: str,
    training: str,
    flow: str,
    calibration: str,
    spectra: str,
    catalogue: str,
    fits: str,
    beside: str | None,
    errors: str,
    costs: str,
) -> None:
    """Write the page; what a run does not have yet is left out, with the job that makes it.

    Arguments:
        out: the HTML file.
        simulations, training, calibration, spectra, catalogue, fits: stores.
        flow: folder of the flow.
        beside: a second catalogue of the same spectra, under another prior, or None.
        errors: a store of `learn`, which need not be there.
        costs: file with one JSON line for each call of a stage.
    """
    paths = {"simulate": simulations, "augment": training, "calibrate": calibration}
    paths |= {"ingest": spectra, "infer": catalogue}
    folder, judgement = FlowFolder(Path(flow)), verdict_of(Path(calibration))
    others = [folder.weights, judgement, *map(Path, [fits, errors, *([beside] if beside else [])])]
    made_of = written_of(Path(out), [*map(Path, paths.values()), *others])
    stores = {job: store_at(path, job) for job, path in paths.items()}
    stores["fit"] = store_at(fits, "fit", " fit.objects=20")
    stores["beside"] = store_at(beside, "infer") if beside and Path(beside).exists() else (None, [])
    weights, untrained = weights_of(folder.path)
    engine = _engines(folder.table)
    verdict, damaged = read_json(judgement, dict)
    content = {
        "title": f"hpcsbi: {Path(out).resolve().parent.name}",
        "version": __version__,
        "made_of": made_of,
        "limit": 100,
        "notices": _notices(stores, weights),
        "settings": _settings(stores, weights),
        "seds": _seds(*stores["simulate"], folder.table, engine),
        "training": _training(*stores["augment"], folder.history, untrained),
        "calibration": _calibration(*stores["calibrate"], verdict, damaged),
        "catalogue": catalogue_section(stores, engine),
        "learned": _learned(stores["infer"][0], Path(errors)),
        "fits": _fits(*stores["fit"], weights, folder.path, Path(costs)),
        "costs": _costs(Path(costs)),
    }
    content["story"] = _story(content, stores, weights, verdict, Path(costs), flow)
    html = page.html("report.html.j2", content)
    write_atomically(Path(out), html)
    print(f"{out}: {len(html) / 1e6:.1f} MB.")


def _engines(table: Path) -> Callable[[Prior], Ssp]:
    """Makes the engine of a table, which takes seconds, once for each prior."""

    @cache
    def engine(names: tuple[str, ...], prior: Prior) -> Ssp:
        return load_engine(table, prior)

    return lambda prior: engine(prior.names, prior)


def _story(
    content: Mapping, stores: dict, weights: dict, verdict: dict | None, costs: Path, flow: str
) -> list[tuple[str, list[str]]]:
    """The head of the page: questions, and answers in sentences."""
    of = [weights.get("settings"), *(s.settings for s, _ in stores.values() if s)]
    told, spectra = ["Nothing yet."], stores["ingest"][0]
    survey = spectra.settings["survey"]["name"] if spectra else None
    for settings in filter(None, of):
        with suppress(BadInput):  # a table or spectra, which have no model
            told = model_words.sentences(Model.of(settings), survey)
            break
    chains = [story.chains_sentence(content["fits"], f"run={costs.parent} fit.flow={flow}")]
    rates, _ = read_notes(RunFolder(costs.parent).rates, RATE)
    chains += story.rate_sentences(rates)
    columns = content["catalogue"]["columns"]
    came = story.outcome_sentences(columns) if columns else ["No posterior yet."]
    return [
        ("What was run?", told),
        ("Is it calibrated?", [story.calibration_sentence(verdict)]),
        ("How does it compare with MCMC, and at what cost?", chains),
        ("What came out?", came),
    ]


def _learned(catalogue: Store | None, path: Path) -> dict | None:
    """The error that a survey taught: that of the flow's noise, or one that was learned since."""
    noise = None if catalogue is None else Model.of(catalogue.settings).noise
    if noise is not None and (learned := getattr(noise, "learned", None)) is not None:
        told = "The noise model of this run has it (noise.learned)."
    elif path.exists():
        try:
            learned = learned_error(path)
        except (BadInput, OSError) as error:
            return {"image": None, "told": str(error)}
        told = f"{path.name} holds it; no flow of this run was trained with it yet (noise.learned)."
    else:
        return None
    if not np.any(learned.mean) and not learned.templates:
        return {"image": None, "told": "Held-out spectra ask for none: they are no more probable."}
    wave = Grid(**learned.grid).wave
    return {"image": page.picture(residual_stack.learned_error(wave, learned)), "told": told}


def _notices(stores: dict, weights: dict) -> list[str]:
    notices = [store.attributes.get("notice", "") for store, _ in stores.values() if store]
    return list(dict.fromkeys(text for text in [*notices, weights.get("notice", "")] if text))


def _settings(stores: dict, weights: dict) -> dict:
    products = {label(store): store.settings for store, _ in stores.values() if store}
    if "settings" in weights:
        products["flow"] = weights["settings"]
    return {"products": products, "notes": [] if products else ["This run has nothing yet."]}


def _seds(
    store: Store | None, notes: list[str], table: Path, engine: Callable[[Prior], Ssp]
) -> dict:
    section = {"notes": notes, "image": None, "induced": None}
    if store is None:
        return section
    rows = finished_rows(store)
    good = rows[store.read("status", rows) == 0]
    if not len(good):
        return section | {"notes": [*notes, "No simulation succeeded: see the array status."]}
    some, prior = good[:2000], prior_of(store)
    image = page.example_picture(
        store.read("wave"), store.read("flux", some), store.read("theta", some), prior
    )
    induced, why_not = _induced(store, some, prior, table, engine)
    section |= {"image": image, "induced": induced, "notes": [*notes, *why_not]}
    failed = f"{len(rows) - len(good)} of {len(rows)} rows failed." if len(good) < len(rows) else ""
    return section | {"rows": len(good), "failed": failed}


def _induced(
    store: Store, rows: np.ndarray, prior: Prior, table: Path, engine: Callable[[Prior], Ssp]
) -> tuple[str | None, list[str]]:
    """What the prior's draws, which the simulations are, say of derived quantities; or why not."""
    try:
        derived = load_derived(table, engine(prior))
    except FileNotFoundError:
        return None, []
    except BadInput as error:
        return None, [str(error)]
    return derived_section.prior_picture(derived(store.read("theta", rows), prior.names)), []


def _training(store: Store | None, notes: list[str], history: Path, untrained: list[str]) -> dict:
    section = {"pairs": [], "shared": 0, "fresh": False, "image": None, "caption": ""}
    if store is not None:
        rows = finished_rows(store)
        pairs, shared = tables.pair_rows(store.read("split", rows), store.read("base", rows))
        fresh = "training" not in {name for name, *_ in pairs}
        section |= {"pairs": pairs, "shared": shared, "fresh": fresh}
    entries, damaged = read_json(history, list)
    section["notes"] = [*notes, *untrained, *damaged]
    scored = [e for e in entries or [] if isinstance(e, dict) and "validation_log_prob" in e]
    if scored:
        step = np.array([entry["step"] for entry in scored], dtype=float)
        score = np.array([entry["validation_log_prob"] for entry in scored], dtype=float)
        section["image"] = page.picture(diagnostic_plots.training_history(step, score))
        rise = score[-1] - score[np.searchsorted(step, 0.75 * step[-1])]
        section["caption"] = (
            f"Held-out score {score[-1]:.3f} nat at step {step[-1]:.0f}; over the last quarter of "
            f"the steps it changed by {rise:+.3f} nat: while that is more than a few hundredths, "
            "longer training helps."
        )
    return section


def _calibration(
    store: Store | None, notes: list[str], judgement: dict | None, damaged: list[str]
) -> dict:
    section = {
        "verdict": tables.verdict_rows(judgement) if judgement else None,
        "notes": [*notes, *damaged],
    }
    section |= {"numbers": [], "images": None}
    if store is None:
        return section
    prior = prior_of(store)
    columns = read_some(
        store,
        (
            "theta",
            "ranks",
            "quantiles",
            "tarp",
            "n_draws",
            "log_prob",
            *P_VALUES,
            "acceptance",
            "possible",
        ),
        finished_rows(store, 100_000),
    )
    whole = {name: columns.pop(name) for name in ("log_prob",) if name in columns}  # one score
    if "possible" in columns:  # the others come from no prior that ends at their redshift
        possible = columns.pop("possible")
        columns = {name: values[possible] for name, values in columns.items()}
    drawn = columns["n_draws"] > 0
    if drawn.sum() < 5:
        section["notes"].append("Fewer than 5 spectra have draws: there is nothing to show.")
        return section
    columns = {name: values[drawn] for name, values in columns.items()}
    section["numbers"] = tables.calibration_numbers(columns | whole, int((~drawn).sum()))
    return section | {"images": page.calibration_pictures(columns, prior)}


def _fits(store: Store | None, notes: list[str], weights: dict, flow: Path, costs: Path) -> dict:
    if store is None:
        return {**fits_section.NOTHING, "notes": notes}
    if "method" not in store.group:
        note = f"{store.path.name} compares nothing: remove it and run jobs/fit.py again."
        return {**fits_section.NOTHING, "notes": [*notes, note]}
    rows = finished_rows(store)
    rows = rows[store.read("n_steps", rows) > 0]
    if not len(rows):
        return {**fits_section.NOTHING, "notes": [*notes, "No spectrum could be fitted."]}
    if "settings" in weights and store.settings["flow"] != weights["settings"]:
        notes = [*notes, f"{label(store)} is of another flow than {flow.name}."]
    columns = read_some(store, fits_section.COLUMNS, rows) | {"method": store.read("method")}
    draws = [[draws_of(store, row, name) for name in fits_section.DRAWS] for row in rows[:OBJECTS]]
    rates, _ = read_notes(RunFolder(store.path.parent).rates, RATE)
    spent, _ = read_notes(costs, COST)
    name = os.path.relpath(flow, costs.parent)
    section = fits_section.section(
        columns, draws, prior_of(store), store.settings, rates, spent, name
    )
    return section | {"notes": notes}


def _costs(path: Path) -> dict:
    entries, broken = read_notes(path, COST)
    notes = [f"{broken} lines of {path.name} are cut short and left out."] if broken else []
    if not entries:
        nothing = f"There is no cost in {path.name} yet: every job adds its own."
        return {"table": [], "notes": [*notes, nothing]}
    table, total = tables.cost_rows(entries)
    return {"table": table, "total": total, "notes": notes}
