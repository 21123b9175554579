"""What jobs of workers ask for and are given, whatever the folder and the site."""

import os
import shlex
import signal
import stat
import subprocess

import pytest
from privacy import keep_private

from hpcsbi import caches
from hpcsbi.cluster import deadline
from hpcsbi.cluster.dask_allocation import Allocation, _memory_limit
from hpcsbi.cluster.dask_jobs import Elastic, _cluster_class
from hpcsbi.cluster.site import make_site

CERTIFICATES = {"tls-ca-file": "ca", "tls-cert": "cert", "tls-key": "key"}


def job_script(folder, cores=1, **site) -> str:
    """The batch script of one job of workers."""
    elastic = Elastic(str(folder), cores, make_site({"interface": "lo", **site}))
    certificates = {key: f"{folder}/{name}" for key, name in CERTIFICATES.items()}
    job = elastic._job(False, certificates)
    script = _cluster_class(folder).job_cls("tls://127.0.0.1:9", name="w", **job).job_script()
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    return script


def words(script: str, start: str) -> list[str]:
    """A line of the script as bash reads it."""
    return shlex.split(next(line for line in script.splitlines() if start in line))


@pytest.mark.parametrize("name", ["my run", "10%noise", "it's", 'a"b', "\N{GREEK SMALL LETTER PI}"])
def test_every_folder_is_quoted(tmp_path, name):
    """Spill, certificates and log are where they are, for bash and for sbatch."""
    folder = tmp_path / name
    script = job_script(folder)
    command = words(script, "dask_worker")

    assert command[command.index("--local-directory") + 1] == str(folder)
    assert command[command.index("--tls-key") + 1] == f"{folder}/key"
    log = next(word for word in words(script, "--output") if word.startswith("--output"))
    assert log.replace("%%", "%") == f"--output={folder}/hpcsbi-worker-%j.out"


def test_processors_and_memory_are_counted_together(tmp_path):
    """Two processors for each of four processes: the job has eight, and the memory of eight."""
    script = job_script(tmp_path, 4, memory="1G", options={"cpus-per-task": 2})

    assert script.count("cpus-per-task") == 1 and "--cpus-per-task=8" in script
    assert "--mem=8192M" in script and "--memory-limit 2.00GiB" in script


def test_memory_is_not_asked_for_where_it_is_forbidden(tmp_path):
    """Neither of SLURM, nor is there a limit then."""
    script = job_script(tmp_path, memory=None)
    command = words(script, "dask_worker")

    assert "--mem" not in script.replace("--memory-limit", "")
    assert command[len(command) - 1 - command[::-1].index("--memory-limit") + 1] == "0"


@pytest.mark.parametrize(
    ("tasks", "given", "workers"),
    [("4", {}, 4), ("2(x3),1", {}, 7), ("1", {}, 1), ("9", {"SLURM_NTASKS": "5"}, 5)],
)
def test_tasks_of_a_job_without_ntasks(monkeypatch, tasks, given, workers):
    """`sbatch slurm/stage.sbatch` alone has as many as SLURM gave it."""
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    monkeypatch.setenv("SLURM_TASKS_PER_NODE", tasks)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert Allocation("x", make_site({})).workers == workers


def test_memory_of_a_task_with_several_processors(monkeypatch):
    """SLURM gives it for each processor, so a worker may have it."""
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "900")
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    one = _memory_limit(2)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")

    assert _memory_limit(2) == 2 * one == 1200 * 2**20


def test_notice_is_counted_from_the_signal(monkeypatch):
    """A clock that is a minute behind does not make a job end before its work does."""
    end = deadline.time.time() + 180  # by that clock
    monkeypatch.setattr(deadline, "_end", lambda: (end, deadline.MARGIN))
    monkeypatch.setattr(deadline, "_told", list(deadline._told))
    monkeypatch.setattr(deadline, "_stopped", type(deadline._stopped)())
    before = signal.getsignal(signal.SIGUSR1)
    try:
        deadline.listen()
        assert deadline.time_left() > 150
        os.kill(os.getpid(), signal.SIGUSR1)
        assert deadline.is_stopped() and 90 < deadline.time_left() <= 100
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_caches_are_never_at_home(tmp_path, monkeypatch):
    """In the run's folder where the installation is not to be written, else beside the code."""
    for name in ("MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    caches.keep_caches(tmp_path)
    beside = os.environ.get("NUMBA_CACHE_DIR")
    monkeypatch.setattr(caches.os, "access", lambda *_: False)
    caches.keep_caches(tmp_path)

    assert beside is None
    assert os.environ["NUMBA_CACHE_DIR"].startswith(str(tmp_path))
    assert os.environ["MPLCONFIGDIR"].startswith(str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR")  # set behind the back of monkeypatch
    monkeypatch.delenv("MPLCONFIGDIR")


@pytest.mark.parametrize(
    ("mask", "mode"), [(0o027, 0o2750), (0o002, 0o2775), (0o077, 0o700), (0o022, 0o2755)]
)
def test_a_shared_folder_keeps_its_group(tmp_path, monkeypatch, mask, mode):
    """Its setgid bit goes on to what is made in it; a private one has none of its own."""
    for name in ("MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        monkeypatch.setenv(name, "x")
    project, before = tmp_path / "project", os.umask(0o077)
    try:
        project.mkdir()
        project.chmod(0o2775)
        keep_private(tmp_path / "own", mask)
        keep_private(project / "run", mask)
        (project / "run" / "store").mkdir()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == mode
    assert (project / "run" / "store").stat().st_mode & stat.S_ISGID
    assert stat.S_IMODE((project / "run").stat().st_mode) == mode | stat.S_ISGID
