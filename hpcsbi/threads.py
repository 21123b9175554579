"""Threads of the libraries: how many add up a sum decides its last bits."""

import sys

from threadpoolctl import threadpool_limits

__all__ = ["use_one_thread"]


def use_one_thread() -> None:
    """From now on this thread of the process computes alone, whatever the machine has.

    NumPy's and SciPy's linear algebra starts as many threads as there are cores or as the
    environment says (OMP_NUM_THREADS), and so does torch, where it is loaded. Processes are what
    fans out here.
    """
    threadpool_limits(1, user_api="blas")
    if torch := sys.modules.get("torch"):  # stages that do without need not wait for it
        torch.set_num_threads(1)
