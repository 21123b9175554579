"""A page is old when something that it shows has changed, whatever the clocks say."""

import os

import numpy as np
import pytest
from markupsafe import escape

from hpcsbi.run.page_sources import MADE_OF, why_old, written_of
from hpcsbi.store.files import save_weights
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_store


@pytest.fixture
def sources(tmp_path):
    """A store with one shard of two, weights, a verdict, and a store that is not there."""
    store = create(tmp_path / "calibration.zarr", {"x": Array({"row": 4}, "int8")}, {}, 2)
    store.write(0, x=np.zeros(2))
    save_weights(tmp_path / "flows/a&b/flow.safetensors", {"w": np.zeros(3)}, {})
    (tmp_path / "calibration.json").write_text("{}")
    names = ("calibration.zarr", "flows/a&b/flow.safetensors", "calibration.json", "fits.zarr")
    return [tmp_path / name for name in names]


def page_of(folder, sources):
    page = folder / "report.html"
    note = escape(written_of(page, sources))
    page.write_text(f'<html><meta name="{MADE_OF}" content="{note}">')
    return page


CHANGES = {
    "calibration.zarr": lambda path: open_store(path, check=False).write(1, x=np.ones(2)),
    "calibration.json": lambda path: path.write_text('{"passed": true}'),
    "fits.zarr": lambda path: create(path, {"x": Array({"row": 4}, "int8")}, {}, 2),
    "flow.safetensors": lambda path: save_weights(path, {"w": np.ones(3)}, {}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_makes_it_old(tmp_path, sources, name):
    """A new shard, another verdict, another flow, a product that was not there: each is named.

    The times of the files, which a copy of the run changes, say nothing.
    """
    page = page_of(tmp_path, sources)
    (source,) = (path for path in sources if path.name == name)
    assert why_old(page) == ""
    os.utime(page, (1.0, 1.0))
    assert why_old(page) == ""

    CHANGES[name](source)
    os.utime(page)

    assert why_old(page) == f"is older than {os.path.relpath(source, tmp_path)}"
    assert why_old(page_of(tmp_path, sources)) == ""


def test_a_run_may_move(tmp_path, sources):
    """Paths are noted from the page's folder."""
    page_of(tmp_path, sources)
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))

    assert why_old(moved / "report.html") == ""


def test_a_page_without_a_note(tmp_path):
    """That of an older version is made again."""
    (tmp_path / "report.html").write_text("<html></html>")

    assert why_old(tmp_path / "report.html") == "does not say what it was made of"
