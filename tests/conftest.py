import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from lab import slurm_lab  # noqa: F401  a fixture

from hpcsbi.terminal import tell_once

# The jobs are scripts; their shared part registers the resolvers that the configuration needs.
sys.path.append(str(Path(__file__).parents[1] / "jobs"))

settings.register_profile("hpcsbi", deadline=None, max_examples=50)
settings.load_profile("hpcsbi")


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    """What a process tells once, it tells once in every test."""
    tell_once.cache_clear()


class Kill(BaseException):
    """Ends a run where it stands; no handler of errors sees it."""


class Boundaries:
    """The moments at which a file gets its name or goes, counted, and a kill before one of them."""

    def __init__(self) -> None:
        self.count, self.kill, self.pid = 0, -1, 100_000

    def before(self, function):
        def wrapped(*arguments, **options):
            self.count += 1
            if self.count - 1 == self.kill:
                raise Kill
            return function(*arguments, **options)

        return wrapped

    @contextmanager
    def killed_at(self, moment: int) -> Iterator[None]:
        """What runs inside dies before boundary `moment`; what runs after has another number."""
        self.count, self.kill = 0, moment
        with pytest.raises(Kill):
            yield
        self.kill, self.pid = -1, self.pid + 1


@pytest.fixture
def boundaries(monkeypatch) -> Boundaries:
    """Boundaries of this process."""
    found = Boundaries()
    monkeypatch.setattr(os, "getpid", lambda: found.pid)
    for owner, name in itertools.product((os, Path), ("replace", "rename", "unlink")):
        monkeypatch.setattr(owner, name, found.before(getattr(owner, name)))
    return found
