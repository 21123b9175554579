"""Configurations for tests of the command line, and what is said of wrong ones."""

import pytest

from hpcsbi.errors import BadInput
from hpcsbi.launch.checkout import CONF
from hpcsbi.launch.checks import check_stages
from hpcsbi.launch.words import configuration_from, in_plain_words
from hpcsbi.pipeline import stages_of_run, upstream

DEMO = ("experiment=demo", "beside=null", "cluster=serial")
MODEL, ALL = upstream("calibrate"), stages_of_run(spectra=True)


def composed(*overrides: str):
    return configuration_from(CONF, "config", overrides)


def refused(stages, *overrides: str) -> str:
    """What is said of a configuration."""
    with pytest.raises((BadInput, OSError)) as caught:
        cfg = composed(*overrides)
        with in_plain_words(overrides):
            check_stages(cfg, stages)
    return str(caught.value)
