"""A file of spectra, and what its rows are called after."""

from pathlib import Path

import pytest

from hpcsbi.survey.record.source import Source, stem_of


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("coadd-1.fits", "coadd-1"),
        ("coadd-1.fits.gz", "coadd-1"),
        ("UPPER.FITS.BZ2", "UPPER"),
        ("own.parquet", "own"),
        ("spec-0.5.fits", "spec-0.5"),
        ("notes.txt", "notes.txt"),
        (".fits", ".fits"),
    ],
)
def test_a_stem_has_no_ending_of_ours(name, stem):
    """However a file is packed; what is no ending of a survey's file stays."""
    assert stem_of(Path("/data/run.fits") / name) == stem
    assert Source(f"/data/run.fits/{name}").stem == stem


def test_a_source_is_its_files():
    """Two of the same files are one, of other redshifts are not; rows are not known at first."""
    source = Source("coadd-1.fits", "redrock-1.fits")

    assert source == Source("coadd-1.fits", "redrock-1.fits", rows=0)
    assert source != Source("coadd-1.fits")
    assert len({source, Source("coadd-1.fits", "redrock-1.fits")}) == 1
