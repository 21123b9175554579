"""A limit that leaves a job no time for work is told before the job is submitted."""

from pathlib import Path

import pytest
from fake_slurm import Slurm, submitted
from hypothesis import given as for_all
from hypothesis import strategies as st

from hpcsbi.cluster.deadline import NOTICE, work_seconds
from hpcsbi.cluster.site import make_site
from hpcsbi.launch.time_limits import LEAST, short_limits
from hpcsbi.launch.transaction import Job


def told(limit, stages=("simulate", "train"), **site):
    jobs = [Job(stage, {"time": str(limit)}, Path(), {}) for stage in stages]
    return short_limits(jobs, make_site(site))


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_the_key_and_the_mend_are_named(tmp_path, dry):
    """Three minutes for the training: told with --dry-run too, once, and submitted all the same."""
    fake = Slurm(tmp_path / "slurm")

    given = ["experiment=demo", "beside=null", "site.train.time=00:03:00"]
    done = submitted(fake, tmp_path / "run", *given, *dry,
                     "--stages=tabulate,simulate,augment,train")  # fmt: skip

    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("warning"))
    assert line.startswith("warning: site.train.time=00:03:00 leaves train 40.0 s for work")
    assert "2.0 min ahead" in line and "Give site.train.time=00:06:00 or more" in line


def test_one_line_for_a_key():
    """It names the stages that share it, and whose key it is; a time that is SLURM's own is its."""
    assert [line.split(":")[0] for line in told("1", options={"time": "1"})] == [
        "site.options.time=1 leaves simulate, train no time for work"
    ]
    assert len(told("00:05:00")) == 1 and told("00:05:00")[0].startswith("site.time=00:05:00")
    assert len(told("4", train={"time": "4"})) == 2
    assert told("UNLIMITED") == told("") == told("1-00") == []


@for_all(st.integers(1, 3600))
def test_what_is_told_is_too_short_and_what_is_advised_is_not(seconds):
    """The advice itself is never warned of, and work is what notice and way out leave."""
    limit = f"00:{seconds // 60:02d}:{seconds % 60:02d}" if seconds < 3600 else "01:00:00"
    lines = told(limit, ("simulate",))

    assert bool(lines) == (work_seconds(seconds) < LEAST)
    assert work_seconds(seconds) < seconds - NOTICE
    for line in lines:
        assert told(line.split("Give site.time=")[1].split()[0]) == []
