"""A large cluster, rehearsed on one machine: a thousand workers, an array of a thousand parts.

    python benchmarks/rehearsal.py dask [--workers 100] [--items 2000] [--seconds 0.5]
        [--processes 4] [--files 1024]
    slurm/lab.sh start && eval "$(slurm/lab.sh env)"
    python benchmarks/rehearsal.py array FOLDER [--parts 100] [--seconds 2] [--real 2]

`dask`: `cluster=allocation` as it is, in a process that has what SLURM tells a job in its
environment. Its scheduler, client, certificates and window of futures are those of a real run, and
so is every connection: each worker is one of Dask's with TLS of its own and one thread, which
sleeps for --seconds a piece. What is not real: `srun` is a stand-in that starts the workers as
objects in a few processes, without a nanny each and eight at a time, for a thousand processes do
not fit here; they share this machine's cores with the scheduler; nothing goes through a network.
Told are seconds to start and to stop, CPU time of the driver (scheduler and client) for each
piece, its memory, and the most pieces that were ever taken and not yet given back. The process
starts with --files as its limit of open files, which many machines set to 1024.

`array`: `simulate` as an array through `slurm/pipeline.sh`, whose parts sleep in place of Python,
and is cancelled the second time; then one of --real parts that do their work, and `status`. Each
call of a program of SLURM's is counted, of those who submit or ask and of the parts.
"""

import argparse
import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
TOLD, TOGETHER = 10, 8  # lines about the pieces; workers of a process that connect at once
PROGRAMS = ("sbatch", "squeue", "scontrol", "sacct", "scancel", "sinfo")


def main() -> None:
    """Rehearse what is asked for."""
    if sys.argv[1:2] == ["srun"]:
        srun(sys.argv[2:])
        return
    parser = argparse.ArgumentParser()
    ways = parser.add_subparsers(required=True)
    dask, array = ways.add_parser("dask"), ways.add_parser("array")
    dask.set_defaults(rehearse=rehearse_dask)
    for name, value in {"workers": 100, "items": 2000, "processes": 4, "files": 1024}.items():
        dask.add_argument(f"--{name}", type=int, default=value)
    dask.add_argument("--seconds", type=float, default=0.5, help="that a piece takes")
    array.set_defaults(rehearse=rehearse_array)
    array.add_argument("folder", type=Path)
    array.add_argument("--parts", type=int, default=100)
    array.add_argument("--real", type=int, default=2, help="parts that do their work; 0: none")
    array.add_argument("--seconds", type=float, default=2, help="that a part sleeps")
    options = parser.parse_args()
    options.rehearse(options)


def rehearse_dask(options: argparse.Namespace) -> None:
    """Print what many workers and pieces cost their driver."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (options.files, hard))
    from hpcsbi.cluster.dask_allocation import Allocation
    from hpcsbi.cluster.executors import Failure
    from hpcsbi.cluster.site import make_site

    taken = Counter()

    def pieces() -> Iterator[float]:
        for _ in range(options.items):
            taken["now"] += 1
            taken["most"] = max(taken["most"], taken["now"])
            yield options.seconds

    print(f"{'pieces':>8s} {'s':>7s} {'workers':>7s} {'CPU ms each':>11s} {'MB':>5s} {'files':>5s}")
    process, workers, step = psutil.Process(), {}, max(options.items // TOLD, 1)
    with tempfile.TemporaryDirectory() as folder:
        stand_in(Path(folder), options)
        cluster = Allocation(f"{folder}/dask", make_site({}))
        began, before, last = time.monotonic(), cpu_seconds(process), 0.0
        for done, (_, outcome) in enumerate(cluster.map(nap, pieces()), 1):
            if isinstance(outcome, Failure):
                sys.exit(outcome.reason)
            taken["now"] -= 1
            last, workers[outcome.receipt] = time.monotonic() - began, True
            if done in (1, options.items) or done % step == 0:
                spent = (cpu_seconds(process) - before) / max(done % step or step, 1) * 1e3
                before = cpu_seconds(process)
                print(
                    f"{done:8d} {last:7.1f} {len(workers):7d} {spent:11.2f} "
                    f"{process.memory_info().rss / 1e6:5.0f} {process.num_fds():5d}",
                    flush=True,
                )
        stopped = time.monotonic() - began - last
        said = Path(folder, "dask", "workers.log").read_text().strip().splitlines()
    print(
        f"{options.workers} workers, pieces of {options.seconds:g} s: most pieces in flight "
        f"{taken['most']}; stopped {stopped:.1f} s after the last result"
    )
    if said:
        print(f"the workers said, last: {said[-1]}")


def cpu_seconds(process: psutil.Process) -> float:
    """Of a process, without its children."""
    times = process.cpu_times()
    return times.user + times.system


def nap(seconds: float) -> str:
    """Address of the worker, after some sleep."""
    from distributed import get_worker

    time.sleep(seconds)
    return get_worker().address


def program(path: Path, *lines: str) -> None:
    """Write a script of the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def stand_in(folder: Path, options: argparse.Namespace) -> None:
    """A job's environment, and an `srun` that is found before any other."""
    path = folder / "bin" / "srun"
    program(path, f'exec "{sys.executable}" "{Path(__file__).resolve()}" srun "$@"')
    os.environ |= {
        "PATH": f"{path.parent}:{os.environ['PATH']}",
        "SLURM_NTASKS": str(options.workers),
        "SLURM_TASKS_PER_NODE": str(options.workers),
        "SLURM_JOB_NUM_NODES": "1",
        "REHEARSAL_PROCESSES": str(options.processes),
    }


