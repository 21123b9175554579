"""One thread for each process, whatever the machine offers."""

import json
import os
import subprocess
import sys

THREADS = """
import json, numpy, scipy.linalg, torch
from threadpoolctl import threadpool_info
def threads():
    blas = {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
    return [max(blas), torch.get_num_threads()]
before = threads()
"""
ALONE = """
from hpcsbi.threads import use_one_thread
use_one_thread()
print(json.dumps([before, threads()]))
"""
STAGE = """
from hpcsbi.arguments import checked
threads.__module__ = "stage"
stage = checked()(threads)
print(json.dumps([before, stage()]))
"""


def told(code):
    """What a process prints to which two threads are offered."""
    offered = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    done = subprocess.run(
        [sys.executable, "-c", THREADS + code], env={**os.environ, **offered},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_what_the_machine_offers_is_left():
    """NumPy's, SciPy's and torch's linear algebra is done by one thread, not by those offered."""
    before, after = told(ALONE)

    assert after == [1, 1]
    assert max(before) == 2 or os.cpu_count() == 1


def test_a_stage_has_one_thread_from_its_first_line():
    """What a stage loads is made before its first shard, and shards use it."""
    before, inside = told(STAGE)

    assert inside == [1, 1]
    assert max(before) == 2 or os.cpu_count() == 1
