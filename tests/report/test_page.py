"""Pictures stand on the page without anything to fetch."""

import numpy as np
from matplotlib.figure import Figure

from hpcsbi.grid import Grid
from hpcsbi.report import page
from hpcsbi.simulator.amplitudes import Amplitudes
from hpcsbi.simulator.prior import Prior
from hpcsbi.simulator.templates import SmoothError


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


def test_what_is_given_is_not_drawn():
    """The corner of a posterior with a given age is that of its other columns, and the age of a
    second posterior that is given it is left out of a first one's that infers it.
    """
    free = {"tau": {"low": 0.1, "high": 1, "log": True}, "dust2": {"low": 0, "high": 4}}
    age = {"low": 6.5, "high": 13.5}
    given = Prior({"tage": age | {"given": "age_of_universe"}, **free})
    inferred, without = Prior({"tage": age, **free}), Prior(free)
    draws = inferred.sample(200, np.random.default_rng(0))
    known = draws.copy()
    known[:, 0] = 9.0

    one = page.corner_picture(given, known, (given, known))
    assert one == page.corner_picture(without, draws[:, 1:], (without, draws[:, 1:]))
    both = page.corner_picture(inferred, draws, (given, known))
    assert both == page.corner_picture(inferred, draws, (without, draws[:, 1:]))
    assert both != page.corner_picture(inferred, draws, (inferred, known))


def test_smooth_errors_are_told():
    """Those that the expected spectra have, and none where there are none."""
    wave = Grid().wave
    cases = ((0.0, None, 0.0), (0.04, None, 0.0), (0.04, SmoothError(), 0.0), (0.0, None, 2.0))
    words = [page.errors_words(Amplitudes(wave, *case).kinds) for case in cases]

    assert words[0] == "" and "errors of calibration that" in words[1]
    assert "of calibration and the model that" in words[2] and "of lines that" in words[3]
