"""Instruments of simulated observations: whose they are, how wide, and what stays as it was."""

import numpy as np
import pytest
import torch
from survey_files import configured

from hpcsbi.grid import Grid
from hpcsbi.seeds import torch_generator
from hpcsbi.simulator.observation.instruments import (
    LINE_SPREADS,
    SCATTER,
    WIDEST,
    WINDOWS,
    line_spreads,
)
from hpcsbi.simulator.observation.noise import FractionalNoise, SurveyNoise, make_noise

WAVE = torch.from_numpy(Grid().wave).float()


def test_without_instruments_nothing_is_added_or_changed():
    """None, and settings as they were; with them settings make an equal noise."""
    for noise in (FractionalNoise(), SurveyNoise()):
        assert line_spreads(noise, 3, WAVE, torch_generator(0)) is None
        assert "instrument" not in noise.settings()
    through = SurveyNoise(instrument=True)
    assert make_noise(**through.settings()) == through


def test_the_observations_are_those_of_the_instruments():
    """The generator is left as it was, and the surveys and redshifts are those that it makes."""
    noise, n = SurveyNoise(cut=0.0, instrument=True), 400
    generator = torch_generator(3)
    added = line_spreads(noise, n, WAVE, generator)
    survey, zred = noise.survey_and_zred(n, torch_generator(3))
    _, ivar, observed_at = noise(torch.ones(n, len(WAVE)), WAVE, None, generator)

    assert torch.equal(observed_at, zred)
    window = torch.tensor(WINDOWS)[survey]
    observed = WAVE * (1 + zred[:, None])
    outside = (observed < window[:, :1]) | (observed > window[:, 1:])
    assert not (outside & (ivar > 0)).any()
    for number, spread in enumerate(LINE_SPREADS):
        rows = survey == number
        right = spread.at_knots(WAVE.numpy(), zred[rows].numpy())
        ratio = np.log(added[rows].numpy() / right)
        assert abs(ratio.mean()) < 4 * SCATTER / rows.sum().sqrt()
        assert ratio.std() == pytest.approx(SCATTER * np.sqrt(1.38), rel=0.3)


def test_a_redshift_that_theta_tells_is_that_of_the_instrument():
    """DESI's 0.67 Angstrom at z = 0.5 are 36 km/s at 3750 Angstrom, rest frame."""
    noise, told = SurveyNoise(instrument=True, max_zred=0.0), torch.full((4000,), 0.5)
    desi = noise.survey_and_zred(4000, torch_generator(0))[0] == 1
    added = line_spreads(noise, 4000, WAVE, torch_generator(0), told)[desi]
    near = line_spreads(noise, 4000, WAVE, torch_generator(0))[desi]
    assert desi.sum() > 500
    assert added[:, 0].median() == pytest.approx(0.67 / (3750 * 1.5) * 2.998e5, rel=0.05)
    assert near[:, 0].median() == pytest.approx(0.67 / 3750 * 2.998e5, rel=0.05)


def test_no_instrument_is_wider_than_the_widest():
    """Tables are made for it."""
    added = line_spreads(SurveyNoise(instrument=True), 20_000, WAVE, torch_generator(1))
    assert (added > 15).all() and (added <= WIDEST).all()
    assert (added == WIDEST).float().mean() < 0.01


@pytest.mark.parametrize("number, name", enumerate(["sdss", "desi", "manga"]))
def test_simulated_instruments_are_those_that_ingest_reads(number, name):
    """Of rows whose files do not tell their own."""
    assert configured(name).spread.wave == pytest.approx(LINE_SPREADS[number].wave)
    assert configured(name).spread.resolution == pytest.approx(LINE_SPREADS[number].resolution)
