"""Where terms have their coefficients."""

import numpy as np
import pytest
import torch

from hpcsbi.simulator.galaxy.terms import Term, layout_of

RANKS = ({"continuum": (5, 3), "lines": (4, 2)}, {"continuum": (2, 1), "lines": (3, 3)})
TERMS = (Term(0), Term(1), Term(1, np.ones(7)))


def test_terms_stand_side_by_side():
    """Groups, in them the parts, in them the terms; all of a part share its first column."""
    layout = layout_of(TERMS, RANKS)

    assert layout.starts.tolist() == [0, 0, 0, 5, 5, 5, 9, 9, 9, 11, 11, 11]
    assert layout.ranks.tolist() == [5, 3, 3, 4, 2, 2, 2, 1, 1, 3, 3, 3]
    assert layout.orders.tolist() == [0, 1, 1] * 4
    without = layout.dustless()
    assert (without.starts.tolist(), without.ranks.tolist()) == ([0, 5, 9, 11], [5, 4, 2, 3])


def test_each_term_has_its_factor():
    """The first of its part's coefficients, times a number of each draw."""
    layout = layout_of(TERMS[:2], RANKS[:1])
    coefficients = torch.arange(18.0).reshape(2, 9)
    factors = torch.tensor([[1.0, 1.0], [10.0, 20.0], [100.0, 0.0], [-1.0, 2.0]])
    weighted = layout.weighted(coefficients, factors)

    assert weighted.shape == (2, layout.ranks.sum())
    for i, row in enumerate(coefficients):
        parts = [
            row[:5],
            factors[1, i] * row[:3],
            factors[2, i] * row[5:9],
            factors[3, i] * row[5:7],
        ]
        assert weighted[i].tolist() == pytest.approx(torch.cat(parts).tolist())
