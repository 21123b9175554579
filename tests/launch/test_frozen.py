"""A configuration waits in a queue as it was, or is refused by its name."""

import os
import re

import pytest
from configurations import composed
from omegaconf import OmegaConf

from hpcsbi.errors import BadInput
from hpcsbi.launch.frozen import (
    FINISH,
    freeze,
    name_override,
    thaw,
    what_finishes,
    with_absolute_paths,
)

GIVEN = ("experiment=demo", "site=lab", "simulate.n=77", name_override("2024_05_01"))


@pytest.fixture
def path(tmp_path):
    return freeze(composed(*GIVEN), tmp_path / "0001" / "config.yaml")


def test_what_was_frozen_comes_back(path):
    """Interpolations included; values may be given anew."""
    cfg, before = thaw(path, ["simulate.n=78"]), composed(*GIVEN)

    assert cfg.simulate.n == 78 and cfg.name == "2024_05_01"
    cfg.simulate.n = 77
    assert OmegaConf.to_container(cfg) == OmegaConf.to_container(before)


def test_what_finishes_an_array(path, tmp_path):
    """Its own job where it was submitted with one, else the user, who is told how."""
    by_hand = "jobs/simulate.py with the same options and cluster=serial"
    assert by_hand in what_finishes("simulate", None)
    assert by_hand in what_finishes("simulate", str(path.parent))

    freeze(composed(*GIVEN), path.with_name(FINISH))
    told = what_finishes("simulate", str(path.parent))
    assert "job that waits for the array" in told and "serial" not in told


def test_an_override_in_the_place_of_the_name_is_refused():
    """It would have been the name of a folder."""
    with pytest.raises(BadInput, match="name of the run comes first: NAME run=/x"):
        name_override("run=/x")


def test_where_it_runs_is_chosen_anew(path):
    """A group is as in conf/, with its own overrides; the rest stays."""
    cfg = thaw(path, ["cluster=array", "site=here", "site.tasks=3"])

    assert cfg.site.tasks == 3 and "count" in cfg.cluster and cfg.simulate.n == 77


def test_paths_hold_in_every_folder(path, monkeypatch, tmp_path):
    """Relative ones and ~ are of the place and the user that submitted."""
    lists = ["ingest.ids=ids.txt", "ingest.redshifts=~/z.csv"]
    cfg = with_absolute_paths(composed("ingest.files=[a.fits,~/b.fits]", "run=runs/x", *lists))
    here = os.getcwd()

    monkeypatch.chdir(tmp_path)

    assert cfg.run == f"{here}/runs/x" and cfg.simulate.out == f"{here}/runs/x/simulations.zarr"
    assert list(cfg.ingest.files) == [f"{here}/a.fits", os.path.expanduser("~/b.fits")]
    assert cfg.ingest.ids == f"{here}/ids.txt"
    assert cfg.ingest.redshifts == os.path.expanduser("~/z.csv")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: text.index("\ninfer:")], "has no .*infer.*: it is cut short"),
        (lambda text: text[: text.index("${cluster}") + 5], "no viable alternative"),
        (lambda text: "", "has no name, run"),
        (lambda text: "hello", "has no name, run"),
        (lambda text: "[1, 2]", "holds a list"),
        (lambda text: "7", "int"),
        (lambda text: "defaults: 7", "defaults are 7"),
        (lambda text: text + "\nname: again", "duplicate key name"),
        (lambda text: text.replace("simulate:", "simulate:\n\t- x"), "token"),
        (lambda text: "\udcff", "decode"),
    ],
)
def test_a_damaged_one_is_refused_by_its_name(path, damage, words):
    """Nothing of a half configuration runs, and no reader's own error comes through."""
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))

    with pytest.raises(BadInput, match=f"{re.escape(str(path))}.*{words}") as caught:
        thaw(path, [])
    assert "\n" not in str(caught.value)


def test_half_of_one_is_never_there(path, monkeypatch):
    """A full disk leaves the one before, or nothing."""
    before = path.read_bytes()

    def full(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        freeze(composed(), path)

    assert path.read_bytes() == before and [each.name for each in path.parent.iterdir()] == [
        "config.yaml"
    ]
