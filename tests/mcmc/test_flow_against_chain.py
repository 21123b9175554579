"""What a chain says of a flow: small numbers for a good one, the right ones for a wrong one."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from scipy.stats import norm

from hpcsbi.flags import Flag
from hpcsbi.inference.columns.observed_lines import OBSERVED
from hpcsbi.inference.columns.row_checks import P_VALUES
from hpcsbi.inference.sampling.certificate import QUANTILES, Certificate, certify
from hpcsbi.inference.sampling.draws import Draws
from hpcsbi.mcmc.chain import Chain, Settings, advance, is_finished
from hpcsbi.mcmc.fit_columns import ARRAYS, METHODS, columns_with_chains
from hpcsbi.mcmc.flow_against_chain import comparison_columns
from hpcsbi.mcmc.likelihoods import log_likelihoods
from hpcsbi.mcmc.starts import target_and_first_chain
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_complete
from hpcsbi.store.schema import empty_columns

PRIOR = tiny.prior()
MIDDLE, SD = (PRIOR.low + PRIOR.high) / 2, 0.03 * (PRIOR.high - PRIOR.low)
N = 6000


def normal(seed, *shape, width=1.0):
    """Normal draws in the middle of the prior, in its coordinates."""
    return MIDDLE + width * SD * np.random.default_rng(seed).normal(size=(*shape, 5))


def against_chain(width, rescued=True):
    """Columns for a flow of so many times the width of a chain that is exact."""
    z = np.empty((0, 5))
    past = normal(0, 500, 64)
    chain = Chain(z, z, z, z, z, z, z, past, np.zeros(past.shape[:2]), steps=500)
    proposals = normal(4, N, width=width)
    off = (proposals - MIDDLE) / SD
    log_weights = (norm.logpdf(off) - norm.logpdf(off, scale=width)).sum(1)
    weights = np.exp(log_weights) / np.exp(log_weights).sum()
    equal = proposals[np.random.default_rng(2).choice(N, N, p=weights)]
    drawn = Draws(proposals[None], np.zeros((1, N)), np.array([N]), np.ones(1))
    numbers = {"pareto_k": np.array([0.3]), "ess": np.array([900.0]), "n_weights": np.array([N])}
    best = Certificate(
        Draws(equal[None], np.zeros((1, N)), np.array([N]), np.ones(1)),
        np.array([rescued]), np.zeros(1), numbers, numbers, ((proposals, weights),),
    )  # fmt: skip
    return comparison_columns(chain, PRIOR, (drawn, best), 2000)


def of(columns, name, method):
    return columns[name][METHODS.index(method)]


def test_good_flow_is_no_distance_away():
    """The same normal: 0.02 sd, the chain's halves less, and a classifier that cannot tell."""
    columns = against_chain(1.0)

    assert of(columns, "wasserstein", "flow").max() < 0.04
    assert of(columns, "wasserstein", "halves").mean() < of(columns, "wasserstein", "flow").mean()
    assert columns["width_ratio"] == pytest.approx(1, abs=0.06)
    assert columns["c2st"] == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("width", [0.7, 1.3])
def test_wrong_width_is_told_and_weights_mend_it(width):
    """The flow's own ratio is the width; the weighted draws are again as wide as the chain."""
    columns = against_chain(width)

    assert of(columns, "width_ratio", "flow") == pytest.approx(width, abs=0.05)
    expected = abs(1 - width) * np.sqrt(2 / np.pi)
    assert of(columns, "wasserstein", "flow") == pytest.approx(expected, abs=0.03)
    assert of(columns, "c2st", "flow") > 0.6
    if width > 1:  # narrow proposals have heavy weights
        assert of(columns, "width_ratio", "reweighted") == pytest.approx(1, abs=0.08)
        assert of(columns, "wasserstein", "reweighted").max() < 0.05
        assert of(columns, "c2st", "reweighted") < 0.55


@pytest.mark.slow
def test_weights_under_an_informative_prior_agree_with_a_chain(tmp_path):
    """A flow trained under a normal mass and a Student's t metallicity, weighted, and a chain that
    has not seen it: the same means and widths. Control: under the flat prior it is wider.
    """
    bells = {
        "logmass": {"kind": "normal", "mean": 10.5, "sd": 0.015},
        "logzsol": {"kind": "student_t", "mean": -0.5, "scale": 0.015, "degrees": 3},
        "dust2": {"kind": "normal", "mean": 0.5, "sd": 1.0},
    }
    columns = {
        name: column | ({"distribution": bells[name]} if name in bells else {})
        for name, column in tiny.DIGS.items()
    }
    training = tiny.pairs(tmp_path, n=120, under=Prior(columns), validation=50, test=20)
    posterior = load_posterior(tiny.trained(tmp_path, training, steps=800))
    flux, ivar = (open_complete(training, "augment").read(name) for name in ("flux", "ivar"))
    batch = Batch(flux, ivar, np.arange(len(flux)))
    drawn = posterior.sample(batch, 3000)
    certificate = certify(posterior, posterior.likelihood, drawn, batch, [0.5])
    chosen = np.argsort(-certificate.numbers["ess"])[[5, 25, 45]]

    moments = []
    for proposals, weights in certificate.weighted:
        mean = weights @ proposals
        moments.append((mean, np.sqrt(weights @ (proposals - mean) ** 2)))

    for i in chosen:
        assert certificate.reweighted[i]
        (mean, sd), past = moments[i], chain_of(posterior, batch[i : i + 1])
        assert (past.mean(0) - mean) / sd == pytest.approx(0, abs=0.25), i
        assert past.std(0) / sd == pytest.approx(1, abs=0.2), i
    # The one whose spectrum says least of its mass.
    least = max(np.flatnonzero(certificate.reweighted), key=lambda i: moments[i][1][0])
    flat = SimpleNamespace(
        prior=Prior(tiny.DIGS), ssp=posterior.ssp, likelihood=posterior.likelihood
    )
    control = chain_of(flat, batch[least : least + 1])
    assert (control.std(0) / moments[least][1])[:2].max() > 1.5


