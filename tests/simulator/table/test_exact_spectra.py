"""The reference of the engine is a sum over populations."""

import dusty_table
import numpy as np
import pytest

from hpcsbi.simulator.table.exact_spectra import exact_spectra


@pytest.mark.parametrize("dust", [("dust2",), ("dust2", "dust1_fraction")])
def test_it_is_the_sum_over_populations(dust):
    """Of made-up ones, behind their dust, smoothed after it; of another dust it is not."""
    prior = dusty_table.prior(*dust)
    engine = dusty_table.engine(2, prior)
    theta = prior.sample(30, np.random.default_rng(0))
    right = dusty_table.truth(theta, prior.names, 2)

    spectra = exact_spectra(engine, theta, prior.names)
    assert spectra.dtype == float
    error = np.abs(np.log(spectra / right))
    assert np.median(error) < 1e-4 and np.percentile(error, 99) < 5e-3
    theta[:, prior.names.index("dust2")] += 0.05
    assert np.median(np.abs(np.log(exact_spectra(engine, theta, prior.names) / right))) > 0.01
