"""Engines of a chain's likelihood: the table, FSPS itself, and which sigma they take."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from anchored import table_engine
from scipy import stats

from hpcsbi.grid import Grid
from hpcsbi.mcmc import likelihoods
from hpcsbi.mcmc.likelihoods import likelihood_of, log_likelihoods
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.table.exact_spectra import exact_spectra

PRIOR = tiny.prior()
THETA = PRIOR.sample(6, np.random.default_rng(0))


@pytest.fixture(scope="module")
def posterior():
    """What a likelihood takes of a posterior."""
    ssp = table_engine()
    return SimpleNamespace(
        ssp=ssp,
        names=PRIOR.names,
        likelihood=Likelihood(ssp, PRIOR.names, "fractional", 0.05),
        grid=Grid(),
        model=SimpleNamespace(physics=Physics()),
    )


@pytest.fixture(scope="module")
def batch(posterior):
    """A noisy spectrum of the first row of THETA, with two pixels missing."""
    flux = exact_spectra(posterior.ssp, THETA[:1], PRIOR.names)
    flux = flux * (1 + 0.05 * np.random.default_rng(1).normal(size=flux.shape))
    ivar = (0.05 * flux) ** -2
    ivar[:, [3, 77]] = 0
    return Batch(flux.astype(np.float32), ivar.astype(np.float32), np.zeros(1, int))


@pytest.mark.parametrize("kind", likelihoods.LIKELIHOODS)
def test_both_sigmas_are_a_product_of_normals(posterior, batch, kind):
    """5 % of the model, as the simulator has it, or the quoted sigma; they are not the same."""
    table, chosen = log_likelihoods(posterior, "table", kind, batch)
    valid = batch.ivar[0] > 0
    model = exact_spectra(posterior.ssp, THETA, PRIOR.names)[:, valid]
    flux, quoted = batch.flux[0, valid].astype(float), batch.ivar[0, valid].astype(float) ** -0.5
    both = {
        name: stats.norm.logpdf(flux, model, sigma).sum(1)
        for name, sigma in {"simulator": 0.05 * model, "given": quoted}.items()
    }

    assert table is chosen
    assert table(THETA) == pytest.approx(both[kind], rel=1e-3, abs=0.1)
    assert abs(both["given"] - both["simulator"])[0] > 0.5


def test_the_likelihood_of_the_simulator_is_the_posteriors(posterior):
    """And the given one takes no fraction of the model."""
    assert likelihood_of(posterior, "simulator") is posterior.likelihood
    given = likelihood_of(posterior, "given")
    assert (given.kind, given.fraction, given.ssp) == ("given", None, posterior.ssp)


def test_spectra_by_fsps_have_the_same_likelihood(posterior, batch, monkeypatch):
    """Where FSPS makes the table's spectra; what it cannot make has none, and no NaN."""

    def made(theta, names, grid, physics):
        assert (names, grid, physics) == (PRIOR.names, Grid(), Physics())
        flux = exact_spectra(posterior.ssp, theta, names).astype(np.float32)
        flux[2] = np.nan
        return flux, np.zeros(len(theta), np.int8)

    monkeypatch.setattr(likelihoods, "direct_spectra", made)
    table, direct = log_likelihoods(posterior, "prospector", "simulator", batch)
    values = direct(THETA)

    rest = np.arange(len(THETA)) != 2
    assert values[2] == -np.inf
    assert values[rest] == pytest.approx(table(THETA)[rest], rel=1e-3, abs=0.1)
    assert abs(np.diff(values[rest])).min() > 1  # control: other theta is told apart


def test_theta_that_is_no_number_has_no_likelihood(posterior, batch):
    """-inf, as a chain needs it, and the other rows as they were."""
    table, _ = log_likelihoods(posterior, "table", "simulator", batch)
    odd = THETA.copy()
    odd[1, 0] = np.nan

    assert table(odd)[1] == -np.inf
    assert np.array_equal(np.delete(table(odd), 1), np.delete(table(THETA), 1))
