"""Examples in the docstrings of what is public say what happens."""

import doctest
from importlib import import_module

import numpy as np
import pytest

MODULES = (
    "flags",
    "library.catalogue_table",
    "library.trained_flow",
    "library.model_table",
    "simulator.theta.prior",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, small_run, monkeypatch):
    """In a folder with a run of the demo."""
    monkeypatch.chdir(small_run.parents[1])
    module = import_module(f"hpcsbi.{name}")

    result = doctest.testmod(module, extraglobs={"np": np}, optionflags=doctest.ELLIPSIS)

    assert result.attempted and not result.failed
