"""Pairs of a training store that a flow can be judged by: what several benchmarks read."""

import numpy as np

from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.store.opening import open_complete


def judged_pairs(
    posterior: Posterior, pairs: str, n: int, split: str = "test"
) -> tuple[np.ndarray, Batch]:
    """Truths in `Prior.coordinates` and spectra: the first n that are usable and in the prior."""
    store = open_complete(pairs, "augment")
    whole = split_of(store.settings, store.rows, split)
    rows = slice(whole.start, min(whole.start + 2 * n, whole.stop))
    theta, flux, ivar, zred = (store.read(name, rows) for name in ("theta", "flux", "ivar", "zred"))
    truth = posterior.prior.coordinates(theta)
    good = posterior.prior.inside(truth, zred) & posterior.usable(flux, ivar)
    good = np.flatnonzero(good)[:n]
    return truth[good], Batch(flux, ivar, np.arange(len(flux)), zred)[good]
