"""How many files this process may have open: a driver of many workers has a few for each."""

import resource
import sys

from hpcsbi.errors import BadInput

__all__ = ["allow_connections"]

EACH, OTHERS = 4, 256  # connections of a worker (benchmarks/rehearsal.py: 3); what else is open


def allow_connections(workers: int) -> None:
    """Raise the limit of open files, which most machines set to 1024, to what workers take.

    It is raised no further than they ask for, and by no more than the machine allows.

    Arguments:
        workers: processes that will be connected with this one.

    Raises:
        BadInput: the machine allows fewer.
    """
    needed = EACH * workers + OTHERS
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (sys.maxsize if x == resource.RLIM_INFINITY else x for x in limits)
    if soft >= needed:
        return
    if hard < needed:
        raise BadInput(
            f"{workers} workers take some {needed} open files in this process, and the limit here "
            f"is {hard} (ulimit -Hn): take site.tasks={max((hard - OTHERS) // EACH, 1)}, or "
            "cluster=array, whose parts are not connected."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, limits[1]))
