"""Whether the time limits of jobs leave them time for work, said before they are submitted."""

import math
import sys
from collections.abc import Sequence

from hpcsbi.cluster.deadline import NOTICE, work_seconds
from hpcsbi.cluster.site import Site, seconds_of
from hpcsbi.errors import BadInput
from hpcsbi.launch.transaction import Job
from hpcsbi.terminal import duration

__all__ = ["short_limits", "warn_of_short_limits"]

LEAST = 180.0  # seconds of work that are worth the start of a job, which itself takes some


def warn_of_short_limits(jobs: Sequence[Job], site: Site) -> None:
    """Tell of limits after which most of a job is its start and its end."""
    for line in short_limits(jobs, site):
        print(f"warning: {line}", file=sys.stderr)


def short_limits(jobs: Sequence[Job], site: Site) -> list[str]:
    """A line for each key whose limit is too short, with the mend.

    Arguments:
        jobs: about to be submitted.
        site: of the jobs.
    """
    short: dict[tuple[str, str], list[str]] = {}
    for job in jobs:
        limit = job.options.get("time", "")
        if _seconds_of_work(limit) < LEAST:
            stages = short.setdefault((_key(job.stage, site), limit), [])
            stages += [job.stage] * (job.stage not in stages)
    return [_words(key, limit, stages) for (key, limit), stages in short.items()]


def _seconds_of_work(limit: str) -> float:
    """Infinity for what only SLURM knows, as UNLIMITED, or the default of a partition."""
    try:
        return work_seconds(seconds_of(limit))
    except BadInput:
        return math.inf


def _key(stage: str, site: Site) -> str:
    """Where the limit of a stage stands, in the order of `submit.stage_options`."""
    if stage in ("train", "infer") and "time" in getattr(site, stage):
        return f"site.{stage}.time"
    return "site.options.time" if "time" in site.options else "site.time"


def _words(key: str, limit: str, stages: Sequence[str]) -> str:
    left, least = _seconds_of_work(limit), math.ceil((LEAST + NOTICE) / 60)
    while work_seconds(60 * least) < LEAST:
        least += 1
    time = f"{duration(left)} for work" if left > 0 else "no time for work"
    return (
        f"{key}={limit} leaves {', '.join(stages)} {time}: a job is told {duration(NOTICE)} ahead "
        f"of its limit to end. Give {key}={least // 60:02d}:{least % 60:02d}:00 or more."
    )
