"""What jobs of workers ask for and are given, whatever the folder and the site."""

import shlex
import subprocess

import pytest

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
