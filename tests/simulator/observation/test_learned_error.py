import json

import numpy as np
import pytest
import tiny

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.learned_error import LearnedError
from hpcsbi.simulator.observation.noise import SurveyNoise

GRID = Grid().settings()


def test_settings_make_an_equal_one():
    """Through JSON too; it can be a key."""
    error = LearnedError(np.linspace(-0.1, 0.1, 138), np.ones((2, 138)), GRID, 0.01)

    assert LearnedError(**json.loads(json.dumps(error.settings()))) == error
    assert {error: 1}[LearnedError(**error.settings())] == 1
    assert error.curves.shape == (2, 138) and error.factor[0] == pytest.approx(0.9)
    assert LearnedError(np.zeros(138), [], GRID).curves.shape == (0, 138)


@pytest.mark.parametrize(
    ("mean", "templates", "says"),
    [
        (np.zeros(137), [], "grid of 138 pixels"),
        (np.zeros(138), [np.zeros(3)], "grid of 138 pixels"),
        (np.full(138, np.nan), [], "not finite"),
        (np.full(138, -0.7), [], "mean of 0.7 of the flux: above 0.5"),
    ],
)
def test_numbers_that_cannot_be_are_refused(mean, templates, says):
    """In one line."""
    with pytest.raises(BadInput, match=says):
        LearnedError(mean, templates, GRID)


def test_an_error_of_another_grid_is_refused():
    """Wherever a model is made of its parts."""
    grid = Grid(first=4000.0, last=9000.0, pixels=138)
    noise = SurveyNoise(learned=LearnedError(np.zeros(138), [], GRID))

    assert Model(tiny.prior(True), Grid(), Physics(), noise).noise is noise
    with pytest.raises(BadInput, match=r"noise\.learned was learned on the grid"):
        Model(tiny.prior(True), grid, Physics(), noise)
