"""Cores and memory of this machine, and threads that the environment asks for."""

import os

import psutil

from hpcsbi.cluster.executors import cores
from hpcsbi.health.check import OK, WARNING, Check

__all__ = ["memory", "processors"]

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def processors(workers: int, threads: int) -> Check:
    """Cores that this process may use, and how many processes are to share them.

    Arguments:
        workers: processes at work at once on this machine.
        threads: of training.
    """
    ours, whole = cores(), os.cpu_count() or 1
    words = f"{ours} of {whole} cores are for this process, {workers} processes will share them"
    said = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    words += f"; {', '.join(said)} is not followed: each takes one thread" if said else ""
    if workers > ours:
        return Check("cores", WARNING, words, f"cluster.workers={ours}: more only wait")
    if threads > ours:
        words += f", and train.threads={threads} are more than there are"
        return Check("cores", WARNING, words, f"train.threads={ours}")
    return Check("cores", OK, words)


def memory(workers: int, each: float) -> Check:
    """Memory that is free now, for so many processes.

    Arguments:
        workers: processes at work at once on this machine.
        each: bytes of one.
    """
    system = psutil.virtual_memory()
    words = f"{system.available / 1e9:.1f} of {system.total / 1e9:.1f} GB are free"
    if system.available < workers * each:
        words += f", and {workers} processes may take {workers * each / 1e9:.1f} GB"
        most = max(1, int(system.available // each))
        return Check("memory", WARNING, words, f"cluster.workers={most}, or end what else runs")
    return Check("memory", OK, words)
