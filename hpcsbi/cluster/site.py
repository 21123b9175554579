"""A SLURM site: what its jobs ask for, and what they set up before they start."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from hpcsbi.errors import BadInput

__all__ = ["Site", "bytes_of", "make_site", "seconds_of"]

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Site:
    """One file of conf/site.

    Arguments:
        partition, account, qos, constraint: as sbatch knows them; None leaves the site's default.
        tasks: processes at work in an allocation, or parts of an array.
        memory: of each of them, for each of its processors, e.g. "2G"; None asks for none, where
            a site forbids it or gives whole nodes.
        time: limit of one job, e.g. "04:00:00"; work that takes longer goes on in the next.
        requeues: how often a job that ran out of time is queued again.
        throttle: tasks of an array that run at once; None is all of them.
        train: further or other options of sbatch for the training job, e.g. {"gres": "gpu:1"}.
        infer: the same for the jobs of infer, its workers' and those of an array.
        options: further options of sbatch for every job.
        setup: lines of shell before the work: modules, an environment.
        interface: network interface between nodes; None lets Dask choose.
        scratch: folder on a node where workers spill; None is the run's folder.
        umask: of everything that a run writes; "077" hides it from other users.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    tasks: int = 4
    memory: str | None = "2G"
    time: str = "04:00:00"
    requeues: int = 10
    throttle: int | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    infer: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    setup: Sequence[str] = ()
    interface: str | None = None
    scratch: str | None = None
    umask: str = "077"

    def __post_init__(self) -> None:
        seconds_of(self.time)  # what is wrong is wrong now
        if self.memory is not None:
            bytes_of(self.memory)
        try:
            mask = int(str(self.umask), 8)
        except ValueError:
            mask = -1
        if not 0 <= mask <= 0o777:
            raise BadInput(f"site.umask is {self.umask!r}: it must be like '077' or '027'.")
        options = {*self.options, *self.train, *self.infer}
        if options & {"cluster", "clusters"}:
            raise BadInput(
                "site.options.clusters: squeue would not find the jobs of another cluster; log in "
                "to that one and submit there."
            )
        if self.tasks < 1 or self.requeues < 0:
            raise BadInput(
                f"site.tasks is {self.tasks} and site.requeues {self.requeues}: at least one task, "
                "and no negative number of requeues."
            )

    @property
    def mask(self) -> int:
        """The umask as a number."""
        return int(str(self.umask), 8)

    def of_stage(self, stage: str) -> "Site":
        """The same, whose options are those that the jobs of a stage have."""
        own = {"train": self.train, "infer": self.infer}.get(stage, {})
        return replace(self, options={**self.options, **own})

    def sbatch_options(self, **more: Any) -> dict[str, str]:
        """Options of sbatch for a job, without dashes."""
        placement = {
            name: getattr(self, name) for name in ("partition", "account", "qos", "constraint")
        }
        options = {**placement, "time": self.time, **self.options, **more}
        return {key: str(value) for key, value in options.items() if value is not None}


def make_site(settings: Mapping[str, Any], stage: str = "") -> Site:
    """A site from the node `site` of the configuration.

    Arguments:
        settings: the node.
        stage: whose jobs it is for, if it is for those of one.

    Raises:
        ValueError: a key that no site has; names the likely one and all of them.
    """
    known = [item.name for item in fields(Site)]
    for key in settings:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise BadInput(
                f"site.{key} (in the file of conf/site, or on the command line) is not known."
                f"{hint} A site has: {', '.join(known)}."
            )
    return Site(**settings).of_stage(stage)


def seconds_of(time: str | int) -> float:
    """Seconds of a time limit: minutes, minutes:seconds, hours:minutes:seconds, or days-hours...

    Example:
        >>> seconds_of("04:00:00"), seconds_of("90"), seconds_of("1-12")
        (14400.0, 5400.0, 129600.0)
    """
    days, dash, rest = str(time).rpartition("-")
    parts = rest.split(":")
    try:
        numbers = [int(part) for part in parts]
        whole = 86400.0 * int(days) if dash else 0.0
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or min(numbers) < 0:
        raise BadInput(f"the time {time!r} is not one of SLURM's: give it as in 04:00:00.")
    units = (3600, 60, 1) if dash or len(numbers) == 3 else (60, 1)
    seconds = whole + sum(number * unit for number, unit in zip(numbers, units, strict=False))
    if seconds <= 0:
        raise BadInput(f"the time {time!r} is no time at all: give it as in 04:00:00.")
    return seconds


def bytes_of(memory: str | int) -> int:
    """Bytes of SLURM's notation: a number and K, M, G or T, which are powers of 1024; M without.

    Example:
        >>> bytes_of("2G") == 2 * bytes_of("1024M") == 2048 * bytes_of("1024K") == bytes_of(2048)
        True
    """
    text = str(memory)
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "M")
    try:
        size = int(float(number) * UNITS[unit])
    except (ValueError, KeyError):
        size = 0
    if size <= 0:
        raise BadInput(f"site.memory is {memory!r}: give it as in 2G or 1800M.")
    return size
