"""Versions of the libraries that are installed here, as pip takes constraints."""

import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

__all__ = ["pinned_versions"]


def pinned_versions(package: str, others: Mapping[str, str]) -> str:
    """A line `name==version` for each library that a package needs, and those need.

    Arguments:
        package: whose requirements are followed; it has no line itself.
        others: name -> version of libraries that have a line in any case, as where the package is a
            folder on the path and not installed.
    """
    pins, seen = {_plain(name): _public(number) for name, number in others.items()}, set()
    todo = [(package, frozenset())]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            number, texts = version(name), requires(name) or []
        except PackageNotFoundError:  # of another platform, or not asked for
            continue
        if name != package:
            pins[_plain(name)] = _public(number)
        for requirement in map(Requirement, texts):
            if _applies(requirement, extras):
                todo.append((requirement.name, frozenset(requirement.extras)))
    lines = [f"{name}=={number}" for name, number in sorted(pins.items())]
    return "\n".join([f"# Python {platform.python_version()}", *lines]) + "\n"


def _applies(requirement: Requirement, extras: frozenset) -> bool:
    """Whether a requirement counts on this machine, with these extras."""
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _public(number: str) -> str:
    """A version without its build, such as +cpu, which package indexes do not have."""
    return number.split("+")[0]


def _plain(name: str) -> str:
    """A name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
