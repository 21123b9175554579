"""The certificate on a short flow, on flows spoiled on purpose, and on data no model can make."""

import warnings

import numpy as np
import pytest
import tiny
import torch
from negative_controls import spoiled
from scipy import stats

from hpcsbi.inference.columns.row_checks import predictive_columns
from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.sampling.certificate import certify
from hpcsbi.inference.sampling.rescue import Effort
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.observation.noise import FractionalNoise
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.probability.likelihood import Likelihood
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.calibration import ks_p_values
from hpcsbi.statistics.importance_weights import strong
from hpcsbi.store.opening import open_complete

N, DRAWS = 200, 1000
LEVELS = [0.16, 0.5, 0.84]
SEEDS = np.arange(N)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """A flow after ten CPU seconds, and truths and spectra that it never saw."""
    run = tmp_path_factory.mktemp("certificate")
    training = tiny.pairs(run, n=500, test=N)
    folder = tiny.trained(
        run, training, steps=600, batch=512, flow=Flow("zuko_maf", hidden=64, transforms=4)
    )
    store = open_complete(training, "augment")
    rows = split_of(store.settings, store.rows, "test")
    return load_posterior(folder), *(store.read(name, rows) for name in ("theta", "flux", "ivar"))


def p_of(posterior, found, flux, ivar):
    """Predictive p-values of the best draws there are."""
    batch = Batch(flux, ivar, SEEDS[: len(flux)])
    columns = predictive_columns(posterior.prior, posterior.likelihood, found.draws, batch)
    return columns["predictive_p"]


def certified(posterior, flux, ivar, likelihood=None, **options):
    batch = Batch(flux, ivar, SEEDS[: len(flux)])
    drawn = posterior.sample(batch, DRAWS, cap=20)
    likelihood = likelihood or posterior.likelihood
    return certify(posterior, likelihood, drawn, batch, LEVELS, **options)


@pytest.fixture(scope="module")
def plain(flow):
    """Weights of the flow's own draws, nothing rescued."""
    posterior, _, flux, ivar = flow
    return certified(posterior, flux, ivar, effort=None)


@pytest.fixture(scope="module")
def rescued(flow):
    posterior, _, flux, ivar = flow
    return certified(posterior, flux, ivar)


@pytest.mark.slow
def test_rescue_saves_a_short_flow(plain, rescued):
    """Half of the spectra are weak after ten seconds of training; next to none after the rescue."""
    assert 0.2 < plain.reweighted.mean() < 0.9
    assert rescued.reweighted.mean() > 0.97
    good = plain.reweighted
    assert np.array_equal(plain.quantiles[:, good], rescued.quantiles[:, good])
    assert np.array_equal(
        rescued.reweighted, strong(rescued.numbers["ess"], rescued.numbers["pareto_k"])
    )


@pytest.mark.slow
def test_reweighted_posteriors_are_calibrated(flow, rescued):
    """Ranks of the truths among the re-weighted draws are uniform, for every parameter."""
    posterior, theta, _, _ = flow
    truth = posterior.prior.coordinates(theta)
    ranks = (rescued.draws.coordinates < truth[:, None]).sum(1)
    p = ks_p_values(ranks, DRAWS)
    inside = (rescued.quantiles[0] < theta) & (theta < rescued.quantiles[2])

    assert p.min() > 1e-4 / 5
    assert np.abs(inside.mean(0) - 0.68).max() < 0.15  # 4.5 standard deviations


@pytest.mark.slow
def test_exact_score_is_above_the_flows(flow, rescued):
    """Mean ln p of the truths under the exact posterior lies above the flow's, as it must."""
    posterior, theta, flux, ivar = flow
    spectra = (torch.from_numpy(a) for a in (flux, ivar))
    truth = torch.from_numpy(theta[:, None]).float()
    log_prior = -np.log(posterior.prior.high - posterior.prior.low).sum()
    exact = posterior.likelihood(*spectra, truth)[:, 0].numpy() + log_prior
    score = posterior.log_prob(posterior.prior.coordinates(theta), flux, ivar)
    gap = exact - rescued.numbers["log_evidence"] - score
    gap = gap[rescued.reweighted]

    assert gap.mean() > 3 * gap.std() / np.sqrt(N) > 0


