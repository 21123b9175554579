"""A tiny run that tests share: the shipped table, few spectra, a flow of a few hundred steps."""

import shutil
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import numpy as np
import yaml

from hpcsbi.cluster.executors import Serial
from hpcsbi.grid import Grid
from hpcsbi.inference.network.flow import Flow
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.kinematics import Kinematics
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.observation.instruments import WIDEST
from hpcsbi.simulator.observation.noise import FractionalNoise, Noise, SurveyNoise
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.table.ssp_arrays import ARRAYS, table_layout
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.augment import augment
from hpcsbi.stages.calibrate import calibrate
from hpcsbi.stages.fit import fit
from hpcsbi.stages.infer import infer
from hpcsbi.stages.report import report
from hpcsbi.stages.simulate import simulate
from hpcsbi.stages.train import train
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete
from hpcsbi.survey.record.line_spread import LIGHT

TABLE = Path(str(files("hpcsbi"))) / "data" / "ssp_demo.zarr"
CONF = Path(__file__).parents[1] / "conf"


def columns(name: str) -> dict[str, dict]:
    """Columns of a prior that ships, by the name of its file in conf/prior."""
    return yaml.safe_load((CONF / "prior" / f"{name}.yaml").read_text())["columns"]


# Narrower in dust and wider in age than the paper's, so that few simulations fill it.
DIGS = columns("digs") | {
    "dust2": {"low": 0.1, "high": 4},
    "tage": {"low": 0.1, "high": 13},
    "tau": {"low": 0.1, "high": 10, "log": True},
}
NUISANCE = {
    name: column for name, column in columns("digs_survey").items() if column.get("nuisance")
}

GIVEN_AGE = {"low": 6.5, "high": 13.75, "given": "age_of_universe"}


def prior(survey: bool = False) -> Prior:
    """The paper's columns, or with the nuisance columns and the age bound of surveys."""
    return Prior(DIGS | NUISANCE, bound_age=True) if survey else Prior(DIGS)


def given_prior(survey: bool = False) -> Prior:
    """`prior` of galaxies that began to form with the Universe: their age is given."""
    return Prior({**prior(survey).columns, "tage": GIVEN_AGE}, bound_age=survey)


def pairs(
    run: Path,
    survey: bool = False,
    n: int = 300,
    under: Prior | None = None,
    grid: Grid | None = None,
    table: Path = TABLE,
    noise: Noise | None = None,
    **options: int | str,
) -> Path:
    """simulations.zarr and training.zarr of a run; the path of the latter.

    Under another prior than that of the paper or of surveys, or on another grid with its table,
    where one is given.
    """
    counts = {"labels": "own", "copies": 0, "validation": 100, "test": 100} | options
    simulate(
        str(run / "simulations.zarr"), "table", n, None, 64, under or prior(survey),
        grid or Grid(), Physics(), str(table), 0, Serial(),
    )  # fmt: skip
    noise = noise or (SurveyNoise(snr=(20, 300), cut=0.0) if survey else FractionalNoise())
    augment(
        str(run / "training.zarr"), str(run / "simulations.zarr"), noise, **counts, shard=512,
        seed=0, cluster=Serial(), table=str(table),
    )  # fmt: skip
    return run / "training.zarr"


def trained(run: Path, training: Path, table: Path = TABLE, **options: object) -> Path:
    """Folder of a small flow."""
    settings = {
        "source": "fresh",
        "flow": Flow("zuko_maf", 32, 3),
        "representation": "equivariant",
        "steps": 300,
        "batch": 256,
        "passes": 1,
        "rate": 3e-3,
        "seed": 0,
        "device": "cpu",
        "compiled": False,
        "threads": 1,
        "checkpoint": 100,
    } | options
    train(out=str(run / "flow"), training=str(training), table=str(table), **settings)
    return run / "flow"


def table_on(grid: Grid, out: Path) -> Path:
    """A table on other pixels: straight lines between those of the shipped one, no new physics."""
    shipped = open_complete(TABLE, "tabulate")
    wave = shipped.read("wave")
    axes = {name: shipped.read(name) for name in ARRAYS[2:]}
    axes |= {"wave": grid.wave, "dust_curve": dust_curve(grid.wave, Physics().dust_type)}
    left = (np.searchsorted(wave, grid.wave, side="right") - 1).clip(0, len(wave) - 2)
    part = ((grid.wave - wave[left]) / (wave[left + 1] - wave[left])).astype(np.float32)
    attributes = {name: shipped.attributes[name] for name in ("notice", "accuracy")}
    settings = {**shipped.settings, "grid": grid.settings()}
    store = create(out, table_layout(axes, Physics()), settings, shipped.shard, attributes)
    for shard in store.shards:
        rows = {name: shipped.read(name, store.rows_of(shard)) for name in store.sharded}
        for name in ("continuum", "lines"):
            rows[name] = rows[name][..., left] * (1 - part) + rows[name][..., left + 1] * part
        store.write(shard, **rows)
    return out


