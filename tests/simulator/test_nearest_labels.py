"""Labels of the authors' code: wide by the distance to the nearest simulation."""

import numpy as np
import pytest
import tiny
from scipy.stats import kstest

from hpcsbi.errors import BadInput
from hpcsbi.simulator.nearest_labels import NearestLabels
from hpcsbi.simulator.theta.prior import Prior


@pytest.mark.parametrize("seed", [0, 1])
def test_labels_are_draws_of_the_prior_and_spectra_the_nearest(seed):
    """As the search through all of them says, in coordinates, with tau in log10."""
    rng, prior = np.random.default_rng(seed), tiny.prior()
    there = prior.sample(500, rng)
    theta, rows = NearestLabels(prior, there).draw(2000, rng)
    labels, others = prior.coordinates(theta), prior.coordinates(there)

    assert np.array_equal(rows, ((labels[:, None] - others) ** 2).sum(-1).argmin(1))
    unit = (labels - prior.low) / (prior.high - prior.low)
    assert min(kstest(column, "uniform").pvalue for column in unit.T) > 1e-6


def test_more_simulations_make_smaller_errors():
    """Of a column by the fifth root of their number, for there are five columns."""
    rng, prior = np.random.default_rng(0), tiny.prior()

    def error(n: int) -> float:
        there = prior.sample(n, rng)
        theta, rows = NearestLabels(prior, there).draw(4000, rng)
        return (prior.coordinates(theta) - prior.coordinates(there[rows]))[:, 0].std()

    assert error(200) / error(6400) == pytest.approx(2, abs=0.4)


def test_what_cannot_be_drawn_or_looked_up_is_refused():
    """A prior that ends ages at the redshift, and no simulations at all."""
    prior = tiny.prior()
    with pytest.raises(BadInput, match=r"augment\.labels=own, or prior=digs"):
        NearestLabels(
            Prior(prior.columns, bound_age=True), prior.sample(9, np.random.default_rng())
        )
    with pytest.raises(BadInput, match="no simulation is left"):
        NearestLabels(prior, np.empty((0, len(prior.names))))
