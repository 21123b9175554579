"""A file of the configuration that is none, or half a site, is named with the mend."""

import shutil
from pathlib import Path

import pytest

from hpcsbi.errors import BadInput
from hpcsbi.launch import words
from hpcsbi.launch.checkout import CONF
from hpcsbi.launch.configuration_files import refuse_bare_site
from hpcsbi.launch.words import configuration_from


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A copy of conf, to which a centre adds its files."""
    folder = tmp_path / "conf"
    shutil.copytree(CONF, folder)
    monkeypatch.setattr(words, "CONF", str(folder))
    return folder


@pytest.mark.parametrize("override", [[], ["site.time=01:00:00"]])
def test_a_site_begins_with_another_one(conf, override):
    """Without defaults its keys are not there, and what asks for one would say so much later."""
    file = conf / "site/ours.yaml"
    file.write_text("partition: standard\n")
    with pytest.raises(BadInput, match=r"begin it with `defaults: \[here\]`") as caught:
        configuration_from(str(conf), "config", ["site=ours", *override])
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)

    file.write_text("defaults: [here]\npartition: standard\n")
    site = configuration_from(str(conf), "config", ["site=ours", *override]).site
    assert site.partition == "standard" and list(site.setup) == []


def test_sites_of_the_package_are_whole():
    """One by one; a site may also say all by itself, as the first one does."""
    for file in (Path(CONF) / "site").glob("*.yaml"):
        refuse_bare_site(file)


def test_a_file_that_is_none_is_named(conf):
    """Also that of a site, whose words are then those of any other file."""
    (conf / "site/ours.yaml").write_text("- partition\n")

    with pytest.raises(BadInput, match=r"ours.yaml cannot be read: it holds a list"):
        configuration_from(str(conf), "config", ["site=ours"])
