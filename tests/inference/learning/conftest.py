"""Spectra whose theta and error are known, made once for a file."""

import known_error
import pytest


@pytest.fixture(scope="module")
def engine():
    return known_error.engine()


@pytest.fixture(scope="module")
def known(engine):
    return known_error.spectra_of(engine)
