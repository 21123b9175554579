"""One thread for each process, whatever the machine offers."""

import json
import os
import subprocess
import sys

CODE = """
import json, numpy, scipy.linalg, torch
from threadpoolctl import threadpool_info
from hpcsbi.threads import use_one_thread
def threads():
    blas = {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
    return [max(blas), torch.get_num_threads()]
before = threads()
use_one_thread()
print(json.dumps([before, threads()]))
"""


def test_what_the_machine_offers_is_left():
    """NumPy's, SciPy's and torch's linear algebra is done by one thread, not by those offered."""
    offered = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**os.environ, **offered},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    before, after = json.loads(done.stdout)

    assert after == [1, 1]
    assert max(before) == 2 or os.cpu_count() == 1
