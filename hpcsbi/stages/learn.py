"""Learn: what the model is off by, from a survey's spectra and their posteriors, errors.zarr."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

import numpy as np

from hpcsbi.arguments import AtLeast, Between, Count, Natural, OneOf, Positive, checked
from hpcsbi.cluster.executors import Cluster
from hpcsbi.errors import BadInput
from hpcsbi.inference.learning.error_path import Care, Survey, error_path
from hpcsbi.inference.learning.following import FEWEST
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.run.error_report import tell_error
from hpcsbi.run.flows import load_posterior
from hpcsbi.run.learned_errors import COMMON, WHOLE
from hpcsbi.run.object_classes import KINDS, ObjectClass, object_classes
from hpcsbi.run.selection import checksum_of
from hpcsbi.run.teachers import (
    FEWEST_OBJECTS,
    Teachers,
    refuse_large_mean,
    survey_of,
    teachers,
)
from hpcsbi.seeds import object_seed
from hpcsbi.statistics.held_out import folds_of
from hpcsbi.store.batches import write_batches
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete, open_store
from hpcsbi.store.provenance import code_of
from hpcsbi.store.settings import refuse_other_settings
from hpcsbi.store.shards import run_shards
from hpcsbi.store.store import Store

__all__ = ["learn"]


@checked()
def learn(
    out: str,
    flow: str,
    spectra: str,
    catalogue: str,
    ids: str | None,
    classes: Sequence[Annotated[str, OneOf(KINDS)]],
    leave_out: Sequence[str],
    objects: Annotated[int, AtLeast(FEWEST_OBJECTS)],
    draws: Annotated[int, AtLeast(FEWEST)],
    rank: Annotated[int, Between(0, 20)],
    steps: Count,
    moves: Count,
    strengths: Sequence[Positive],
    folds: Annotated[int, AtLeast(2)],
    shard: Count,
    seed: Natural,
    cluster: Cluster,
) -> None:
    """Find the mean and the templates that make a survey's spectra most probable.

    The evidence of all spectra together is maximised over them, with theta, noise, floor and all
    other errors integrated out: what theta can do is not learned. Rank and prior are those that
    held-out spectra ask for, which may be none. The file is what `noise.learned` names.

    Arguments:
        out: the store to write, errors.zarr; errors.json beside it says what it holds.
        flow: folder of the flow that made the catalogue.
        spectra: the store of spectra.
        catalogue: catalogue.zarr with a certificate and kept draws.
        ids: a file of ids, see `ingest.ids`: these objects alone; None for all.
        classes: by what objects are told apart, to compare errors of each class with the common
            one: lines, age, survey_class; none costs nothing.
        leave_out: flags of objects that teach nothing, beside those without good draws.
        objects: at most so many, chosen at random.
        draws: kept draws of each object that count, at most.
        rank: largest number of templates.
        steps: of expectation maximisation at each rank.
        moves: of each draw after each step.
        strengths: of the prior that keeps noise out of mean and templates.
        folds: parts of the objects of which each is held out once, with all its spectra; as many
            as objects where those are fewer.
        shard: fits that are made at a time; a strength has one for each fold, and one for all, and
            of each class one for each fold.
        seed: of the moves, the choice of objects and the folds.
        cluster: where to run.

    Raises:
        Mismatch: catalogue, spectra and flow do not belong together.
        BadInput: no draws, too few objects, or residuals as large as the spectra.
    """
    posterior, source = load_posterior(flow), open_complete(spectra, "ingest", verify=False)
    store_of_draws = open_complete(catalogue, "infer", verify=False)
    _refuse_unfit(posterior, source, store_of_draws)
    chosen = teachers(store_of_draws, ids, leave_out, objects, seed)
    survey = survey_of(posterior, source, store_of_draws, chosen, draws)
    refuse_large_mean(survey, posterior)
    known = posterior.model.noise.learned
    ranks = list(range(0 if known is None else len(known.templates), rank + 1))
    if not ranks:
        raise BadInput(
            f"learn.rank={rank}, and the flow's own error has {len(known.templates)} templates "
            "already: set learn.rank to that or more."
        )
    settings = {
        "code": code_of("learn"),
        "flow": posterior.settings,
        "catalogue": store_of_draws.settings,
        "draws": draws,
        "objects": checksum_of(chosen.rows),
        "rank": rank,
        "steps": steps,
        "moves": moves,
        "strengths": sorted(set(strengths)),
        "folds": min(folds, len(set(chosen.objects))),
        "seed": seed,
    }
    notice = posterior.notice or source.attributes.get("notice", "")
    attributes = {"notice": notice, "left_out": chosen.left_out}
    fold_of = folds_of(chosen.objects, settings["folds"])
    large = []
    if classes:
        settings["classes"] = list(dict.fromkeys(classes))
        every = object_classes(store_of_draws, chosen.rows, settings["classes"])
        every = [each for each in every if not each.members.all()]
        large = [each for each in every if _fewest_left(each, fold_of) >= FEWEST_OBJECTS]
        attributes["classes"] = {each.name: each.meaning for each in large}
        names = set(attributes["classes"])
        attributes["too_small"] = {
            each.name: int(each.members.sum()) for each in every if each.name not in names
        }
    arrays = _arrays(settings, ranks, posterior.grid.wave, chosen, fold_of, large)
    store = create(out, arrays, settings, shard, attributes)
    run_shards(partial(_learn_shard, out, flow, spectra, catalogue), store, cluster, "learn")
    tell_error(store, survey, notice)


def _refuse_unfit(posterior: Posterior, source: Store, catalogue: Store) -> None:
    """Of another flow, noise or survey, or without what is needed."""
    for name, settings, upstream in (
        ("flow", posterior.settings, "learn.flow"),
        ("spectra", source.settings, "learn.spectra"),
    ):
        refuse_other_settings(
            catalogue.path,
            catalogue.settings[name],
            settings,
            f"The catalogue's {name} (in the store) is not that of {upstream} (asked).",
        )
    if posterior.ssp is None:
        raise BadInput(f"learn takes the table, and the flow of {catalogue.path} took none along.")
    if posterior.likelihood.kind == "fractional":
        raise BadInput(
            f"the flow was trained with noise of the kind {posterior.model.noise.kind}, which "
            "knows no error of the model: train one with noise=survey or noise=bank."
        )
    if "samples" not in catalogue.arrays or "origin" not in catalogue.arrays:
        raise BadInput(
            f"{catalogue.path} keeps no certified draws, from which learn starts: run "
            "jobs/infer.py with infer.keep_draws=200 infer.certificate=true (into another "
            "infer.out, or remove this one)."
        )
    kept = catalogue.arrays["samples"].shape[1]
    if kept < FEWEST:
        raise BadInput(
            f"{catalogue.path} keeps {kept} draws of each spectrum: learn takes {FEWEST} at least, "
            "run jobs/infer.py with infer.keep_draws=200."
        )


def _fewest_left(one: ObjectClass, fold_of: np.ndarray) -> int:
    """Objects of a class that teach, at least, where a fold is held out."""
    return min(int((one.members & (fold_of != fold)).sum()) for fold in np.unique(fold_of))


def _arrays(
    settings: dict,
    ranks: list[int],
    wave: np.ndarray,
    chosen: Teachers,
    fold_of: np.ndarray,
    classes: list[ObjectClass],
) -> dict[str, Array]:
    folds, strengths = settings["folds"], settings["strengths"]
    rows = len(strengths) * (folds + 1 + folds * len(classes))
    pixels, objects = len(wave), len(chosen.rows)
    row, at = {"row": rows}, {"row": rows, "rank": len(ranks)}
    fraction = {"units": "1", "description": "fraction of the model flux"}
    gain = {"units": "nat", "description": "ln evidence over that under the flow's own noise"}
    template = {**at, "template": max(settings["rank"], 1), "pixel": pixels}
    of_classes = {}
    if classes:
        members = np.array([each.members for each in classes], np.int8)
        names = np.array([each.name for each in classes], object)
        of_classes = {
            "class": Array(row, "int32", {"description": f"that taught; {COMMON}: all objects"}),
            "class_name": Array({"class": len(classes)}, "string", values=names),
            "member": Array({"class": len(classes), "object": objects}, "int8", values=members),
        }
    return {
        "fold": Array(row, "int32", {"description": f"held out; {WHOLE}: none"}),
        "strength": Array(row, "float64"),
        "mean": Array({**at, "pixel": pixels}, "float64", fraction),
        "templates": Array(template, "float64", fraction),
        "gain": Array({**at, "object": objects}, "float64", gain),
        "history": Array({**at, "step": settings["steps"]}, "float64", gain),
        "rank": Array({"rank": len(ranks)}, "int32", values=np.array(ranks, np.int32)),
        "wave": Array({"pixel": pixels}, "float64", {"units": "Angstrom"}, values=wave),
        "spectrum": Array({"object": objects}, "int64", values=chosen.rows.astype(np.int64)),
        "object": Array({"object": objects}, "string", values=chosen.ids.astype(object)),
        "fold_of": Array({"object": objects}, "int32", values=fold_of),
        **of_classes,
    }


@lru_cache(maxsize=1)
def _loaded(flow: str, spectra: str, catalogue: str, out: str) -> tuple[Survey, Store]:
    posterior, store = load_posterior(flow), Store(Path(out))
    source, draws = open_store(spectra), open_store(catalogue)
    ids, rows = store.read("object"), store.read("spectrum")
    seeds = [object_seed(store.settings["seed"], str(name)) for name in ids]
    chosen = Teachers(rows, ids, np.array(seeds, dtype=np.int64), ids, {})
    return survey_of(posterior, source, draws, chosen, store.settings["draws"]), store


def _learn_shard(out: str, flow: str, spectra: str, catalogue: str, shard: int) -> int:
    survey, store = _loaded(flow, spectra, catalogue, out)
    write_batches(store, shard, partial(_fits, survey, store))
    rows = store.rows_of(shard)
    return rows.stop - rows.start


def _fits(survey: Survey, store: Store, rows: slice) -> dict[str, np.ndarray]:
    """All arrays of some fits."""
    fits = [_fit(survey, store, row) for row in range(rows.start, rows.stop)]
    return {name: np.stack([fit[name] for fit in fits]) for name in store.sharded}


def _fit(survey: Survey, store: Store, row: int) -> dict[str, np.ndarray]:
    """One path of errors, of one strength and what one fold leaves, of all objects or a class."""
    settings, every = store.settings, store.read("fold_of")
    of_class, place, fold = _place(settings, row)
    strength = settings["strengths"][place]
    some = np.full(len(every), True)
    if of_class != COMMON:
        some = store.read("member")[of_class].astype(bool)
        survey = replace(survey, spectra=survey.spectra[some], coordinates=survey.coordinates[some])
    care = Care(settings["rank"], settings["steps"], settings["moves"], strength)
    ranks = list(error_path(survey, every[some] != fold, care))
    templates = np.zeros(store.arrays["templates"].shape[1:])
    for rank, values in zip(ranks, templates, strict=True):
        values[: len(rank.error.templates)] = rank.error.curves
    gain = np.full((len(ranks), len(every)), np.nan)
    gain[:, some] = [rank.gain for rank in ranks]
    return {
        "class": np.int32(of_class),
        "fold": np.int32(fold),
        "strength": strength,
        "mean": np.array([rank.error.mean for rank in ranks]),
        "templates": templates,
        "gain": gain,
        "history": np.array([rank.history for rank in ranks]),
    }


def _place(settings: dict, row: int) -> tuple[int, int, int]:
    """Class, number of the strength, and fold of a fit: first come those of all objects."""
    folds, strengths = settings["folds"], len(settings["strengths"])
    if row < strengths * (folds + 1):
        place, fold = divmod(row, folds + 1)
        return COMMON, place, WHOLE if fold == folds else fold
    of_class, rest = divmod(row - strengths * (folds + 1), strengths * folds)
    return of_class, *divmod(rest, folds)
