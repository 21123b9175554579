"""Which objects of a catalogue teach the model's error, with their spectra and draws."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hpcsbi.arguments import did_you_mean
from hpcsbi.errors import BadInput
from hpcsbi.flags import NOT_INFERRED, Flag
from hpcsbi.flags import names as flag_names
from hpcsbi.inference.learning.error_path import Survey
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.run.readers import instruments
from hpcsbi.seeds import object_seed
from hpcsbi.simulator.observation.learned_error import LARGEST_MEAN
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.store.opening import refuse_damage
from hpcsbi.store.store import Store
from hpcsbi.survey.object_lists import read_ids
from hpcsbi.survey.same_object import NEAR, object_names

__all__ = ["FEWEST_OBJECTS", "Teachers", "refuse_large_mean", "survey_of", "teachers"]

FEWEST_OBJECTS = 10
# Of these there are no draws that are the posterior's.
WITHOUT_POSTERIOR = NOT_INFERRED | Flag.NO_POSTERIOR | Flag.WEAK_WEIGHTS


@dataclass(frozen=True)
class Teachers:
    """The objects that teach.

    Arguments:
        rows: of catalogue and spectra, in the order of the seeds, shape (n,).
        ids, seeds: of these, shape (n,).
        objects: a name that spectra of one object share, see `same_object`, shape (n,).
        left_out: reason -> number of objects.
    """

    rows: np.ndarray
    ids: np.ndarray
    seeds: np.ndarray
    objects: np.ndarray
    left_out: dict[str, int]


def teachers(
    catalogue: Store, ids: str | None, leave_out: Sequence[str], most: int, seed: int
) -> Teachers:
    """Objects that are what the model says it makes, and have draws that are their posterior's.

    Arguments:
        catalogue: with certified draws.
        ids: a file of ids: no others; None for all.
        leave_out: names of flags of objects that teach nothing, beside WITHOUT_POSTERIOR.
        most: objects, chosen at random.
        seed: of the choice.

    Raises:
        BadInput: too few, or of one object, or an unknown flag.
    """
    if unknown := [name for name in leave_out if name not in Flag.__members__]:
        raise BadInput(
            f"learn.leave_out names {unknown[0]}, which is no flag"
            f"{did_you_mean(unknown[0], Flag.__members__)}"
        )
    without = int(WITHOUT_POSTERIOR) | sum(int(Flag[name]) for name in set(leave_out))
    refuse_damage(catalogue, "infer", slice(0, catalogue.rows), ("id", "flags", "samples"))
    names = np.array([str(name) for name in catalogue.read("id")])
    flags, left_out = catalogue.read("flags"), Counter()
    drawn = np.isfinite(catalogue.read("samples")).all((1, 2))
    wanted = np.ones(len(names), bool) if ids is None else np.isin(names, read_ids(ids))
    for value in flags[wanted]:
        left_out.update(flag_names(int(value) & without))
    good = wanted & (flags & without == 0)
    left_out["too few draws"] = int((good & ~drawn).sum())
    rows = np.flatnonzero(good & drawn)
    seeds = np.array([object_seed(seed, name) for name in names[rows]], dtype=np.int64)
    order = np.argsort(seeds)[:most]
    left_out["beyond learn.objects"] = max(len(rows) - most, 0)
    if len(order) < FEWEST_OBJECTS:
        reasons = ", ".join(f"{name} {count}" for name, count in left_out.items() if count)
        raise BadInput(
            f"{catalogue.path} has {len(order)} objects to learn from, and it takes "
            f"{FEWEST_OBJECTS} at least (some hundred for templates)"
            + (f"; left out: {reasons}." if reasons else ".")
        )
    left_out = {name: count for name, count in left_out.items() if count}
    objects = object_names(names, _positions(catalogue))[rows][order]
    if len(set(objects)) < 2:
        raise BadInput(
            f"{catalogue.path}: all spectra that could teach are of one object (one id, or within "
            f"{NEAR:g} arcsecond of each other), and none can be held out: learn from a survey."
        )
    return Teachers(rows[order], names[rows][order], seeds[order], objects, left_out)


def _positions(catalogue: Store) -> np.ndarray:
    """RA and DEC, degrees, NaN in catalogues that have none."""
    if "position" in catalogue.arrays:
        return catalogue.read("position")
    return np.full((catalogue.rows, 2), np.nan)


def survey_of(
    posterior: Posterior, source: Store, catalogue: Store, chosen: Teachers, draws: int
) -> Survey:
    """Spectra and draws of the chosen objects.

    Arguments:
        posterior: the flow that made the draws.
        source, catalogue: stores of spectra and draws.
        chosen: the objects.
        draws: of each, at most.
    """
    order = np.argsort(chosen.rows)
    back, rows = np.argsort(order), chosen.rows[order]
    refuse_damage(source, "ingest", rows)
    flux, ivar, zred = (source.read(name, rows)[back] for name in ("flux", "ivar", "zred"))
    theta = catalogue.read("samples", rows)[back][:, :draws]
    added = instruments(source, rows, posterior.model.noise)[0]
    spectra = Batch(flux, ivar, chosen.seeds, zred, None if added is None else added[back])
    coordinates, model = posterior.prior.coordinates(theta), posterior.model
    # float32 draws on a bound may round out of it.
    upper = np.broadcast_to(posterior.prior.upper(zred), (len(zred), theta.shape[2]))
    coordinates = coordinates.clip(posterior.prior.low, upper[:, None])
    rest = posterior.prior, model.noise, model.grid.settings()
    return Survey(spectra, coordinates, posterior.ssp, *rest)


def refuse_large_mean(survey: Survey, posterior: Posterior) -> None:
    """Raise where residuals are as large as the spectra: that is no error of a model.

    Raises:
        BadInput: the median residual of some pixel is.
    """
    theta = survey.prior.theta(survey.coordinates[:, :1], np.float32)
    flux, ivar, *added = map(torch.from_numpy, survey.spectra.spectra)
    with torch.no_grad():
        model = posterior.likelihood.expected_spectra(flux, ivar, torch.from_numpy(theta), *added)
    ratio = np.where(survey.spectra.ivar > 0, survey.spectra.flux / model[:, 0].numpy() - 1, np.nan)
    seen = np.isfinite(ratio).sum(0) >= FEWEST_OBJECTS / 2
    if not seen.any():
        raise BadInput("no pixel is seen in half of the fewest objects that learn takes.")
    largest = np.abs(np.nanmedian(ratio[:, seen], axis=0)).max()
    if largest > LARGEST_MEAN:
        raise BadInput(
            f"the median residual reaches {largest:.2g} of the model's flux: above {LARGEST_MEAN} "
            "it is as large as the signal, and no error of a model; look at units, redshifts and "
            "classes of the spectra."
        )
