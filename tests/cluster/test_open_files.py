"""Connections of many workers: the limit of open files goes up as far as they ask, and is told."""

import resource

import pytest

from hpcsbi.cluster.open_files import EACH, OTHERS, allow_connections
from hpcsbi.errors import BadInput


@pytest.fixture
def limits(monkeypatch):
    """What the machine allows, in place of the limits of the process of the tests."""
    state = {"now": (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: state["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: state.update(now=both))
    return state


@pytest.mark.parametrize(("workers", "soft"), [(1, 1024), (192, 1024), (193, 1028), (960, 4096)])
def test_raised_no_further_than_asked(limits, workers, soft):
    """Few workers leave the limit as it was; the hard one is never touched."""
    allow_connections(workers)

    assert limits["now"] == (soft, 4096) and soft >= min(EACH * workers + OTHERS, 4096)


def test_more_than_the_machine_allows(limits):
    """The number that fits is named, and taken; a machine without a limit takes any."""
    with pytest.raises(BadInput, match=r"961 workers take some 4100 .* 4096 .* site\.tasks=960"):
        allow_connections(961)
    assert limits["now"] == (1024, 4096)

    allow_connections(960)
    limits["now"] = (1024, resource.RLIM_INFINITY)
    allow_connections(100_000)
    assert limits["now"][1] == resource.RLIM_INFINITY


def test_the_limit_of_a_process():
    """As the system has it: a worker asks for less than any machine's limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_connections(1)

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (max(soft, EACH + OTHERS), hard)
