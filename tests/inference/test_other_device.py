"""Posteriors off the processor: the same numbers to rounding, and nothing of theirs left behind."""

import copy
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from one_device import META, OneDevice, without_compiled_loops

from hpcsbi.inference.columns.line_excess import line_excess_columns
from hpcsbi.inference.columns.measurement import measure
from hpcsbi.inference.columns.observed_lines import observed_line_columns
from hpcsbi.inference.columns.row_checks import P_VALUES, predictive_columns
from hpcsbi.inference.network import training_pairs
from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.maf_inverse import Inverse
from hpcsbi.inference.network.optimiser import Optimiser
from hpcsbi.inference.network.training_pairs import FreshPairs
from hpcsbi.inference.sampling.certificate import QUANTILES, certify
from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.inference.sampling.rescue import Effort
from hpcsbi.inference.summary.optimum import Optimum
from hpcsbi.inference.summary.representations import fit_representation
from hpcsbi.run.flows import load_engine, load_posterior
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.statistics.importance_weights import strong
from hpcsbi.store.opening import open_complete

LEVELS = list(QUANTILES.values())
NOISE = SurveyNoise(snr=(5, 40), cut=0.0, calibration=0.04, model_error=0.01, line_error=1.0)
OBJECTS, DRAWS = 12, 400


@pytest.fixture(scope="module")
def spectra(small_run) -> Batch:
    """Test spectra of the run."""
    store = open_complete(small_run / "training.zarr", "augment")
    first = split_of(store.settings, store.rows, "test").start
    rows = slice(first, first + OBJECTS)
    flux, ivar, zred = (store.read(name, rows) for name in ("flux", "ivar", "zred"))
    return Batch(flux, ivar, np.arange(OBJECTS), zred.astype(float))


@pytest.fixture(scope="module")
def batch(spectra) -> Batch:
    """Two of them: on META there are no numbers to compare."""
    return spectra[:2]


@pytest.fixture
def both(small_run, monkeypatch) -> tuple[Posterior, Posterior]:
    """The posterior by compiled loops, and by torch alone, which needs `without_compiled_loops`."""
    folder = small_run / "flows" / "demo"
    compiled = load_posterior(folder)
    with monkeypatch.context() as patch:
        without_compiled_loops(patch)
        plain = load_posterior(folder, "cpu:0")  # a name of the processor that nothing else has
    assert isinstance(compiled.invert, Inverse) and not isinstance(plain.invert, Inverse)
    return compiled, plain


def test_torch_draws_and_weighs_as_the_compiled_loops_do(both, spectra, monkeypatch):
    """The same base draws become the same quantiles, with the same weights and checks.

    Rounding moves most of them by less than a tenth of what other draws would. One draw at the edge
    of the prior, or of a quantile, may be another, and one rescue a step longer.
    """
    compiled, plain = both
    others = replace(spectra, seeds=spectra.seeds + 100)
    first = measure(compiled, spectra, DRAWS, 20, True)
    measured, other = first.columns, measure(compiled, others, DRAWS, 20, True).columns
    with monkeypatch.context() as patch:
        without_compiled_loops(patch)
        again = measure(plain, spectra, DRAWS, 20, True).columns
        checks = predictive_columns(plain.prior, plain.likelihood, first.draws, spectra)

    known = measured["n_draws"] == DRAWS
    good = known & (measured["n_weights"] == again["n_weights"])
    for columns in (measured, again):
        good &= strong(columns["ess"], columns["pareto_k"])
    assert good.sum() > 2
    width = np.ptp(measured["flow_quantiles"][:, [1, 3]], axis=1)[:, None]
    for name, rows in (("flow_quantiles", known), ("quantiles", good)):
        rounding, noise = (
            np.abs(each[name] - measured[name])[rows] / width[rows] for each in (again, other)
        )
        assert np.median(rounding) < 0.01 * np.median(noise)
        assert np.quantile(rounding, 0.9) < 0.1 * np.quantile(noise, 0.9)
    assert np.median(np.abs(again["ess"] / measured["ess"] - 1)[good]) < 0.01
    assert np.allclose(measured["chi2"], checks["chi2"], rtol=1e-3, equal_nan=True)
    for name in P_VALUES:
        assert np.allclose(measured[name], checks[name], atol=0.02, equal_nan=True)


