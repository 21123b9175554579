"""A whole run of galaxies that began to form with the Universe, whose age is not inferred."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny

from hpcsbi.flags import Flag
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.mcmc.chain import Settings, advance, is_finished
from hpcsbi.mcmc.likelihoods import log_likelihoods
from hpcsbi.mcmc.starts import target_and_first_chain
from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.simulator.theta.parameters import parameter
from hpcsbi.stages.compare import compare
from hpcsbi.store.opening import open_complete

pytestmark = pytest.mark.slow

GOOD, FITTED = 6, 3
PRIOR = tiny.given_prior()
INFERRED, TAGE = PRIOR.inferred, PRIOR.names.index("tage")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Every stage up to the page; behind six spectra stand two at redshifts beyond the prior's."""
    path = tmp_path_factory.mktemp("given")
    ids = [f"object {i}" for i in (*range(FITTED), GOOD)]
    passed = tiny.whole_run(path, PRIOR, ids, GOOD + 2, {GOOD: 1.5, GOOD + 1: -0.005})
    return path, passed


def test_the_posteriors_are_right_and_judged_by_what_is_inferred(run):
    """Published posteriors pass; ranks, joint ranks and the verdict have no word of the age."""
    path, passed = run
    store = open_complete(path / "calibration.zarr", "calibrate")
    verdict = json.loads((path / "calibration.json").read_text())

    assert passed and verdict["left_out"] == 0 and verdict["reweighted"] > 0.97
    assert (
        tuple(verdict["parameters"]) == PRIOR.inferred_names == tuple(verdict["flow"]["parameters"])
    )
    assert not any("tage" in name for name in verdict["joint"]) and len(verdict["joint"]) == 18
    for kind in ("", "flow_"):
        ranks = store.read(f"{kind}ranks")
        assert (ranks[:, TAGE] == -1).all() and (ranks[:, INFERRED] >= 0).all()
    quantiles, theta = store.read("quantiles")[:, TAGE], store.read("theta")[:, TAGE]
    assert np.allclose(quantiles, theta[:, None], atol=1e-5)


def test_the_catalogue_holds_the_age_of_each_redshift(run):
    """As every quantile of the column; it has no share of the prior, all else has one."""
    path, _ = run
    store = open_complete(path / "catalogue.zarr", "infer")
    table = pd.read_parquet(path / "catalogue.parquet")
    age = age_of_universe(store.read("zred")[:GOOD])

    assert np.allclose(store.read("quantiles")[:GOOD, :, TAGE], age[:, None], rtol=1e-6)
    assert np.allclose(store.read("samples")[:GOOD, :, TAGE], age[:, None], rtol=1e-6)
    shares = store.read("prior_share")[:GOOD]
    assert np.isnan(shares[:, TAGE]).all() and np.isfinite(shares[:, INFERRED]).all()
    assert np.isfinite(store.read("derived_prior_share")[:GOOD]).all()
    for level in QUANTILES:
        assert np.allclose(table[f"tage_{level}"][:GOOD], age, rtol=1e-6)
    assert (table["origin"][:FITTED] == "mcmc").all()
    assert (table["mass_weighted_age_p97_5"][:GOOD] < age).all()


def test_beyond_the_range_nothing_is_inferred_and_the_flag_says_why(run, capsys):
    """Older or younger than what the flow was trained on: no number in catalogue, table or fits."""
    path, _ = run
    store = open_complete(path / "catalogue.zarr", "infer")
    fits = open_complete(path / "fits.zarr", "fit")
    flags = store.read("flags")
    outside = np.arange(GOOD + 2) >= GOOD

    assert ((flags & Flag.GIVEN_RANGE > 0) == outside).all()
    assert (flags[outside] & Flag.NO_POSTERIOR > 0).all()
    assert np.isnan(store.read("quantiles")[outside]).all()
    assert np.isnan(store.read("flow_quantiles")[outside]).all()
    assert (store.read("n_draws")[outside] == 0).all() and (
        store.read("n_draws")[~outside] > 0
    ).all()
    assert (fits.read("n_steps") > 0).tolist() == [True] * FITTED + [False]


