"""Pictures stand on the page without anything to fetch."""

import json
import re
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from hpcsbi.grid import Grid
from hpcsbi.report import page
from hpcsbi.simulator.observation.templates import SmoothError
from hpcsbi.simulator.probability.amplitudes import Amplitudes
from hpcsbi.simulator.theta.prior import Prior

NODE = shutil.which("node")


def in_order(keys, descending):
    """What the script of the page makes of a column."""
    script = files("hpcsbi").joinpath("data", "page.js").read_text()
    call = f"console.log(JSON.stringify(inOrder({json.dumps(keys)}, {json.dumps(descending)})))"
    done = subprocess.run([NODE, "-e", script + call], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def contrast(first, second):
    """Ratio of the luminances of two colours (WCAG 2.2, relative luminance)."""
    light = []
    for colour in (first, second):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(light) / min(light)


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


@given(st.lists(st.one_of(st.floats(-1e3, 1e3).map(lambda x: f"{x:.1f}"), st.just("")), max_size=9))
@settings(max_examples=15, deadline=None)
@pytest.mark.skipif(not NODE, reason="there is no node to run the script of the page")
def test_the_table_sorts_stable(keys):
    """By number, either way round, equal ones as they were, what is missing last."""
    for descending in (False, True):
        sign = -1 if descending else 1
        expected = sorted(
            range(len(keys)), key=lambda i: (keys[i] == "", sign * float(keys[i] or 0))
        )
        assert in_order(keys, descending) == expected


@pytest.mark.skipif(not NODE, reason="there is no node to run the script of the page")
def test_names_sort_as_people_do():
    """The second before the tenth; text beside numbers as text."""
    assert in_order(["NGC 10", "NGC 2", "", "NGC 2"], False) == [1, 3, 0, 2]
    assert in_order(["b", "1", "a"], False) == [1, 2, 0]


def test_colours_of_text_can_be_told_from_their_ground():
    """A contrast of 4.5 at least, as WCAG 2.2 asks for (1.4.3), of all pairs that the page has."""
    style = files("hpcsbi").joinpath("data", "style.html.j2").read_text()
    white, link, boxes = "#ffffff", "#00588a", ("#00654c", "#eef7f4", "#a80000", "#fbeeee")
    named = re.findall(r"--(?:ink|soft|orange): (#\w{6})", style)
    assert len(named) == 3 and all(colour in style for colour in (link, *boxes))
    pairs = [(white, boxes[2]), boxes[:2], boxes[2:]]
    pairs += [(colour, ground) for colour in (*named, link) for ground in (white, "#f4f4f4")]

    assert min(contrast(*pair) for pair in pairs) > 4.5
    assert contrast("#ffffff", "#ffffff") == 1 and contrast("#000000", white) == pytest.approx(21)