def srun(words: list[str]) -> None:
    """Be the workers of a step of the job, in a few processes."""
    from hpcsbi.cluster.dask_local import Security, dask  # with its configuration, as in a run

    # Of one process each these are nothing; of hundreds in one they are all that it does.
    for name in ("tick", "system-monitor"):
        dask.config.set({f"distributed.admin.{name}.interval": "60s"})
    os.nice(2)  # on a cluster the scheduler has a core of its own
    given = dict(pairwise(words))
    address = next(word for word in words if word.startswith("tls://"))
    count = int(next(word for word in words if word.startswith("--ntasks=")).split("=")[1])
    processes = min(int(os.environ["REHEARSAL_PROCESSES"]), count)
    security = Security(
        require_encryption=True,
        tls_ca_file=given["--tls-ca-file"],
        tls_worker_cert=given["--tls-cert"],
        tls_worker_key=given["--tls-key"],
    )
    first = next((i for i in range(1, processes) if os.fork() == 0), 0)
    asyncio.run(hold(address, range(first, count, processes), security, given))


async def hold(address: str, numbers: range, security: object, given: dict[str, str]) -> None:
    """Workers of one process, until the scheduler ends them."""
    from distributed import Worker

    there, lost = [], []
    for i in range(0, len(numbers), TOGETHER):  # their processes have no core of their own
        some = [
            Worker(
                address,
                name=f"w{number}",
                nthreads=1,
                memory_limit=0,
                security=security,
                dashboard=False,
                local_directory=given["--local-directory"],
                host="127.0.0.1",
                death_timeout=given["--death-timeout"],
            )
            for number in numbers[i : i + TOGETHER]
        ]
        came = await asyncio.gather(*some, return_exceptions=True)
        there += [each for each in came if isinstance(each, Worker)]
        lost += [each for each in came if not isinstance(each, Worker)]
    if lost:
        print(f"{len(lost)} of {len(numbers)} workers did not come: {lost[-1]!r}", file=sys.stderr)
    await asyncio.gather(*(worker.finished() for worker in there))


def rehearse_array(options: argparse.Namespace) -> None:
    """Print how long an array takes, and how often SLURM's programs were called."""
    folder = options.folder.absolute()
    python(folder, "tabulate", "cluster=serial")  # whose table `simulate` takes
    calls, sleeper, times = folder / "calls", folder / "sleeper", folder / "times"
    squeue = shutil.which("squeue") or sys.exit('no SLURM: eval "$(slurm/lab.sh env)"')
    count_calls(folder / "bin", calls)
    note = f"date +%s.%N >>{times}"
    for sleep in (f"sleep {options.seconds}", "exec sleep 600"):
        program(sleeper, note, sleep, note)
        times.unlink(missing_ok=True)
        began = time.time()
        jobs = submit(folder, options.parts, f'site.setup=["export HPCSBI_PYTHON={sleeper}"]')
        submitted, asked = time.time() - began, told(calls)
        while not times.exists():
            time.sleep(0.1)
        if sleep.startswith("exec"):
            break
        wait_for_jobs(squeue)
        told_times = sorted(float(line) - began for line in times.read_text().split())
        print(
            f"{options.parts} parts of {options.seconds:g} s: submitted in {submitted:.1f} s "
            f"(calls: {asked}), the first began after {told_times[0]:.1f} s, the last ended after "
            f"{told_times[-1]:.1f} s (calls of the parts: {told(calls)})"
        )
    began = time.time()
    subprocess.run(["scancel", *jobs], check=True)
    wait_for_jobs(squeue)
    print(f"  cancelled while it ran: no job left after {time.time() - began:.1f} s")
    if options.real:
        told(calls)
        submit(folder, options.real)
        print(f"{options.real} parts that work: submitted (calls: {told(calls)})")
        wait_for_jobs(squeue)
        print(f"  calls of the parts and of the job that ends the stage: {told(calls)}")
        python(folder, "status", "cluster=array")
        print(f"  calls of status: {told(calls)}")


def python(folder: Path, job: str, *options: str) -> None:
    """Run a job here."""
    command = [sys.executable, f"jobs/{job}.py", f"run={folder}/run", *options]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def count_calls(folder: Path, calls: Path) -> None:
    """Programs of SLURM's that note each call, found before the real ones."""
    for name in PROGRAMS:
        if real := shutil.which(name):
            program(folder / name, f"echo {name} >>{calls}", f'exec {real} "$@"')
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"


def told(calls: Path) -> str:
    """How often each program was called since this was told before."""
    counts = Counter(calls.read_text().splitlines()) if calls.exists() else {}
    calls.unlink(missing_ok=True)
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def wait_for_jobs(squeue: str) -> None:
    """Until none is in the queue; these questions are not counted."""
    while subprocess.run([squeue, "-h"], capture_output=True, check=True).stdout:
        time.sleep(0.5)


def submit(folder: Path, parts: int, *more: str) -> list[str]:
    """Numbers of the jobs of an array of parts of `simulate`."""
    rows = [f"simulate.n={100 * parts}", "simulate.shard=100", f"run={folder}/run"]
    chain = ["slurm/pipeline.sh", "rehearsal", "--stages=simulate", "site=lab", "cluster=array"]
    command = [*chain, f"site.tasks={parts}", "site.memory=null", *rows, *more]
    environment = {**os.environ, "HPCSBI_PYTHON": sys.executable}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return [line.split("job ")[1].split()[0] for line in done.stdout.splitlines() if "job " in line]


if __name__ == "__main__":
    main()