@pytest.fixture(scope="module", params=[("projection", "zuko_maf"), ("optimum", "sbi_maf")])
def elsewhere(small_run, request) -> Posterior:
    """A posterior on META with errors of all smooth kinds in its likelihood, untrained."""
    kind, network = request.param
    table, flow = small_run / "ssp.zarr", Flow(network, 16, 2)
    settings = copy.deepcopy(dict(load_posterior(small_run / "flows" / "demo").settings))
    settings["training"]["noise"] = NOISE.settings()
    settings |= {"representation": kind, "flow": asdict(flow)}
    prior = Model.of(settings).prior
    ssp = load_engine(table, prior)
    wave, likelihood = torch.from_numpy(ssp.wave).float(), of_simulator(ssp, prior.names, NOISE)
    supply = FreshPairs(prior, ssp, NOISE, wave, 8, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_pairs, "SAMPLE", 1000)
        patch.setattr(Optimum, "rounds", 1)
        parts = kind, prior, ssp.k, ssp, supply.sample, likelihood
        tensors = Optimiser(flow, fit_representation(*parts), 10, 1e-3, 0).tensors()
        tensors = {name: torch.from_numpy(values) for name, values in tensors.items()}
        yield Posterior(settings, tensors, ssp=ssp, device=META)


@pytest.fixture
def drawn(elsewhere, batch) -> Draws:
    """Draws on META that lie inside the prior, with what the flow knows of the spectra."""
    prior, rng = elsewhere.prior, np.random.default_rng(0)
    n, draws = len(batch), 40
    coordinates = prior.sample_coordinates(n * draws, rng, batch.zred.max())
    base = rng.standard_normal((n, draws, elsewhere.n_base)).astype(np.float32)
    with OneDevice():
        known = elsewhere.conditions(batch)
    log_prob, kept = np.zeros((n, draws), np.float32), np.full(n, draws)
    coordinates = coordinates.reshape(n, draws, -1)
    return Draws(coordinates, log_prob, kept, np.ones(n), base, known)


def test_all_tensors_of_a_posterior_move(elsewhere):
    """Those of network, representation, table and likelihood, kept numbers or not."""
    modules = elsewhere.representation, elsewhere.likelihood
    tensors = [*elsewhere.network.parameters(), *elsewhere.network.buffers()] + [
        value
        for part in modules
        for module in part.modules()
        for value in (*module.buffers(False), *vars(module).values())
        if isinstance(value, torch.Tensor)
    ]

    assert elsewhere.device == elsewhere.likelihood.device == META
    assert elsewhere.ssp is elsewhere.likelihood.ssp is elsewhere.representation.ssp
    assert len(tensors) > 30 and {each.device for each in tensors} == {META}


def test_nothing_of_the_processor_is_mixed_in(elsewhere, batch, drawn):
    """From spectra to columns of the catalogue; what comes back is the processor's."""
    prior, likelihood = elsewhere.prior, elsewhere.likelihood
    with OneDevice():
        assert len(elsewhere.usable(batch.flux, batch.ivar)) == len(batch)
        sampled = elsewhere.sample(batch, 20, conditions=drawn.conditions)
        mapped, log_jacobian = elsewhere.mapping(drawn.conditions)(drawn.base)
        density = elsewhere.log_density(drawn.coordinates[:, 0], drawn.conditions)
        effort = Effort(300, most=300)
        certified = certify(elsewhere, likelihood, drawn, batch, LEVELS, effort)
        columns = predictive_columns(prior, likelihood, drawn, batch)
        columns |= line_excess_columns(prior, likelihood, drawn, batch)
        columns |= observed_line_columns(elsewhere, likelihood, drawn, batch)

    assert drawn.conditions.context.device == drawn.conditions.shift.device == META
    assert len(drawn.conditions[np.array([1])]) == 1
    arrays = sampled.coordinates, mapped, log_jacobian, density, *certified.numbers.values()
    assert all(isinstance(values, np.ndarray) for values in (*arrays, *columns.values()))
    assert {"chi2", "line_excess", "observed_luminosity"} <= {*columns}


@pytest.mark.parametrize(
    ("part", "name"), [("representation", "context_mean"), ("likelihood", "factor")]
)
def test_a_number_left_behind_is_noticed(elsewhere, batch, drawn, part, name):
    """The check of the test before: one tensor on another device ends the work."""
    module = getattr(elsewhere, part)
    moved = getattr(module, name)
    setattr(module, name, torch.ones(moved.shape, dtype=moved.dtype))
    try:
        with OneDevice(), pytest.raises(RuntimeError, match="meta"):
            elsewhere.conditions(batch)
            predictive_columns(elsewhere.prior, elsewhere.likelihood, drawn, batch)
    finally:
        setattr(module, name, moved)