def test_chains_that_never_saw_the_flow_agree(run):
    """Converged chains and re-weighted draws: as far apart as so few draws must be, in every
    inferred column; what is not inferred has no figure.
    """
    path, _ = run
    store = open_complete(path / "fits.zarr", "fit")
    some = slice(FITTED)
    weighted = list(store.read("method")).index("reweighted")
    far, ess = store.read("wasserstein")[some], store.read("weights_ess")[some, weighted]

    assert store.read("converged")[some].all()
    # Two sets of draws of one distribution are 0.8 sqrt(1 / n + 1 / m) apart, give or take half.
    assert (far[:, weighted][:, INFERRED] < 4 * 0.8 / np.sqrt(ess)[:, None]).all()
    assert (store.read("c2st")[some, weighted] < 0.58).all()
    for name in ("tau", "rhat", "ess", "prior_share"):
        values = store.read(name)[some]
        assert np.isnan(values[:, TAGE]).all() and np.isfinite(values[:, INFERRED]).all()
    for name in ("wasserstein", "width_ratio"):
        values = store.read(name)[some]
        assert np.isnan(values[..., TAGE]).all() and np.isfinite(values[..., INFERRED]).all()
    age = age_of_universe(store.read("zred")[some])
    for name in ("samples", "flow_samples", "reweighted_samples"):
        assert np.allclose(store.read(name)[some][..., TAGE], age[:, None], rtol=1e-6)


def quantiles_of_chain(posterior, batch, start, moves):
    """Median and half width of each inferred column, of a chain of one spectrum."""
    scout, log_likelihood = log_likelihoods(posterior, "table", "simulator", batch)
    rng = np.random.default_rng(0)
    target, first = target_and_first_chain(
        start, moves, posterior, batch, scout, log_likelihood, 64, rng
    )
    chain, settings = first(), Settings(moves, [100], 2000, True, 50)
    while not is_finished(chain, settings):
        chain = advance(chain, target, settings)
    low, middle, high = np.quantile(chain.past.reshape(-1, 4), [0.16, 0.5, 0.84], axis=0)
    return middle, (high - low) / 2


@pytest.mark.parametrize(
    ("start", "moves"),
    [("flow", "mixed"), ("optimiser", "mixed"), ("flow", "stretch"), ("prior", "stretch")],
)
def test_every_way_of_a_chain_leads_there(run, start, moves):
    """The flow's base space, the spectrum's coordinates and the box: the same as the certificate.

    Control: told a redshift at which the Universe was younger, it is another posterior.
    """
    path, _ = run
    posterior = load_posterior(path / "flow")
    source = open_complete(path / "spectra.zarr", "ingest")
    store = open_complete(path / "catalogue.zarr", "infer")
    flux, ivar, zred = (source.read(name, slice(0, 1)) for name in ("flux", "ivar", "zred"))
    batch = Batch(flux, ivar, np.zeros(1, int), zred)
    middle, width = quantiles_of_chain(posterior, batch, start, moves)
    certified = PRIOR.coordinates(store.read("quantiles")[0].astype(float))[:, INFERRED]

    level = list(QUANTILES).index("p50")
    assert (np.abs(middle - certified[level]) < 0.4 * width).all()
    if (start, moves) == ("flow", "mixed"):
        younger = replace(batch, zred=np.array([0.8]))
        other, _ = quantiles_of_chain(posterior, younger, start, moves)
        assert (np.abs(other - middle) / width).max() > 1


def test_the_page_shows_what_is_inferred(run):
    """Tables without the column that is given; the figures are there; flows can be compared."""
    path, _ = run
    page, given = (path / "report.html").read_text(), parameter("tage").header

    assert f">{given}<" not in page
    assert all(f">{parameter(name).header}<" in page for name in PRIOR.inferred_names)
    assert "GIVEN_RANGE" in page and page.count("data:image") > 10
    (path / "flows").mkdir()
    tiny.copy(path / "flow", path / "flows" / "a")
    compare(str(path / "sweep.html"), str(path), str(path / "training.zarr"), 5, 10, 0)
    sweep = json.loads((path / "sweep.json").read_text())["flows"][0]
    verdict = json.loads((path / "calibration.json").read_text())
    assert sweep["log_prob"] == pytest.approx(verdict["mean_log_prob"], abs=1e-5)
    assert sweep["draws_per_second"] > 0
