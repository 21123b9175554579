"""Banks of noise from disk: what of a survey's spectra counts, and the way from there to a flow."""

import numpy as np
import pytest
import tiny
import torch

from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.inference.columns.row_checks import outside_training
from hpcsbi.run import noise_banks
from hpcsbi.run.flows import load_posterior, refuse_other_model
from hpcsbi.run.noise_banks import bank_arrays, stored_bank, with_bank
from hpcsbi.seeds import torch_generator
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.instruments import line_spreads
from hpcsbi.simulator.observation.noise import FractionalNoise, SurveyNoise
from hpcsbi.simulator.observation.noise_bank import BankNoise
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.stages.augment import augment
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_complete
from hpcsbi.store.settings import Mismatch
from hpcsbi.survey.record.line_spread import KNOTS

GRID = Grid()


def survey_store(path, n: int = 400, seed: int = 0, grid: Grid = GRID):
    """A store as `ingest` makes it, of spectra that a survey might have."""
    noise, wave = SurveyNoise((10, 100), 0.3, instrument=True), torch.from_numpy(grid.wave).float()
    generator = torch_generator(seed)
    added = line_spreads(noise, n, wave, generator)
    flux, ivar, zred = noise(torch.ones(n, grid.pixels), wave, None, generator)
    row, pixels = {"row": n}, {"row": n, "pixel": grid.pixels}
    arrays = {
        "flux": Array(pixels, "float32"),
        "ivar": Array(pixels, "float32"),
        "zred": Array(row, "float64"),
        "flags": Array(row, "int32"),
        "instrument": Array({"row": n, "knot": KNOTS}, "float32"),
    }
    store = create(path, arrays, {"grid": grid.settings()}, n)
    flags = np.zeros(n, np.int32)
    flags[:5], flags[5:9] = Flag.NO_DATA, Flag.LOW_SN | Flag.NO_EBV
    columns = {"zred": zred.double().numpy(), "flags": flags, "instrument": added.numpy()}
    store.write(0, flux=flux.numpy(), ivar=ivar.numpy(), **columns)
    return str(path)


def test_what_infer_would_infer_is_in_the_bank(tmp_path, monkeypatch):
    """Rows with flags that leave nothing to infer are not; of very many, as many as are enough."""
    path = survey_store(tmp_path / "spectra.zarr")
    noise = with_bank(BankNoise(path, instrument=True), GRID)

    assert len(noise.observations) == noise.bank.observations == 395
    assert noise.observations.instrument.shape == (395, KNOTS)
    assert with_bank(BankNoise(path), GRID).observations.instrument is None
    assert with_bank(SurveyNoise(), GRID) == SurveyNoise()
    monkeypatch.setattr(noise_banks, "MOST", 150)
    few = with_bank(BankNoise(path), GRID)
    assert few.bank.observations == 150 and few.bank.zred[1] > 0.8 * noise.bank.zred[1]


def test_what_is_no_bank_is_told_in_one_line(tmp_path):
    """No path, no store, other pixels, few spectra: with the mend."""
    small = survey_store(tmp_path / "small.zarr", 80)
    with pytest.raises(BadInput, match=r"noise\.bank is null: name the spectra\.zarr"):
        with_bank(BankNoise(None), GRID)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.zarr"):
        with_bank(BankNoise(str(tmp_path / "nowhere.zarr")), GRID)
    with pytest.raises(BadInput, match=r"small\.zarr: 75 of 75 spectra .* noise=survey\.$"):
        with_bank(BankNoise(small), GRID)
    with pytest.raises(Mismatch, match=r"pixels: 138 in the store, 276 asked"):
        with_bank(BankNoise(small), Grid(pixels=276))


def test_noise_without_a_bank_has_no_arrays(tmp_path):
    """Stores of pairs are what they were."""
    assert bank_arrays(SurveyNoise()) == bank_arrays(FractionalNoise()) == {}


@pytest.fixture(scope="module")
def of_a_bank(tmp_path_factory):
    """Pairs of a bank, and the bank."""
    path = tmp_path_factory.mktemp("bank")
    noise = BankNoise(survey_store(path / "spectra.zarr"), calibration=0.04)
    pairs = open_complete(tiny.pairs(path, survey=True, noise=noise), "augment")
    return pairs, with_bank(noise, GRID)


def test_pairs_take_the_bank_along(of_a_bank):
    """Its vectors in arrays, its digest and ranges in the settings; no path."""
    pairs, known = of_a_bank
    again = stored_bank(Model.of(pairs.settings).noise, pairs)

    assert again == known and "spectra.zarr" not in str(dict(pairs.settings))
    assert np.array_equal(again.observations.sigma, known.observations.sigma)
    assert again.observations.summary(GRID.wave) == known.bank
    masks = {row.tobytes() for row in known.observations.sigma > 0}
    assert {row.tobytes() for row in pairs.read("ivar") > 0} <= masks


@pytest.mark.slow
def test_a_flow_knows_the_bank_that_trained_it(of_a_bank, tmp_path):
    """By its digest; the spectra may go, and flags stay."""
    pairs, known = of_a_bank
    (pairs.path.parent / "spectra.zarr").rename(tmp_path / "gone")
    posterior = load_posterior(tiny.trained(tmp_path, pairs.path, steps=20))
    flux, ivar, zred = (pairs.read(name) for name in ("flux", "ivar", "zred"))

    assert posterior.model.noise.bank.digest == known.bank.digest
    assert posterior.likelihood.kind == "survey" and len(posterior.likelihood.amplitudes) == 3
    refuse_other_model(posterior, pairs)
    near, far = (Batch(flux, ivar, np.arange(len(flux)), zred + z) for z in (0.0, 7.0))
    assert outside_training(posterior, far).all()
    assert outside_training(posterior, near).mean() < 0.02


def test_another_bank_is_another_store(tmp_path):
    """Its digest is in the settings; the same bank makes the same bytes."""
    one, other = (survey_store(tmp_path / f"{i}.zarr", 300, i) for i in (1, 2))
    training = tiny.pairs(tmp_path, survey=True, n=200, noise=BankNoise(one), test=40)
    simulations = str(tmp_path / "simulations.zarr")
    before = tiny.all_bytes(training)

    def again(out: str, bank: str) -> None:
        augment(
            str(tmp_path / out), simulations, BankNoise(bank), "own", 0, 100, 40, 512, 0, Serial(),
        )  # fmt: skip

    again("again.zarr", one)
    assert tiny.all_bytes(tmp_path / "again.zarr") == before
    with pytest.raises(Mismatch, match=r"noise\.bank\.digest: .* in the store"):
        again("training.zarr", other)
