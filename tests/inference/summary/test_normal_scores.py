"""Tables of normal scores: scipy's numbers, on either side of the prior, with slopes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import norm

from hpcsbi.inference.summary.normal_scores import LAST, STEP, NormalScores
from hpcsbi.simulator.theta.distributions import make_distribution

CASES = [
    ({"kind": "normal", "mean": 0.3, "sd": 1.0}, 0.0, 4.0),
    ({"kind": "normal", "mean": -4.0, "sd": 1.0}, 0.0, 4.0),
    ({"kind": "student_t", "mean": -0.3, "scale": 0.4, "degrees": 3}, -2.0, 0.4),
    ({"kind": "student_t", "mean": 0.0, "scale": 0.001, "degrees": 1}, -2.0, 0.4),
    ({"kind": "beta", "a": 1, "b": 1}, 5.0, 13.0),
    ({"kind": "beta", "a": 1.05, "b": 50}, -2.0, 0.4),
]
DISTRIBUTIONS = [make_distribution(*case, "a column") for case in CASES]
TABLES = NormalScores(dict(enumerate(DISTRIBUTIONS)))


def exact(z):
    """Values and ln of slopes of all columns, by scipy."""
    x = np.stack([d.quantile(ndtr(z), ndtr(-z)) for d in DISTRIBUTIONS], 1)
    density = np.stack([d.log_density(x[:, i]) for i, d in enumerate(DISTRIBUTIONS)], 1)
    return x, norm.logpdf(z)[:, None] - density


def of_torch(function, values):
    return tuple(part.numpy() for part in function(torch.from_numpy(values)))


def test_tables_are_those_of_scipy():
    """To 10^-7 of the range, and slopes to one in 10^6; control: half a node away they are not."""
    z = np.random.default_rng(0).uniform(-5.9, 5.9, 20_000)
    columns = np.repeat(z[:, None], len(CASES), 1)
    x, log_slope = of_torch(TABLES.values, columns)
    expected, expected_slope = exact(z)
    width = np.array([high - low for _, low, high in CASES])

    assert (abs(x - expected) / width).max() < 1e-7
    assert abs(log_slope - expected_slope).max() < 1e-6
    off = of_torch(TABLES.values, columns + STEP / 2)[0]
    assert (abs(off - expected) / width).max(0).min() > 1e-5


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=len(CASES), max_size=len(CASES)))
def test_there_and_back(z):
    """Scores come back from values, with the same slopes, in any column."""
    scores = np.array(z)[None]
    x, log_slope = of_torch(TABLES.values, scores)
    back, same = of_torch(TABLES.scores, x)

    assert back == pytest.approx(scores, abs=1e-6)
    assert same == pytest.approx(log_slope, abs=1e-5)


def test_slopes_are_derivatives():
    """Those of torch, through either way."""
    z = torch.linspace(-5, 5, 41, dtype=torch.float64)[:, None].repeat(1, len(CASES))
    z.requires_grad_()
    x, log_slope = TABLES.values(z)
    (slope,) = torch.autograd.grad(x.sum(), z)
    assert slope.log().detach() == pytest.approx(log_slope.detach(), abs=1e-4)

    x = x.detach().requires_grad_()
    (back,) = torch.autograd.grad(TABLES.scores(x)[0].sum(), x)
    assert -back.log() == pytest.approx(log_slope.detach(), abs=1e-4)


def test_beyond_the_tables_it_goes_on_straight():
    """Six widths out nothing ends or turns: a normal prior is a straight line for ever."""
    tables = NormalScores({3: make_distribution({"kind": "normal", "mean": 0, "sd": 1}, -9, 9, "")})
    z = np.array([-8.0, -LAST, -1.0, LAST, 7.5])[:, None]
    x, log_slope = of_torch(tables.values, z)

    assert tables.columns == [3]
    assert x == pytest.approx(z, abs=1e-9) and log_slope == pytest.approx(0, abs=1e-9)
    assert of_torch(tables.scores, x)[0] == pytest.approx(z, abs=1e-9)
    far = np.linspace(-50, 50, 5001)[:, None].repeat(len(CASES), 1)
    values = of_torch(TABLES.values, far)[0]
    assert (np.diff(values, axis=0) >= 0).all()
    low, high = np.array([case[1:] for case in CASES]).T
    assert (values >= low).all() and (values <= high).all()
    # A rounding of float32 outside of the range is at its end.
    beyond = np.stack([low - 1e-6, high + 1e-6])
    assert of_torch(TABLES.scores, beyond)[0] == pytest.approx(
        of_torch(TABLES.scores, np.stack([low, high]))[0]
    )


def test_tables_are_not_saved():
    """A flow's file holds nothing of them, and without distributions there are none."""
    assert not TABLES.state_dict() and not NormalScores({}).columns
    assert NormalScores({0: DISTRIBUTIONS[0]}).to("meta").nodes.device.type == "meta"
