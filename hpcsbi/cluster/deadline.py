"""When a job ends, and whether there is time for another piece of work."""

import math
import signal
import threading
import time
from functools import lru_cache

from hpcsbi.cluster import this_job

__all__ = ["OutOfTime", "is_stopped", "leaves", "listen", "time_left", "way_out", "work_seconds"]

MARGIN = 20.0  # seconds for the way out: a checkpoint, the request to be queued again
SHARE = 0.25  # of the time that there was: a job of a minute must not go by without any work
NOTICE = 120.0  # seconds ahead of the end at which SLURM sends SIGUSR1: slurm/stage.sbatch
_stopped = threading.Event()
_told = [math.inf]  # when, by a clock that nobody sets


class OutOfTime(RuntimeError):
    """The job ends before the work does; what is done is kept, and the next job goes on."""


def listen() -> None:
    """From now on SIGUSR1, which SLURM sends ahead of the limit, means: start nothing new."""
    signal.signal(signal.SIGUSR1, _stop)


def _stop(*_: object) -> None:
    _told[0] = min(_told[0], time.monotonic())
    _stopped.set()


def is_stopped() -> bool:
    """True after SIGUSR1."""
    return _stopped.is_set()


def time_left() -> float:
    """Seconds until the work must be down, infinity outside a job.

    After SIGUSR1 they are counted from it: the clock of a node may be behind that of SLURM.
    """
    end, margin = _end()
    return min(end - time.time(), _told[0] + NOTICE - time.monotonic()) - margin


def leaves(seconds: float) -> bool:
    """True if work of so many seconds can be started."""
    return not is_stopped() and time_left() > seconds


def way_out(seconds: float) -> float:
    """Seconds at the end of a job of so many that are not for work."""
    return min(MARGIN, SHARE * seconds)


def work_seconds(limit: float) -> float:
    """Seconds in which a job may begin work, of a limit of so many; they may be less than none."""
    return limit - NOTICE - way_out(limit)


@lru_cache(maxsize=1)
def _end() -> tuple[float, float]:
    """The end of the job, asked once, and the seconds before it that are for the way out."""
    end = this_job.end_time() or math.inf
    return end, way_out(max(end - time.time(), 0.0))
