"""Kinds by name: what is asked for is made, or refused in a line."""

import pytest
import tiny
import torch
from representation_bench import Bench

from hpcsbi.inference.summary.representations import REPRESENTATIONS, make_representation


def test_unknown_kind_is_named():
    """The kinds are listed."""
    with pytest.raises(ValueError, match=r"'pca'.*projection"):
        make_representation("pca", tiny.prior(), {})


def test_the_optimum_takes_the_table():
    """Without it one line says what to do, whatever was fitted."""
    with pytest.raises(ValueError, match=r"'optimum' takes the table.*tabulate"):
        make_representation("optimum", tiny.prior(), {})


@pytest.mark.parametrize("kind", ["plain", "equivariant", "pixels", "projection"])
def test_its_numbers_make_it_again(kind):
    """As a flow is loaded: the same context to the last bit, and coordinates that are standard."""
    bench = Bench(kind)
    fitted = bench.representation
    again = make_representation(kind, bench.prior, fitted.state_dict(), bench.ssp)
    coordinates, _, flux, ivar = bench.draw(500, 4)
    (context, shift), (ours, moved) = (each.context(flux, ivar) for each in (fitted, again))

    assert type(again) is REPRESENTATIONS[kind]
    assert torch.equal(context, ours) and torch.equal(shift, moved)
    u = again.to_flow(coordinates, moved)[0]
    assert (u.std(0) < 2).all() and u.mean(0).abs().max() < 0.5
