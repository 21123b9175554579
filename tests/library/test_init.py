"""The door: what it offers, nothing more, at no cost."""

import subprocess
import sys

import pytest

import hpcsbi


def test_what_is_listed_is_there():
    """Every public name can be had, has words, and is all that there is."""
    assert sorted(hpcsbi.__all__) == hpcsbi.__all__
    assert all(getattr(hpcsbi, name).__doc__ for name in hpcsbi.__all__)
    assert set(dir(hpcsbi)) == {*hpcsbi.__all__, "__version__"}
    with pytest.raises(AttributeError, match="hpcsbi has no 'load_flo': it offers BadInput"):
        _ = hpcsbi.load_flo


def test_importing_it_imports_nothing_heavy():
    """Names come when they are used."""
    code = "import hpcsbi, sys; print(*{'torch', 'numpy', 'astropy', 'pandas'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == ""
