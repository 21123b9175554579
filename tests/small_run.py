"""A run as people have one: table, flow, the three nuclei that ship with the package, catalogue."""

import os
import warnings
from pathlib import Path

import pytest
import tiny
from astropy.table import Table as Fits
from astropy.units import UnitsWarning
from filelock import FileLock

from hpcsbi.cluster.executors import Serial
from hpcsbi.grid import Grid
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.infer import infer
from hpcsbi.stages.ingest import ingest
from hpcsbi.survey.readers.formats import Survey

NUCLEI = tiny.TABLE.parent / "sdss_nuclei.fits.gz"
DRAWS, CAP = 400, 50


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Path:
    """The folder runs/demo inside of another one, made once for all processes of the tests."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each has a folder of its own in that of the session
        shared = shared.parent
    run = shared / "small" / "runs" / "demo"
    with FileLock(shared / "small.lock"):
        if not (run / "catalogue.parquet").exists():
            make(run)
    return run


def make(run: Path) -> None:
    """Its flow stands in flows/demo; a spectrum is a shard, so that each was inferred alone."""
    run.mkdir(parents=True, exist_ok=True)
    tiny.copy(tiny.TABLE, run / "ssp.zarr")
    under = Prior(tiny.columns("survey"), bound_age=True)
    training = tiny.pairs(run, survey=True, n=320, under=under, test=60)
    flow = tiny.trained(run, training, representation="projection", steps=200)
    (run / "flows").mkdir()
    flow = flow.rename(run / "flows" / "demo")
    spectra, catalogue = str(run / "spectra.zarr"), str(run / "catalogue.zarr")
    ingest(spectra, str(NUCLEI), Survey("table"), Grid(), 1, Serial())
    infer(catalogue, str(flow), spectra, DRAWS, CAP, 0, True, 1, 0, Serial())


def nucleus(row: int = 0) -> dict:
    """One of the three, as a call of a flow takes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnitsWarning)
        line = Fits.read(NUCLEI)[row]
    arguments = {name: line[name.upper()] for name in ("wave", "flux", "ivar", "ebv", "distance")}
    return arguments | {"zred": line["Z"], "name": str(line["ID"]), "draws": DRAWS, "cap": CAP}
