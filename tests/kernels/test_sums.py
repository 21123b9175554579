"""Which of the two ways to add and multiply is taken."""

import subprocess
import sys

from hpcsbi.kernels.sums import is_tried

OTHER = """
import sys, numba
numba.__version__ = "99.0"
from hpcsbi.kernels import sums
assert sums.inner.__module__ == "hpcsbi.kernels.plain", sums.inner
assert "hpcsbi.kernels.vectors" not in sys.modules
"""


def test_versions_that_nobody_tried_get_the_loops():
    """Newer and older ones, without even importing what may no longer compile."""
    assert is_tried("0.61.2") and is_tried("0.68.1")
    assert not is_tried("0.60.0") and not is_tried("0.69.0rc1") and not is_tried("1.0")
    subprocess.run([sys.executable, "-c", OTHER], check=True)
