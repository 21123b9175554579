"""From what lies on disk to the parts that compute with it."""

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hpcsbi.errors import BadInput
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.run.folder import FlowFolder, finished_weights
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.table.derived import DerivedQuantities
from hpcsbi.simulator.table.ssp_arrays import table_arrays
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.files import load_weights
from hpcsbi.store.opening import open_complete
from hpcsbi.store.settings import Settings, refuse_other_settings
from hpcsbi.store.store import Store

if TYPE_CHECKING:
    import xarray

__all__ = ["load_engine", "load_posterior", "refuse_other_model"]

JUDGED = ("prior", "grid", "noise")  # spectra of other physics may try a flow


def load_posterior(folder: str | Path, device: torch.device | str = "cpu") -> Posterior:
    """The trained flow of a folder, made once per process: its table takes seconds.

    Arguments:
        folder: of the flow.
        device: where it computes.

    Raises:
        FileNotFoundError: the flow is not trained, or not to its end.
        BadInput: its table is gone, without which it would draw nonsense.
        Damaged: its file is cut short.
    """
    path = finished_weights(folder)
    return _posterior(FlowFolder(Path(folder)), path.stat().st_mtime_ns, torch.device(device))


@lru_cache(maxsize=1)
def _posterior(folder: FlowFolder, written: int, device: torch.device) -> Posterior:
    """The flow of a folder as it was when its file was `written`, on a device."""
    tensors, header = load_weights(folder.weights)
    settings = Settings(folder.weights, Settings(folder.weights, header)["settings"])
    model, ssp, derived = Model.of(settings), None, None
    if folder.table.exists():
        ssp = load_engine(folder.table, model.prior)
        derived = load_derived(folder.table, ssp)
        if device.type != "cpu":  # derived quantities keep theirs, on the processor
            ssp = deepcopy(ssp)
    posterior = Posterior(settings, tensors, header.get("notice", ""), ssp, derived, device)
    # Its shifted columns count from spectra of the table: without it masses would be wrong by dex.
    if ssp is None and "table" in settings and posterior.representation.column:
        raise BadInput(
            f"{folder.table} is not there, from whose spectra the parameters of this flow count: "
            "put that table back, or train again."
        )
    return posterior


def load_engine(table: str | Path, prior: Prior) -> Ssp:
    """The table engine over the ranges of a prior."""
    store = open_complete(table, "tabulate")
    physics = Physics(**store.settings["physics"])
    return Ssp(**table_arrays(store, prior.names), prior=prior, physics=physics)


def load_derived(table: str | Path, ssp: Ssp) -> DerivedQuantities:
    """What makes the derived quantities of draws.

    Arguments:
        table: of the engine.
        ssp: `load_engine(table, ...)`.

    Raises:
        BadInput: an older version made the table.
    """
    store = open_complete(table, "tabulate")
    arrays = ssp.nebular.derived
    if missing := [name for name in arrays.values() if name not in store.arrays]:
        raise BadInput(
            f"{table} was made by an older version, without {', '.join(missing)}: make it again "
            "with jobs/tabulate.py and put it in its place; the spectra in it stay what they are."
        )
    return DerivedQuantities(ssp, **{name: store.read(array) for name, array in arrays.items()})


def refuse_other_model(posterior: Posterior, pairs: Store) -> None:
    """Raise unless a store of pairs has the prior, grid and noise that the flow was trained for.

    Raises:
        Mismatch: something differs.
    """
    models = Model.of(pairs.settings).settings(), posterior.model.settings()
    stored, asked = ({name: each[name] for name in JUDGED} for each in models)
    refuse_other_settings(
        pairs.path,
        stored,
        asked,
        "The flow (asked) and the pairs (in the store) must agree: name another calibrate.pairs "
        "or calibrate.flow.",
    )


def to_inference_data(path: str | Path, name: str) -> "xarray.DataTree":
    """The draws of one fitted object as InferenceData, which ArviZ takes as it is.

    Arguments:
        path: fits.zarr.
        name: id of the object.

    Returns:
        Groups `posterior` (one variable for each parameter, own units) and `sample_stats` (lp). The
        dimension chain has length one, for walkers depend on each other; the other is draw.

    Raises:
        ValueError: no such object, or it is not fitted.

    References:
        InferenceData schema specification, ArviZ documentation.
    """
    import xarray

    store = open_complete(path, "fit")
    ids = [str(identifier) for identifier in store.read("id")]
    row = ids.index(name) if name in ids else None
    if row is None or not store.read("n_steps")[row]:
        raise BadInput(f"{path} holds no chain of {name!r}: its objects are {', '.join(ids[:5])}")
    dims = ("chain", "draw")
    draws = store.read("samples", slice(row, row + 1))
    parameters = map(str, store.read("parameter"))
    posterior = {parameter: (dims, draws[..., i]) for i, parameter in enumerate(parameters)}
    stats = {"lp": (dims, store.read("log_prob", slice(row, row + 1)))}
    notes = {
        "converged": int(store.read("converged")[row]),
        "sampling_steps": int(store.read("n_steps")[row]),
        "notice": store.attributes.get("notice", ""),
    }
    groups = {
        "posterior": xarray.Dataset(posterior, attrs=notes),
        "sample_stats": xarray.Dataset(stats),
    }
    return xarray.DataTree.from_dict(groups)
