"""A site's numbers are read as SLURM reads them, and what is wrong is named at once."""

from pathlib import Path

import pytest
import yaml

from hpcsbi.cluster.site import bytes_of, make_site

SITES = Path(__file__).parents[2] / "conf" / "site"


@pytest.mark.parametrize(
    ("memory", "found"),
    [("2G", 2**31), ("1800M", 1800 * 2**20), ("512", 2**29), (512, 2**29), ("1.5g", 3 * 2**29)],
)
def test_memory_is_read_as_slurm_reads_it(memory, found):
    """Units are powers of 1024, and a bare number is of megabytes."""
    assert bytes_of(memory) == found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"memory": "2 apples"}, ["memory", "2 apples", "2G"]),
        ({"memory": "-1G"}, ["memory", "-1G"]),
        ({"time": "soon"}, ["soon", "04:00:00"]),
        ({"time": "00:00:00"}, ["no time"]),
        ({"umask": "rwx"}, ["umask", "rwx", "077"]),
        ({"acount": "x"}, ["site.acount", "Did you mean account?", "partition"]),
    ],
)
def test_a_wrong_value_is_named(settings, words):
    """Before anything is submitted: the key, the value and how it is written."""
    with pytest.raises(ValueError) as refusal:
        make_site(settings)

    assert all(word in str(refusal.value) for word in words)


def test_options_are_those_that_are_set():
    """What a site leaves open is left to SLURM; what a job asks for comes on top."""
    site = make_site({"partition": "cpu", "options": {"gres": "x:1"}, "time": "1-00"})

    assert site.sbatch_options(ntasks=3) == {
        "partition": "cpu",
        "time": "1-00",
        "gres": "x:1",
        "ntasks": "3",
    }


def test_options_of_a_stage_are_added_to_those_of_all():
    """Training and infer have further ones, or others; no other stage has."""
    settings = {
        "options": {"qos": "a"},
        "train": {"mem": "8G"},
        "infer": {"gres": "gpu:1", "qos": "b"},
    }

    assert make_site(settings).options == make_site(settings, "fit").options == {"qos": "a"}
    assert make_site(settings, "train").options == {"qos": "a", "mem": "8G"}
    assert make_site(settings, "infer").options == {"qos": "b", "gres": "gpu:1"}


@pytest.mark.parametrize("name", sorted(path.stem for path in SITES.glob("*.yaml")))
def test_no_site_asks_for_what_nothing_uses(name):
    """By default every stage computes on processors: a GPU would stand idle and be paid for."""
    site = yaml.safe_load((SITES / f"{name}.yaml").read_text())
    asked = str([site.get("constraint"), site.get("train"), site.get("infer"), site.get("options")])

    assert "gpu" not in asked and "gres" not in asked
