"""The page of few and of many objects: whole, small, and the same rows whatever their number."""

import re
import time

import many_objects
import numpy as np
import pytest
from page_parser import Page

from hpcsbi.stages.report import report


def page_of(folder, rows, shard):
    """A run with nothing but a catalogue and its spectra, and its page."""
    paths = many_objects.make(folder, rows, shard, lambda theta: np.full((len(theta), 138), 1e4))
    names = ("simulations", "training", "calibration", "fits", "errors")
    paths |= {name: str(folder / f"{name}.zarr") for name in names}
    begun = time.process_time()
    report(
        out=str(folder / "report.html"),
        flow=str(folder / "flows/a"),
        beside=None,
        costs=str(folder / "costs.jsonl"),
        **paths,
    )
    return (folder / "report.html").read_text(), time.process_time() - begun


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The page of three objects."""
    return page_of(tmp_path_factory.mktemp("three"), 3, 100)[0]


def check(html):
    """What every page keeps."""
    page = Page(html)
    ids = page.values("id")
    assert len(ids) == len({*ids})
    assert all("id" in each for tag in ("h1", "h2", "h3") for each in page.attributes.get(tag, []))
    links = page.values("href", "a")
    assert links and all(link.startswith("#") and link[1:] in ids for link in links)
    alts = page.values("alt", "img")
    assert len(alts) == len({*alts}) == len(page.attributes["img"])
    assert all("scope" in each for each in page.attributes["th"])
    assert html.count("<caption>") == html.count("<table")
    assert "http" not in re.sub("http-equiv", "", html)
    return page


def test_a_page_of_three_objects_is_whole(three):
    """Tags close, ids and alternative texts are unique, links lead somewhere, tables have heads."""
    page = check(three)

    assert sum("object" in alt for alt in page.values("alt", "img")) >= 2 * 3
    assert "All 3 objects." in three and three.count('<section class="object">') == 3
    assert "of the fibre, 3 or 2 arcsec wide" in three  # of spectra that were read as the SDSS's
    assert "3 objects, 3 with a posterior." in three


def test_a_tag_that_is_left_open_would_be_seen():
    """The control of the parser."""
    for wrong in ("<p><b>a</p></b>", "<p>a", '<p id="a" id="b">a</p>'):
        with pytest.raises(AssertionError):
            Page(wrong)


@pytest.mark.slow
def test_a_page_of_many_objects_is_as_whole(tmp_path):
    """With 10^5 rows it is a few MB and takes seconds; the worst and the weakest are on it."""
    html, seconds = page_of(tmp_path, 100_000, 25_000)

    page = check(html)
    assert len(html) < 4e6 and seconds < 60
    assert "200 of 100000 objects" in html and "99000 with a posterior" in html
    assert html.count('<section class="object">') == 6
    for row, why in ((0, "the worst fit"), (1, "the weakest importance weights")):
        assert f'<a href="#object-{row}">object {row}</a>, {why}' in html
    assert len(page.values("data-key", "td")) == 200 * (len(many_objects.PRIOR.names) + 3)
