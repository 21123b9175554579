import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from lab import programs, slurm_lab  # noqa: F401  fixtures
from small_run import small_run  # noqa: F401  a fixture

from hpcsbi.cluster import slurm
from hpcsbi.cluster.executors import cores
from hpcsbi.errors import Unfinished
from hpcsbi.terminal import tell_once

settings.register_profile("hpcsbi", deadline=None, max_examples=50)
settings.load_profile("hpcsbi")


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: a third of the time tests wait for SLURM or others."""
    return cores() + 1


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    """What a process tells or asks once, it does once in every test."""
    tell_once.cache_clear()
    slurm.cluster.cache_clear()


class Kill(BaseException):
    """Ends a run where it stands; no handler of errors sees it."""


class Boundaries:
    """The moments at which a file gets its name or goes, counted, and a kill before one of them."""

    def __init__(self) -> None:
        self.count, self.kill, self.pid = 0, -1, 100_000
        self.hard = self.dead = False

    def before(self, function):
        def wrapped(*arguments, **options):
            self.count += 1
            if self.count - 1 == self.kill or self.dead:
                self.dead = self.hard
                raise Kill
            return function(*arguments, **options)

        return wrapped

    @contextmanager
    def killed_at(self, moment: int, hard: bool = False) -> Iterator[None]:
        """What runs inside dies before boundary `moment`; what runs after has another number.

        A `hard` death, as by SIGKILL, leaves locks and halves of files behind.
        """
        self.count, self.kill, self.hard = 0, moment, hard
        with pytest.raises((Kill, Unfinished)):  # a thread's end reads as a piece that failed
            yield
        assert self.count > moment
        self.kill, self.dead, self.pid = -1, False, self.pid + 1


@pytest.fixture
def boundaries(monkeypatch) -> Boundaries:
    """Boundaries of this process."""
    found = Boundaries()
    monkeypatch.setattr(os, "getpid", lambda: found.pid)
    for owner, name in itertools.product((os, Path), ("replace", "rename", "unlink")):
        monkeypatch.setattr(owner, name, found.before(getattr(owner, name)))
    monkeypatch.setattr(os, "link", found.before(os.link))
    return found
