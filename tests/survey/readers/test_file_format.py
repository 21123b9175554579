"""What every format of survey files has, and what a look at a file does before any other."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.file_format import FileFormat, Layout
from hpcsbi.survey.readers.registry import FORMATS
from hpcsbi.survey.record.source import Source


class Small(FileFormat):
    """A format of one image."""

    name, contents = "small", "FLUX"

    def has(self, hdus):
        return "FLUX" in hdus

    def wave_hdus(self, hdus):
        return [hdus["FLUX"]]

    def unit(self, hdus):
        return 1.0

    def count(self, hdus):
        return len(hdus["FLUX"].data), ["nothing is left out"]

    def ids(self, stem, hdus, rows):
        return [stem] * (rows.stop - rows.start)

    def read(self, options, stem, hdus, beside, rows):
        raise AssertionError("read")


def small(**cards):
    """HDUs of such a file."""
    image = fits.ImageHDU(np.ones((3, 4)), name="FLUX")
    image.header.update(cards)
    return fits.HDUList([fits.PrimaryHDU(), image])


@pytest.mark.parametrize("method", ["has", "wave_hdus", "unit", "count", "ids", "read"])
def test_a_survey_without_a_part_of_the_interface_is_not_made(method):
    """What has no meaning of its own for all surveys, each of them says itself."""
    part = type("Part", (Small,), {method: getattr(FileFormat, method)})

    with pytest.raises(TypeError, match=method):
        part()


@pytest.mark.parametrize("name", FORMATS)
def test_each_survey_is_called_as_it_is_asked_for(name):
    """And says in words what its files hold, and those beside them."""
    made = FORMATS[name]

    assert made.name == name
    assert made.contents
    assert made.beside is None or (isinstance(made.beside, Layout) and made.beside.contents)


def test_a_look_counts_what_can_be_read():
    """Rows and what is not read, once wavelengths and unit are good."""
    assert Small().look(small(), air=False) == (3, ["nothing is left out"])


def test_wavelengths_in_air_are_refused_before_rows_are_counted():
    """Where a header says air and the survey does not; and the reverse passes."""

    class Uncounted(Small):
        def count(self, hdus):
            raise AssertionError("counted")

    with pytest.raises(BadInput, match="air=true"):
        Uncounted().look(small(AIRORVAC="air"), air=False)
    assert Small().look(small(AIRORVAC="air"), air=True)[0] == 3


def test_a_unit_that_is_none_is_refused_before_rows_are_counted():
    """The error of the unit is the one that is told."""

    class Other(Small):
        def unit(self, hdus):
            raise BadInput("no unit")

        def count(self, hdus):
            raise AssertionError("counted")

    with pytest.raises(BadInput, match="no unit"):
        Other().look(small(), air=False)


def test_files_stand_alone_unless_a_survey_says_otherwise():
    """One source each, in their order, with nothing beside."""
    paths = [Path("b.fits"), Path("a.fits")]

    assert Small().sources(paths) == [Source("b.fits"), Source("a.fits")]
