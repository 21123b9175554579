"""A product is known by what it holds, wherever it lies and whatever it is called."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from learned_store import store_of

from hpcsbi.errors import BadInput
from hpcsbi.pipeline import STAGES
from hpcsbi.run.products import OF_STAGE, product_of, products_in
from hpcsbi.stages.release import release
from hpcsbi.store.files import Damaged
from hpcsbi.store.opening import open_store
from hpcsbi.store.provenance import code_of

MADE = {
    "ssp.zarr": "tabulate",
    "simulations.zarr": "simulate",
    "training.zarr": "augment",
    "flows/demo": "train",
    "flows/demo/flow.safetensors": "train",
    "flows/demo/ssp.zarr": "tabulate",
    "spectra.zarr": "ingest",
    "catalogue.zarr": "infer",
    "catalogue.parquet": "infer",
}


@pytest.mark.parametrize(("name", "stage"), MADE.items())
def test_its_maker_is_known(small_run, tmp_path, name, stage):
    """In the run, and as a copy of another name."""
    path = small_run / name
    product = product_of(path)
    assert product.stage == stage and product.whole
    assert "not for science" in product.notice or stage in ("ingest", "augment", "simulate")
    if path.is_dir():
        copy = product_of(shutil.copytree(path, tmp_path / "other"))
        assert (copy.stage, copy.state, copy.origins) == (stage, product.state, product.origins)


def test_all_that_made_a_catalogue_is_told(small_run):
    """Each stage once, in order, with the options of its own and the digest of its code."""
    product = product_of(small_run / "catalogue.parquet")
    stages = [origin.stage for origin in product.origins]
    options = {origin.stage: origin.options for origin in product.origins}

    assert stages == ["tabulate", "simulate", "augment", "train", "ingest", "infer"]
    assert options["infer"]["draws"] == open_store(small_run / "catalogue.zarr").settings["draws"]
    assert "flow" not in options["infer"] and options["train"]["flow"]["network"] == "zuko_maf"
    assert all(
        origin.code == code_of(origin.stage)
        for origin in product.origins
        if origin.stage == "infer"
    )
    assert product.columns == tuple(pd.read_parquet(small_run / "catalogue.parquet").columns)


def test_a_store_half_made_says_how_far_it_is(small_run, tmp_path):
    """And a table of a catalogue that has grown since then says so."""
    run = shutil.copytree(small_run, tmp_path / "run")
    open_store(run / "catalogue.zarr").forget(1)

    assert product_of(run / "catalogue.zarr").state == "2 of 3 shards, 2 rows"
    assert not product_of(run / "catalogue.zarr").whole
    table = product_of(run / "catalogue.parquet")
    assert "hold more by now" in table.state and not table.whole


def test_a_release_is_whole_with_all_its_files(small_run, tmp_path):
    """Its folder, the note of its origin and its table are the same release."""
    folder = tmp_path / "release"
    release(str(folder), str(small_run / "catalogue.zarr"), ("parquet",), 0)
    whole = product_of(folder)
    assert whole.whole and whole.software.startswith("hpcsbi ")
    assert whole.origins[-1].options == {"formats": ["parquet"], "draws": 0}
    assert product_of(folder / "provenance.json") == whole
    table = product_of(folder / "catalogue.parquet")
    assert table.stage == "release" and table.software == whole.software

    (folder / "catalogue.parquet").unlink()
    assert not product_of(folder).whole


def test_verdicts_and_pages(tmp_path):
    """By their keys and their title; the version is that of who wrote it."""
    verdict = {"passed": False, "parameters": {}, "n": 900, "reasons": ["ranks of tage"]}
    (tmp_path / "calibration.json").write_text(json.dumps(verdict))
    product = product_of(tmp_path / "calibration.json")
    assert product.stage == "calibrate" and product.state == (
        "NOT calibrated, 900 spectra; ranks of tage"
    )
    for title, stage in (
        ("flows of mine", "compare"), ("a beside b", "crossmatch"), ("mine", "report"),
    ):  # fmt: skip
        page = tmp_path / f"{stage}.html"
        page.write_text(f"<title>hpcsbi: {title}</title><p>Made by hpcsbi 0.2.0.</p>")
        assert (product_of(page).stage, product_of(page).software) == (stage, "hpcsbi 0.2.0")


def test_learned_errors(tmp_path):
    """The store is told from a catalogue, which has a flow too."""
    store_of(tmp_path / "errors.zarr", np.zeros((3, 60)))
    settings = product_settings(tmp_path / "errors.zarr", catalogue={"draws": 1})
    assert OF_STAGE["learn"] <= settings.keys()
    assert product_of(tmp_path / "errors.zarr").stage == "learn"


def product_settings(path, **more):
    """Settings of a store, after more of them are put in."""
    store = open_store(path)
    store.group.attrs["settings"] = {**store.settings, **more}
    return store.group.attrs["settings"]


def test_products_of_a_run_are_in_the_order_of_its_stages(small_run):
    """With what lies beside the stores, and nothing of the flow's own table."""
    names = [str(path.relative_to(small_run)) for path in products_in(small_run)]
    assert names == [name for name in MADE if name.count("/") < 2 and name != "flows/demo/ssp.zarr"]
    run = product_of(small_run)
    assert run.stage == "" and f"{len(names)} products" in run.state


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("mine.txt", "x", "nothing that hpcsbi made"),
        ("mine.json", '{"passed": true}', "nothing that hpcsbi made"),
        ("mine.json", '{"passed": tr', "damaged"),
        ("mine.html", "<title>mine</title>", "nothing that hpcsbi made"),
        ("mine.parquet", "PAR1", "nothing that hpcsbi made"),
        ("mine.safetensors", "\0" * 20, "nothing that hpcsbi made"),
        ("mine.fits", "SIMPLE", "name their folder"),
        ("mine.zarr", None, "is not a Zarr store"),
        ("mine", None, "nothing that hpcsbi made"),
    ],
)
def test_what_is_not_ours_is_refused(tmp_path, name, content, says):
    """In one line, with what can be named."""
    path = tmp_path / name
    path.mkdir() if content is None else path.write_text(content)
    with pytest.raises((BadInput, Damaged), match=says) as caught:
        product_of(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_files_of_others_are_refused(tmp_path):
    """Tables and stores that other programs wrote, and what is not there."""
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "theirs.parquet")
    with pytest.raises(BadInput, match="nothing that hpcsbi made"):
        product_of(tmp_path / "theirs.parquet")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        product_of(tmp_path / "nowhere")


def test_every_stage_with_settings_is_known():
    """One that is added has its line."""
    pages = {"report", "compare", "crossmatch", "release", "reproduce"}
    assert set(OF_STAGE) == {stage.name for stage in STAGES.values() if stage.product} - pages
