"""Pictures stand on the page without anything to fetch."""

import numpy as np
from matplotlib.figure import Figure

from hpcsbi.report import page
from hpcsbi.simulator.prior import Prior


def test_pictures_hold_their_own_bytes():
    """A picture is an address with the image in it."""
    for form, kind in (("svg", "svg+xml"), ("png", "png")):
        assert page.picture(Figure((1, 1)), form).startswith(f"data:image/{kind};base64,")


def test_a_second_posterior_goes_by_names_not_by_columns():
    """A second posterior with its columns in another order gives the same corner plot."""
    a, b = {"low": 0, "high": 4}, {"low": 0.1, "high": 1, "log": True}
    one, other = Prior({"tage": a, "tau": b}), Prior({"tau": b, "tage": a})
    draws = one.sample(200, np.random.default_rng(0))

    same = page.corner_picture(one, draws, (one, draws))

    assert page.corner_picture(one, draws, (other, draws[:, ::-1])) == same
    assert page.corner_picture(one, draws, (other, draws)) != same
