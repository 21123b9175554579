"""A basis that holds every composite."""

import numpy as np
import tiny

from hpcsbi.simulator.galaxy.histories import family_of
from hpcsbi.simulator.galaxy.screen import Screen
from hpcsbi.simulator.galaxy.terms import Term
from hpcsbi.simulator.table.ssp_arrays import ARRAYS
from hpcsbi.simulator.table.ssp_basis import composites
from hpcsbi.stages.tabulate import SHIPPED
from hpcsbi.store.opening import open_complete


def test_basis_holds_every_composite():
    """Unscreened spectra of components come back to a thousandth of their flux in the median."""
    store, prior = open_complete(SHIPPED, "tabulate"), tiny.prior()
    table = {name: store.read(name) for name in ARRAYS}
    components = family_of(prior.names)(prior.columns).components(table["log_age"])
    tables = {name: table[name] for name in ("continuum", "lines")}
    terms = [Term(order) for order in range(3)]
    groups = np.ones((1, len(table["log_age"])), bool)
    [basis], coefficients = composites(components, tables, groups, terms, Screen.ranks)

    z, i = 2, 40 * 16 + 10
    ranks = Screen.ranks[0]["continuum"]
    rebuilt = coefficients[z * len(components) + i, : ranks[0]] @ basis[: ranks[0]]
    exact = components[i] @ table["continuum"][z, :, 0]
    error = np.abs(rebuilt.numpy() / exact - 1)

    assert np.median(error) < 1e-3 and error.max() < 1e-2
    assert basis.shape == (sum(map(sum, Screen.ranks[0].values())), len(table["wave"]))