@pytest.mark.slow
@pytest.mark.parametrize("width, shift", [(0.7, 0.0), (1.0, 0.5)])
def test_a_spoiled_flow_is_noticed_and_mended(flow, plain, rescued, width, shift):
    """30 % too narrow or 0.5 sd off in each direction: k up, ESS down; re-weighted, the same.

    The truth of the comparison is the rescue of the flow as it was, with draws of its own.
    """
    posterior, _, flux, ivar = flow
    few = slice(80)
    wrong = spoiled(posterior, width, shift)
    noticed = certified(wrong, flux[few], ivar[few], effort=None).numbers
    mended, own = certified(wrong, flux[few], ivar[few]), plain.numbers

    assert np.median(noticed["ess"]) < 0.6 * np.median(own["ess"])
    assert np.median(noticed["pareto_k"]) > np.median(own["pareto_k"]) + 0.03
    weak = ~strong(noticed["ess"], noticed["pareto_k"])
    assert weak.mean() > 1.3 * (~plain.reweighted).mean()
    exact = rescued.quantiles[:, few]
    sd = (exact[2] - exact[0]) / 2
    both = mended.reweighted & rescued.reweighted[few]
    assert both.mean() > 0.95
    raw, before = (
        one.sample(Batch(flux, ivar, SEEDS)[few], DRAWS).quantiles(posterior.prior, LEVELS)
        for one in (wrong, posterior)
    )
    both &= np.isfinite(raw[0] + before[0]).all(-1)  # where there are draws
    if shift:
        assert np.median((np.abs(raw[1] - before[1]) / sd)[both]) > 0.2
    else:
        assert np.median(((raw[2] - raw[0]) / (before[2] - before[0]))[both]) < 0.8
    found = mended.quantiles
    assert np.median((np.abs(found[1] - exact[1]) / sd)[both]) < 0.1
    assert np.median(((found[2] - found[0]) / (2 * sd))[both]) == pytest.approx(1, abs=0.03)
    one, two = ({k: v[few] for k, v in c.numbers.items()} for c in (mended, rescued))
    errors = np.hypot(one["log_evidence_error"], two["log_evidence_error"])
    pulls = (one["log_evidence"] - two["log_evidence"])[both] / errors[both]
    # Stopping as soon as weights look good takes 0.3 errors (0.02 nat) from the evidence of the
    # narrow flow, and pulls have a width of 1.2: the means of six runs with other random numbers.
    # The median of 80 scatters by 0.17 and their 90 % quantile, 2.1, by 0.2.
    assert (
        abs(np.median(pulls)) < 0.3 + 4 * 0.17 and np.quantile(np.abs(pulls), 0.9) < 2.1 + 4 * 0.2
    )
    difference = (one["log_evidence"] - two["log_evidence"])[both]
    assert abs(np.median(difference)) < 0.1  # nat


def test_another_dust_law_is_seen_by_the_predictive_p(flow, rescued):
    """Spectra behind a steeper curve fit badly whatever the weights say: p falls, k need not."""
    posterior, theta, _, _ = flow
    dust2 = theta[:, posterior.names.index("dust2")]
    theta = torch.from_numpy(theta[(dust2 > 1) & (dust2 < 3)][:60]).float()
    wave = torch.from_numpy(posterior.grid.wave).float()
    curves = (wave / 5500) ** -0.7, (wave / 5500) ** -1.3
    dust2 = theta[:, posterior.names.index("dust2"), None]
    steeper = posterior.ssp.flux(theta, posterior.names) * torch.exp(
        dust2 * (curves[0] - curves[1])
    )
    generator = torch.Generator().manual_seed(0)
    flux, ivar, _ = FractionalNoise()(steeper, wave, None, generator)
    found = certified(posterior, flux.numpy(), ivar.numpy(), effort=None)

    p, k = p_of(posterior, found, flux.numpy(), ivar.numpy()), found.numbers["pareto_k"]
    drawn = found.draws.kept > 0
    assert drawn.mean() > 0.5 and np.median(p[drawn]) < 1e-3
    assert ((k < 0.7) & (p < 1e-3)).any()  # k alone is no alarm
    right = p_of(posterior, rescued, flow[2], flow[3])
    # Of right posteriors at most 2 u lie below u.
    assert right.min() > 1e-4 / (2 * N) and np.median(right) > 0.3


def test_sigma_of_the_observed_flux_costs_effective_draws(flow, plain):
    """Taking the quoted ivar for the simulator's 5 % of the model is noticed."""
    posterior, _, flux, ivar = flow
    given = Likelihood(posterior.ssp, posterior.names, "given")
    wrong = certified(posterior, flux[:100], ivar[:100], given, effort=None)
    assert np.median(wrong.numbers["ess"]) < 0.75 * np.median(plain.numbers["ess"])


