"""A SLURM that is a folder: its programs are scripts that keep a line for each job."""

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock

from hpcsbi.launch import submit

ROOT = Path(__file__).parents[1]
STAGES = ("tabulate", "simulate", "augment")
# What each program does: a job is a line "number|state|name|start" of the file queue.
SBATCH = """\
if [[ " $* " == *" --test-only "* ]]; then . "$FAKE/test-only"; exit; fi
for word in "$@"; do case $word in
    --chdir=*) start=${word#*=} ;; --job-name=*) name=${word#*=} ;; esac; done
number=$(($(wc -l <"$FAKE/queue") + 101))
take() { echo "$number|PENDING|$name|$start" >>"$FAKE/queue"; }
env >"$FAKE/environment"
. "$FAKE/behaviour"
"""
SQUEUE = """\
. "$FAKE/squeue-behaviour"
states=PENDING; format=
for word in "$@"; do case $word in
    --states=all) states= ;; --format=*) format=${word#*=} ;; esac; done
while IFS='|' read -r number state name start; do
    case $format in
        %F*) [[ -n $states && $state != PENDING ]] || echo "$number|$start" ;;
        *) echo "$number|$state|None" ;;
    esac
done <"$FAKE/queue"
"""
SCANCEL = """\
for number in "$@"; do sed -i "s/^$number|PENDING/$number|CANCELLED/" "$FAKE/queue"; done
"""
GOOD = 'take; echo "$number"'


class Slurm:
    """The folder, and what the programs in it are to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        programs = {"sbatch": SBATCH, "squeue": SQUEUE, "scancel": SCANCEL, "scontrol": ""}
        for name, text in programs.items():
            path = folder / "bin" / name
            path.write_text(f"#!/bin/bash\n{text}")
            path.chmod(0o755)
        for name in ("queue", "squeue-behaviour", "test-only"):
            (folder / name).touch()
        self.behaves(GOOD)

    def behaves(self, text: str, program: str = "behaviour") -> None:
        (self.folder / program).write_text(text)

    def waiting(self) -> dict[str, str]:
        """Number -> name of the jobs that wait."""
        lines = (line.split("|") for line in (self.folder / "queue").read_text().splitlines())
        return {number: name for number, state, name, _ in lines if state == "PENDING"}

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        own = {"PATH": path, "FAKE": str(self.folder), "HPCSBI_PYTHON": sys.executable}
        return {k: v for k, v in os.environ.items() if k != "SPS_HOME"} | own | more


def submitted(
    fake: Slurm, run: Path | str, *given: str, name: str = "n", cwd: Path = ROOT, **more: str
) -> subprocess.CompletedProcess:
    """The same to its end, in this process: the libraries are imported once."""
    stages = [] if any(word.startswith("--stages") for word in given) else [",".join(STAGES)]
    words = ["pipeline.sh", name, *given, *(f"--stages={stage}" for stage in stages)]
    before, mask = Path.cwd(), os.umask(0o022)
    out, error, status = StringIO(), StringIO(), 0
    try:
        os.chdir(cwd)
        with (
            mock.patch.dict(os.environ, fake.environment(**more), clear=True),
            mock.patch.object(sys, "argv", [*words, *([f"run={run}"] if run else [])]),
            redirect_stdout(out),
            redirect_stderr(error),
        ):
            submit.main()
    except SystemExit as end:
        status = end.code
    finally:
        os.chdir(before)
        os.umask(mask)
    return subprocess.CompletedProcess(words, status, out.getvalue(), error.getvalue())
