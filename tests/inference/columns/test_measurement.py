"""What is measured of spectra: draws that stand behind the columns, whoever asks for them."""

from dataclasses import replace

import numpy as np
import pytest
import small_run as shared

from hpcsbi.flags import Flag
from hpcsbi.inference.columns.measurement import measure
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import weighted_quantiles
from hpcsbi.store.opening import open_complete

LEVELS = list(QUANTILES.values())


@pytest.fixture(scope="module")
def run(small_run):
    """The flow and its three spectra."""
    store = open_complete(small_run / "spectra.zarr", "ingest")
    flux, ivar, zred = (store.read(name) for name in ("flux", "ivar", "zred"))
    return load_posterior(small_run / "flows" / "demo"), Batch(flux, ivar, np.arange(3), zred)


def test_draws_and_weights_stand_behind_the_quantiles(run):
    """Those of the catalogue's columns, with as many draws as were to be kept."""
    posterior, batch = run
    measured = measure(posterior, batch[:1], shared.DRAWS, shared.CAP, True, 20)
    [(coordinates, weights)] = measured.weighted
    weak = measured.columns["origin"][0] == "flow"

    theta = posterior.prior.theta(coordinates, np.float32)
    again = (
        np.quantile(theta, LEVELS, axis=0) if weak else weighted_quantiles(theta, weights, LEVELS)
    )

    assert (weights is None) == weak == bool(measured.columns["flags"][0] & Flag.WEAK_WEIGHTS)
    assert weak or weights.sum() == pytest.approx(1)
    assert np.allclose(again, measured.columns["quantiles"][0], rtol=1e-5)
    assert measured.columns["samples"].shape == (1, 20, len(posterior.names))


def test_without_a_certificate_all_is_the_flows(run):
    """No columns of it, and no draws that nobody asked to keep."""
    posterior, batch = run
    measured = measure(posterior, batch[:1], 100, 50, False)

    assert not {"ess", "origin", "flow_quantiles", "samples"} & {*measured.columns}
    assert measured.weighted[0][1] is None
    assert np.array_equal(measured.draws.coordinates[0], measured.weighted[0][0])


def test_an_old_galaxy_where_the_universe_was_young_is_flagged(run):
    """Its ages lie beyond the bound that cuts them; at its own redshift they do not."""
    posterior, batch = run
    young = replace(batch, zred=np.full_like(batch.zred, 5.0))

    flags, other = (
        measure(posterior, each, 100, 50, False).columns["flags"] for each in (batch, young)
    )

    assert not (flags & Flag.OLDER_THAN_UNIVERSE).any()
    assert (other & Flag.OLDER_THAN_UNIVERSE).any()