def test_an_object_does_not_depend_on_its_batch(flow, rescued):
    """Alone and with others, the same numbers to the rounding of batched products."""
    posterior, _, flux, ivar = flow
    rows = np.array([7, 3, 150])
    batch = Batch(flux, ivar, SEEDS)[rows]
    drawn = posterior.sample(batch, DRAWS)
    alone = certify(posterior, posterior.likelihood, drawn, batch, LEVELS)

    together = rescued.quantiles[:, rows]
    width = together[-1] - together[0]  # other draws would differ by some 7 % of it
    assert (np.abs(alone.quantiles - together) < 0.02 * width).all()
    for name, values in alone.numbers.items():
        assert np.allclose(values, rescued.numbers[name][rows], rtol=1e-2, atol=1e-2), name


def test_hopeless_spectra_give_no_warning(flow):
    """No draw inside the prior, or a spectrum like none: weak, numbered, the flow's draws kept."""
    posterior, _, flux, ivar = flow
    flux, ivar = flux[:2].copy(), ivar[:2].copy()
    flux[0] *= 1e9
    ivar[0] *= 1e-18
    flux[1, ::2] *= 1.3
    ivar[1, ::2] /= 1.3**2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = certified(posterior, flux, ivar, effort=Effort(500, most=1000))

        p = p_of(posterior, found, flux, ivar)

    assert not found.reweighted.any() and np.isnan(found.quantiles).all()
    assert found.numbers["ess"][0] == 0 and found.numbers["pareto_k"][0] == np.inf
    assert np.isnan(found.numbers["log_evidence"]).all() and np.isnan(p[0])
    assert (found.numbers["log_evidence_error"] == np.inf).all()
    assert found.draws.kept[0] == 0 < found.draws.kept[1] and p[1] < 1e-3


def test_weak_rows_have_no_evidence(plain):
    """A number with an error is told of strong weights only, after and before the rescue."""
    for numbers in (plain.numbers, plain.before):
        good = strong(numbers["ess"], numbers["pareto_k"])
        assert np.isfinite(numbers["log_evidence"][good]).all() and 0 < good.mean() < 1
        assert np.isfinite(numbers["log_evidence_error"][good]).all()
        assert np.isnan(numbers["log_evidence"][~good]).all()
        assert (numbers["log_evidence_error"][~good] == np.inf).all()


def test_a_likelihood_that_is_the_same_for_all_draws_is_not_strong(flow):
    """Whatever the constant: nothing was learned, or something has overflowed."""
    posterior, _, flux, ivar = flow

    class Same:
        device = torch.device("cpu")

        def __init__(self, value):
            self.value = value

        def __call__(self, flux, ivar, theta):
            return torch.full(theta.shape[:2], self.value, dtype=torch.float64)

    for value in (0.0, -700.0, -1.8e308, -np.inf, np.nan):
        found = certified(posterior, flux[:2], ivar[:2], Same(value), effort=Effort(500, most=500))
        assert not found.reweighted.any() and (found.numbers["ess"] == 0).all(), value
        assert (found.numbers["pareto_k"] == np.inf).all()
        assert np.isnan(found.numbers["log_evidence"]).all()


def test_evidence_counts_what_the_prior_cut_off(flow, plain):
    """Where the flow leaks out of the box, the evidence from wider proposals agrees with its own.

    Those count draws outside as weight zero; the flow's own are drawn until they are inside.
    """
    posterior, _, flux, ivar = flow
    leaking = np.flatnonzero((plain.draws.acceptance < 0.9) & plain.reweighted)[:30]
    batch = Batch(flux, ivar, SEEDS)[leaking]
    drawn = posterior.sample(batch, 10)
    other = certify(posterior, posterior.likelihood, drawn, batch, LEVELS)

    errors = np.hypot(
        plain.numbers["log_evidence_error"][leaking], other.numbers["log_evidence_error"]
    )
    pulls = (plain.numbers["log_evidence"][leaking] - other.numbers["log_evidence"]) / errors
    pulls = pulls[other.reweighted]
    assert len(pulls) >= 5
    assert abs(pulls.mean()) < 4 / np.sqrt(len(pulls)) and np.abs(pulls).max() < 5
    assert stats.chi2.sf((pulls**2).sum(), len(pulls)) > 1e-4