def table_of_dispersions(out: Path, under: Prior, broad: float = 40.0) -> Path:
    """The shipped table smoothed to the dispersions of a prior and of instruments.

    A Gaussian that is narrower than a pixel spreads a spectrum by half of its variance times the
    second difference; `broad` times as wide, so that wide pixels tell dispersions.
    """
    shipped, grid = open_complete(TABLE, "tabulate"), Grid()
    free = Kinematics.table(under.columns, grid, WIDEST)
    axes = {name: shipped.read(name) for name in ARRAYS[2:]} | {"sigma_nodes": free.nodes}
    attributes = {name: shipped.attributes[name] for name in ("notice", "accuracy")}
    settings = {**shipped.settings, "kinematics": asdict(free)}
    layout = table_layout(axes, Physics())
    store = create(out, layout, settings, shipped.shard, attributes)
    widths = free.nodes[:, None] / LIGHT * grid.wave / grid.widths  # in pixels
    for shard in store.shards:
        rows = {name: shipped.read(name, store.rows_of(shard)) for name in store.sharded}
        for name in ("continuum", "lines"):
            bent = np.gradient(np.gradient(rows[name], axis=-1), axis=-1)
            spread = 0.5 * broad * widths[:, None, None, None] ** 2 * bent
            rows[name] = free.moments(rows[name] + spread).astype(np.float32)
        store.write(shard, **rows)
    return out


def all_bytes(folder: Path) -> dict[str, bytes]:
    """Contents of every file below a folder, but for the times that its stages took."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "rates.jsonl"
    }


def copy(source: Path, target: Path) -> Path:
    """A copy of a folder that a test may harm."""
    return Path(shutil.copytree(source, target))


def spectra_of(path: Path, pairs: str | Path, n: int, zred: dict[int, float] | None = None) -> None:
    """Store of the first n spectra of a test split, `object 0` and so on, some at other redshifts.

    Arguments:
        path: the folder of the run.
        pairs: store of the pairs.
        n: number of spectra.
        zred: other redshifts, by row.
    """
    store = open_complete(pairs, "augment")
    rows = split_of(store.settings, store.rows, "test")
    flux, ivar, redshifts = (store.read(name, rows)[:n] for name in ("flux", "ivar", "zred"))
    redshifts = redshifts.astype(float)
    for row, value in (zred or {}).items():
        redshifts[row] = value
    row, wide = {"row": n}, {"row": n, "pixel": flux.shape[1]}
    arrays = {"id": Array(row, "string"), "zred": Array(row, "float64")}
    arrays |= {name: Array(wide, "float32") for name in ("flux", "ivar")}
    arrays |= {"flags": Array(row, "int32")}
    settings = {"grid": Grid().settings(), "survey": {"name": "table"}}
    spectra = create(path / "spectra.zarr", arrays, settings, n, {"notice": ""})
    ids = np.array([f"object {i}" for i in range(n)], dtype=object)
    flags = np.zeros(n, np.int32)
    spectra.write(0, id=ids, zred=redshifts, flux=flux, ivar=ivar, flags=flags)


def whole_run(
    path: Path, under: Prior, fitted: list[str], spectra: int, zred: dict[int, float] | None = None
) -> bool:
    """Every stage up to the page with some of its test spectra; True if the calibration passed.

    Arguments:
        path: the folder of the run.
        under: the prior.
        fitted: objects with a chain.
        spectra, zred: see `spectra_of`.
    """
    training = pairs(path, n=300, under=under, validation=50, test=200)
    flow = str(trained(path, training, steps=1500))
    spectra_of(path, training, spectra, zred)
    names = ("simulations", "training", "calibration", "spectra", "catalogue", "fits", "errors")
    stores = {name: str(path / f"{name}.zarr") for name in names}
    read, catalogue = stores["spectra"], stores["catalogue"]
    infer(catalogue, flow, read, 1000, 20, 100, True, 16, 0, Serial())
    passed = calibrate(stores["calibration"], flow, str(training), 200, 20, 64, 0, Serial())
    fit(
        stores["fits"], flow, read, catalogue, fitted, "table", "prior", "simulator", "mixed",
        64, [50], 3000, True, 50, 2000, 2000, 4, 0, Serial(),
    )  # fmt: skip
    rest = {"flow": flow, "beside": None, "costs": str(path / "costs.jsonl")}
    report(out=str(path / "report.html"), **stores, **rest)
    return passed
