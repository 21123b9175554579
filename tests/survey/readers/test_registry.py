"""The surveys that are read: each in its module, with its configuration, known by its files."""

import sys
from pathlib import Path

import numpy as np
import pytest
import survey_files
from survey_files import EVERY, ROOT, make

from hpcsbi.survey.readers.compressed import open_contents
from hpcsbi.survey.readers.fits_files import open_fits
from hpcsbi.survey.readers.registry import FORMATS, survey_of


def known_as(path):
    """Name of the survey that a file looks like."""
    with open_contents(path) as file, open_fits(file) as hdus:
        return survey_of(hdus)


def test_each_survey_has_its_module_and_configuration():
    """conf/survey/NAME.yaml for hpcsbi/survey/NAME.py, and the reverse."""
    configurations = {path.stem for path in (ROOT / "conf" / "survey").glob("*.yaml")}
    modules = {Path(sys.modules[type(each).__module__].__file__).stem for each in FORMATS.values()}

    assert set(FORMATS) == configurations == modules


@pytest.mark.parametrize("name", EVERY)
def test_files_are_known_by_one_survey(name, tmp_path):
    """No other survey takes them for its own."""
    path = make(name, tmp_path)

    with open_contents(path) as file, open_fits(file) as hdus:
        assert [other for other, each in FORMATS.items() if each.has(hdus)] == [name]
    assert known_as(path) == name


def test_other_files_are_known_by_none(tmp_path):
    """An image is no spectrum."""
    image = survey_files.image("FLUX", np.ones((3, 3)))

    assert known_as(survey_files.write(tmp_path / "image.fits", image)) is None
