import copy
from functools import cache

import pytest
import tiny
import torch
from one_device import META, Generator, OneDevice

from hpcsbi.inference.network import training_pairs
from hpcsbi.inference.network.flow import Flow
from hpcsbi.inference.network.networks import NETWORKS
from hpcsbi.inference.network.optimiser import Optimiser
from hpcsbi.inference.network.training_pairs import FreshPairs
from hpcsbi.inference.summary.optimum import Optimum
from hpcsbi.inference.summary.representations import (
    REPRESENTATIONS,
    fit_representation,
    make_representation,
)
from hpcsbi.run.flows import load_engine
from hpcsbi.simulator import pairs as simulator_pairs
from hpcsbi.simulator.observation.noise import FractionalNoise, SurveyNoise
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.theta.prior import Prior

PRIOR = Prior({"logmass": {"low": 8, "high": 13}, "dust2": {"low": 0, "high": 4}})


def new_fit(steps: int = 400) -> Optimiser:
    tensors = {"context_mean": torch.zeros(3)}
    return Optimiser(
        Flow("zuko_maf", 16, 2), make_representation("plain", PRIOR, tensors), steps, 5e-3, seed=0
    )


def pairs(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """u = first two context numbers plus noise of 0.1."""
    generator = torch.Generator().manual_seed(seed)
    context = torch.randn(n, 3, generator=generator)
    return context[:, :2] + 0.1 * torch.randn(n, 2, generator=generator), context


def test_fit_reaches_the_known_density():
    """The held-out score of a Gaussian of known width comes close to its entropy."""
    fit = new_fit()
    for step in range(fit.steps):
        fit.update(*pairs(256, step))
    u, context = pairs(4000, 10_000)
    best = 2 * (-0.5 - torch.log(torch.tensor(0.1)) - 0.5 * torch.log(torch.tensor(2 * torch.pi)))

    score = fit.score((u, context, torch.zeros(4000)))
    assert best - 0.15 < score < best + 0.02


def test_rate_rises_and_ends_at_zero():
    """Warm-up, highest after 200 steps, zero at the end of the budget."""
    fit = new_fit(1000)
    rates = []
    for step in range(1001):
        fit.step = step
        rates.append(fit.learning_rate)

    assert rates[0] < 1e-4
    assert 180 < rates.index(max(rates)) < 220
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_state_goes_on_to_the_same_weights():
    """Stopped in the middle and loaded again, the weights are the same to the bit."""
    straight = new_fit(60)
    for step in range(60):
        straight.update(*pairs(64, step))
    first = new_fit(60)
    for step in range(25):
        first.update(*pairs(64, step))
    state = copy.deepcopy(first.tensors() | first.moments())
    second = new_fit(60)
    second.load(state, first.step, first.skipped)
    for step in range(25, 60):
        second.update(*pairs(64, step))

    for name, values in straight.tensors().items():
        assert (values == second.tensors()[name]).all(), name


def test_a_loss_that_is_not_finite_changes_nothing():
    """The step is counted and left out."""
    fit = new_fit(100)
    before = {name: values.copy() for name, values in fit.tensors().items()}
    u, context = pairs(64, 0)

    fit.update(u * torch.nan, context)

    assert (fit.step, fit.skipped) == (1, 1)
    assert all((before[name] == values).all() for name, values in fit.tensors().items())


@pytest.fixture(scope="module")
def engines():
    """The table over the tiny prior, without or with the columns of surveys."""
    return cache(lambda survey: load_engine(tiny.TABLE, tiny.prior(survey)))


@pytest.fixture
def elsewhere(engines, monkeypatch):
    """A training of a kind on META, and its supply of fresh pairs, whose table goes with it."""
    monkeypatch.setattr(training_pairs, "SAMPLE", 1000)
    monkeypatch.setattr(Optimum, "rounds", 1)
    adam = torch.optim.Adam  # META has no fused one
    monkeypatch.setattr("torch.optim.Adam", lambda parameters, lr, fused: adam(parameters, lr=lr))

    def make(kind: str, network: str) -> tuple[Optimiser, FreshPairs]:
        survey = kind in ("pixels", "projection", "optimum")
        prior, ssp = tiny.prior(survey), copy.deepcopy(engines(survey))
        noise = SurveyNoise(calibration=0.04) if survey else FractionalNoise()
        supply = FreshPairs(prior, ssp, noise, torch.from_numpy(ssp.wave).float(), 8, 0)
        likelihood = of_simulator(ssp, prior.names, noise)
        representation = fit_representation(kind, prior, ssp.k, ssp, supply.sample, likelihood)
        optimiser = Optimiser(Flow(network, 16, 2), representation, 10, 1e-3, 0, device=META)
        monkeypatch.setattr(simulator_pairs, "torch_generator", lambda *_: Generator())
        return optimiser, supply

    return make


@pytest.mark.parametrize("kind", REPRESENTATIONS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_step_follows_the_network_and_the_representation(elsewhere, kind, network):
    """Both moved, theta, spectra, noise, context, loss and moments are made where they are."""
    optimiser, supply = elsewhere(kind, network)

    with OneDevice():
        u, context = training_pairs._prepare(supply, optimiser.representation, 0)
        optimiser.update(u[:8], context[:8])

    moments = [value for state in optimiser.adam.state.values() for value in state.values()]
    assert (u.device, context.device) == (META, META)
    assert len(moments) > 0 and {value.device for value in moments if value.dim()} == {META}
    assert optimiser.skipped == 0


@pytest.mark.parametrize("name", ["low", "basis", "_products", "_of_bands"])
def test_a_number_left_behind_is_noticed(elsewhere, name):
    """The check of the test before: one tensor on another device ends the step."""
    optimiser, supply = elsewhere("projection", "zuko_maf")
    left = getattr(optimiser.representation, name)
    setattr(optimiser.representation, name, torch.ones(left.shape, dtype=left.dtype))

    with OneDevice(), pytest.raises(RuntimeError, match="meta"):
        training_pairs._prepare(supply, optimiser.representation, 0)
