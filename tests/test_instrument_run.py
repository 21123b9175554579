"""A whole run through instruments: pairs, flow, calibration, catalogue, chains and the page."""

import json

import numpy as np
import pandas as pd
import pytest
import survey_files
import tiny
import torch
from scipy import stats

from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.mcmc.likelihoods import log_likelihoods
from hpcsbi.run.flows import load_engine, load_posterior
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.probability.likelihood import of_simulator
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.augment import augment
from hpcsbi.stages.calibrate import calibrate
from hpcsbi.stages.compare import compare
from hpcsbi.stages.fit import fit
from hpcsbi.stages.infer import infer
from hpcsbi.stages.ingest import ingest
from hpcsbi.stages.report import report
from hpcsbi.store.opening import open_complete

pytestmark = pytest.mark.slow

SIGMA = {"low": 50.0, "high": 300.0, "log": True}
PRIOR = Prior(
    tiny.DIGS | {"sigma_smooth": SIGMA} | tiny.NUISANCE
    | {"noise_floor": {"low": 0.003, "high": 0.01, "log": True, "nuisance": True}},
    bound_age=True,
)  # fmt: skip
NOISE = SurveyNoise(snr=(300, 1000), cut=0.0, max_zred=0.3, instrument=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Every stage up to the page, of two SDSS files, one of which tells its instrument."""
    path = tmp_path_factory.mktemp("instrument")
    table = tiny.table_of_dispersions(path / "ssp.zarr", PRIOR)
    training = tiny.pairs(
        path, under=PRIOR, table=table, noise=NOISE, n=200, validation=50, test=80
    )
    flow = tiny.trained(path / "flows", training, table, representation="projection", steps=1000)
    names = ("simulations", "training", "calibration", "spectra", "catalogue", "fits", "errors")
    stores = {name: str(path / f"{name}.zarr") for name in names}
    spectra, catalogue = stores["spectra"], stores["catalogue"]
    files = [
        survey_files.sdss(path / f"spec-{i}.fits", wdisp=wdisp, fiber=7 + i)
        for i, wdisp in enumerate((np.full(3800, 1.1, np.float32), None))
    ]
    names = [str(file) for file in files]
    ingest(spectra, names, survey_files.configured("sdss"), Grid(), 16, Serial())
    infer(catalogue, str(flow), spectra, 400, 20, 100, True, 16, 0, Serial())
    calibrate(stores["calibration"], str(flow), str(training), 100, 20, 64, 0, Serial())
    fit(
        stores["fits"], str(flow), spectra, catalogue, 1, "table", "prior", "simulator", "mixed",
        64, [50], 200, True, 50, 500, 500, 4, 0, Serial(),
    )  # fmt: skip
    rest = {"flow": str(flow), "beside": None, "costs": str(path / "costs.jsonl")}
    report(out=str(path / "report.html"), **stores, **rest)
    compare(str(path / "sweep.html"), str(path), str(training), 4, 50, 0)
    return path


def held_out(path):
    """Truths and spectra of the test split."""
    store = open_complete(path / "training.zarr", "augment")
    rows = split_of(store.settings, store.rows, "test")
    names = ("theta", "flux", "ivar", "zred", "instrument")
    theta, flux, ivar, zred, added = (store.read(name, rows) for name in names)
    return theta, Batch(flux, ivar, np.arange(len(flux)), zred, added)


def test_pairs_are_as_wide_as_their_instruments(tmp_path):
    """Residuals are those of the noise about spectra through each pair's own curve alone."""
    table = tiny.table_of_dispersions(tmp_path / "ssp.zarr", PRIOR)
    counts = {"n": 700, "validation": 50, "test": 650}
    tiny.pairs(tmp_path, under=PRIOR, table=table, noise=NOISE, **counts)
    theta, batch = held_out(tmp_path)
    likelihood = of_simulator(load_engine(table, PRIOR), PRIOR.names, NOISE)
    draws = torch.tensor(theta).float()[:, None]
    flux, ivar, added = map(torch.tensor, batch.spectra)
    with torch.no_grad():
        right, chi2 = likelihood.evaluate(flux, ivar, draws, added)
        without, swapped = (
            likelihood(flux, ivar, draws, other) for other in (None, added.roll(1, 0))
        )
    p = stats.chi2.sf(chi2[:, 0].numpy(), (batch.ivar > 0).sum(1))
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    # Of another curve the ratio of likelihoods exceeds e^30 with a probability of e^-30.
    assert (right - without).sum() > 30 and (right - swapped).sum() > 30


def test_published_posteriors_are_calibrated(run):
    """Ranks of truths are uniform, and most rows are re-weighted."""
    path = run
    store = open_complete(path / "calibration.zarr", "calibrate")
    verdict = json.loads((path / "calibration.json").read_text())
    assert min(each["ks_p"] for each in verdict["parameters"].values()) > 1e-4
    assert store.read("reweighted")[store.read("possible")].mean() > 0.5


def test_the_catalogue_goes_by_each_spectrums_instrument(run):
    """Rows of files that tell nothing and that tell theirs are inferred; others say why not."""
    path = run
    spectra = open_complete(path / "spectra.zarr", "ingest")
    added = spectra.read("instrument")
    assert added[0] == pytest.approx(1.1 * 69.03, rel=1e-3) and (added[1] != added[0]).all()
    table = pd.read_parquet(path / "catalogue.parquet")
    assert (table["flags"] & int(Flag.NO_INSTRUMENT) == 0).all()
    assert table["sigma_smooth_p50"].notna().all()
    assert "<html" in (path / "report.html").read_text()


def test_a_spectrum_without_an_instrument_says_so(run, tmp_path):
    """A table of one's own whose configuration tells no line spread; with one it is inferred."""
    path = run
    file = survey_files.table(tmp_path / "mine.fits", rows=2)
    survey, flow = survey_files.configured("table"), str(path / "flows" / "flow")
    ingest(tmp_path / "without.zarr", str(file), survey, Grid(), 16, Serial())
    arguments = 100, 20, 0, False, 16, 0, Serial()
    infer(str(tmp_path / "a.zarr"), flow, str(tmp_path / "without.zarr"), *arguments)
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert (table["flags"] & int(Flag.NO_INSTRUMENT) > 0).all()
    assert table["sigma_smooth_p50"].isna().all()


def test_what_takes_an_instrument_is_not_done_without(run, tmp_path):
    """One line each: spectra of another kind, FSPS as the engine, simulations of FSPS."""
    path = run
    posterior = load_posterior(str(path / "flows" / "flow"))
    _, batch = held_out(path)
    bare = Batch(batch.flux, batch.ivar, batch.seeds, batch.zred)
    with pytest.raises(BadInput, match=r"trained with noise.instrument=True, and what .* is not"):
        posterior.sample(bare, 10)
    with pytest.raises(BadInput, match=r"take fit.engine=table"):
        log_likelihoods(posterior, "prospector", "simulator", batch[:1])
    with pytest.raises(BadInput, match=r"name augment.table"):
        augment(
            str(tmp_path / "t.zarr"), str(path / "simulations.zarr"), NOISE, "own", 0, 10, 10,
            512, 0, Serial(),
        )  # fmt: skip
    engine = load_engine(path / "ssp.zarr", PRIOR)
    assert engine.kinematics.dispersions.high == pytest.approx(np.hypot(300, 100))
