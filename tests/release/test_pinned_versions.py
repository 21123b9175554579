"""Constraints are what is installed, as pip reads them."""

import re
from importlib.metadata import version

from packaging.requirements import Requirement

from hpcsbi.release.pinned_versions import pinned_versions


def test_all_that_is_needed_has_its_version():
    """What is needed by what is needed too; no build, no line for the package itself."""
    text = pinned_versions("hpcsbi", {"torch": version("torch")})
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", text, flags=re.MULTILINE))

    assert text.startswith("# Python 3.") and "+" not in text and "hpcsbi" not in pins
    for name in ("numpy", "torch", "numba", "llvmlite", "dust-extinction", "distributed"):
        assert pins[name] == version(name).split("+")[0]
    assert list(pins) == sorted(pins)


def test_pip_reads_them():
    """Every line is a requirement with one version."""
    lines = pinned_versions("hpcsbi", {}).splitlines()[1:]

    assert len(lines) > 40
    for requirement in map(Requirement, lines):
        assert [each.operator for each in requirement.specifier] == ["=="]


def test_a_package_that_is_not_installed_has_the_others_alone():
    """Such as a folder on the path."""
    assert pinned_versions("no-such-package", {"a_b": "1.2+cu1"}).splitlines()[1:] == ["a-b==1.2"]
