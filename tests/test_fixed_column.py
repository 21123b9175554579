"""A whole run with a column that is fixed, the dust of all galaxies, and an age that is given."""

import json

import numpy as np
import pytest
import tiny

from hpcsbi.run.flows import load_posterior
from hpcsbi.simulator.theta.parameters import parameter
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_complete

pytestmark = pytest.mark.slow

DUST2, OBJECTS = 1.1, 4  # float32 has no such number
PRIOR = Prior({**tiny.given_prior().columns, "dust2": {"given": DUST2}})
COLUMN = tiny.prior().names.index("dust2")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Every stage up to the page."""
    path, prior = tmp_path_factory.mktemp("fixed"), PRIOR
    tiny.whole_run(path, prior, ["object 0"], OBJECTS)
    return path, prior


def test_posteriors_are_right_and_judged_by_what_is_inferred(run):
    """What is published passes; ranks and the verdict have no word of the dust."""
    path, prior = run
    store = open_complete(path / "calibration.zarr", "calibrate")
    verdict = json.loads((path / "calibration.json").read_text())

    assert verdict["reweighted"] > 0.97 and tuple(verdict["parameters"]) == prior.inferred_names
    assert all("flow alone" in reason for reason in verdict["reasons"])  # few steps leave it blunt
    assert not any("dust2" in name for name in verdict["joint"])
    ranks = store.read("ranks")
    assert (ranks[:, COLUMN] == -1).all() and (ranks[:, prior.inferred] >= 0).all()


def test_the_network_is_not_told(run):
    """Neither target nor context; its draws have the number in their coordinates."""
    path, prior = run
    posterior = load_posterior(path / "flow")
    representation = posterior.representation

    assert posterior.n_base == prior.inferred.sum() and COLUMN not in representation.told
    assert representation.told == [i for i in representation.given if i != COLUMN]
    assert posterior.prior == prior


def test_every_product_holds_the_number(run):
    """Simulations, pairs, quantiles and draws of the catalogue and of chains; no share is its."""
    path, prior = run
    catalogue = open_complete(path / "catalogue.zarr", "infer")
    fits = open_complete(path / "fits.zarr", "fit")

    for name, stage in (("simulations", "simulate"), ("training", "augment")):
        assert (open_complete(path / f"{name}.zarr", stage).read("theta")[:, COLUMN] == DUST2).all()
    for name in ("quantiles", "samples"):
        assert (catalogue.read(name)[..., COLUMN] == np.float32(DUST2)).all()
        assert (fits.read(name)[..., COLUMN] == np.float32(DUST2)).all()
    shares = catalogue.read("prior_share")
    assert np.isnan(shares[:, COLUMN]).all() and np.isfinite(shares[:, prior.inferred]).all()


def test_chains_agree(run):
    """One that never saw the flow, with the re-weighted draws, in every inferred column."""
    path, prior = run
    store = open_complete(path / "fits.zarr", "fit")
    weighted = list(store.read("method")).index("reweighted")
    far, ess = store.read("wasserstein")[0, weighted], store.read("weights_ess")[0, weighted]

    assert store.read("converged")[0] and np.isnan(far[COLUMN])
    # Two sets of draws of one distribution are 0.8 sqrt(1 / n + 1 / m) apart, give or take half.
    assert (far[prior.inferred] < 4 * 0.8 / np.sqrt(ess)).all()


def test_the_page_shows_what_is_inferred(run):
    """Tables without the column that is fixed; the figures are there."""
    path, prior = run
    page = (path / "report.html").read_text()

    for cell in ("th", "td"):
        assert f">{parameter('dust2').header}</{cell}>" not in page
    for name in prior.inferred_names:
        assert f">{parameter(name).header}</th>" in page
    assert page.count("data:image") > 10