def chain_of(posterior, batch):
    """`Prior.coordinates` of a chain that knows a flow's prior and table alone."""
    table = log_likelihoods(posterior, "table", "simulator", batch)[0]
    target, first = target_and_first_chain(
        "prior", "mixed", posterior, batch, table, table, 64, np.random.default_rng(3)
    )
    settings, chain = Settings("mixed", [100], 2000, True, 100), first()
    while not is_finished(chain, settings):
        chain = advance(chain, target, settings)
    return chain.past.reshape(-1, chain.past.shape[-1])


def test_weak_weights_leave_no_number():
    """Re-weighted columns are NaN where the weights stay weak; the others are there."""
    columns = against_chain(1.0, rescued=False)

    assert "reweighted_samples" not in columns
    for name in ("wasserstein", "width_ratio", "c2st"):
        assert np.isnan(of(columns, name, "reweighted")).all()
        assert np.isfinite(of(columns, name, "flow")).all()


def test_without_a_flow_the_halves_remain():
    """No draws of the flow: the chain's own numbers, nothing else, no error."""
    z, past = np.empty((0, 5)), normal(0, 100, 32)
    chain = Chain(z, z, z, z, z, z, z, past, np.zeros(past.shape[:2]), steps=100)
    columns = comparison_columns(chain, PRIOR, None, 50)

    assert set(columns) == {"wasserstein", "width_ratio", "c2st"}
    assert np.isfinite(of(columns, "wasserstein", "halves")).all()
    assert np.isnan(columns["wasserstein"][:2]).all() and np.isnan(columns["c2st"][:2]).all()


def test_empty_rows_hold_no_numbers():
    """Of every column, in its shape and type."""
    sizes = {"row": 2, "draw": 3, "parameter": 5, "level": 5, "method": 3}
    sizes |= {"quantity": 4, "blend": 2}
    columns = empty_columns(ARRAYS, sizes)

    assert set(columns) == set(ARRAYS)
    assert columns["wasserstein"].shape == (2, 3, 5) and np.isnan(columns["flow_samples"]).all()
    assert columns["n_weights"].dtype == np.int32 and not columns["flags"].any()


def test_merge_touches_what_depends_on_the_posterior():
    """Of the fitted rows: quantiles, checks and their flags; other rows and flags stay."""
    spectrum_flags = int(Flag.LOW_SN | Flag.LOW_ACCEPTANCE | Flag.OLDER_THAN_UNIVERSE)
    before = spectrum_flags | int(Flag.EDGE | Flag.PREDICTIVE | Flag.FLOOR_HIGH | Flag.WEAK_WEIGHTS)
    columns = {
        "flags": np.full(3, before, np.int32),
        "chi2": np.ones(3),
        **{name: np.ones(3) for name in P_VALUES},
        "origin": np.full(3, "flow", object),
    } | {f"{name}_{level}": np.zeros(3) for name in ("a", "b", "q") for level in QUANTILES}
    columns |= {f"{name}_prior_share": np.zeros(3) for name in ("a", "b", "q")}
    lines = ("luminosity", "luminosity_error", "ew")
    columns |= {f"observed_l_{name}": np.zeros(3) for name in lines}
    found = {
        "spectrum": np.array([1]),
        "quantiles": np.arange(10.0).reshape(1, 5, 2),
        "prior_share": np.array([[0.1, 0.2]]),
        "derived_quantiles": np.arange(5.0).reshape(1, 5, 1),
        "derived_prior_share": np.array([[0.3]]),
        **{name: np.array([[0.4]]) for name in OBSERVED},
        "chi2": np.array([2.0]),
        **{name: np.array([0.5]) for name in P_VALUES},
        "flags": np.array([int(Flag.EDGE)]),
    }
    along = {"parameter": ("a", "b"), "quantity": ("q",), "blend": ("l",)}
    new = columns_with_chains(columns, found, along)

    assert new["flags"].tolist() == [before, spectrum_flags | int(Flag.EDGE), before]
    assert new["chi2"].tolist() == [1, 2, 1]
    assert all(new[name].tolist() == [1, 0.5, 1] for name in P_VALUES)
    assert new["origin"].tolist() == ["flow", "mcmc", "flow"]
    assert new["b_prior_share"].tolist() == [0, 0.2, 0] and new["q_p97_5"].tolist() == [0, 4, 0]
    assert new["q_prior_share"].tolist() == [0, 0.3, 0]
    assert new["observed_l_luminosity_error"].tolist() == [0, 0.4, 0]
    assert new["b_p2_5"].tolist() == [0, 1, 0] and columns["flags"].tolist() == [before] * 3
