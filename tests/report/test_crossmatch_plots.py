"""Figures of two catalogues."""

import numpy as np
import pytest

from hpcsbi.report.crossmatch_plots import FEW, comparison


@pytest.mark.parametrize("n", [1, 3, FEW + 1])
def test_objects_are_in_the_figure(n):
    """Points where they are few, cells where they are many, pulls with the unit normal."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=n)
    figure = comparison(first, first + 0.1, np.full(n, 0.1), "age [Gyr]", ("a", "b"))
    one, along, pulls = figure.axes

    assert bool(one.collections) == (n > FEW)
    assert one.get_xlabel() == "age [Gyr], b" and "difference" in along.get_ylabel()
    assert np.allclose(along.lines[-1].get_ydata(), -0.1) and pulls.patches


def test_without_errors_there_are_no_pulls():
    """It is said in their place; equal values make no trouble."""
    figure = comparison(np.ones(5), np.ones(5), np.zeros(5), "x", ("a", "b"))

    assert figure.axes[2].texts[0].get_text() == "no errors are quoted"
