"""The doctor: every check of a configuration, a status, and nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from configurations import composed
from fake_slurm import Slurm

from hpcsbi.cluster import sbatch, slurm_commands
from hpcsbi.errors import BadInput
from hpcsbi.launch.doctor import doctor, needed_bytes

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A SLURM that takes all jobs, and no FSPS."""
    slurm = Slurm(tmp_path / "slurm")
    for module in (sbatch, slurm_commands):
        monkeypatch.setattr(module, "WAITS", ())
    for name, value in slurm.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SPS_HOME", raising=False)
    return slurm


def told(capsys, *overrides: str) -> str:
    """What is printed; the status is 0."""
    assert doctor(composed(*overrides)) == 0
    return capsys.readouterr().out


def test_a_run_on_this_machine(fake, tmp_path, capsys):
    """Cores and memory are looked at, no job is shown to SLURM, and no folder comes to be."""
    printed = told(capsys, "experiment=demo", "cluster=serial", f"run={tmp_path / 'run'}")

    assert all(
        f"OK       {name} " in printed
        for name in ("python", "torch, GPU", "run, locks", "temporary", "SPS_HOME")
    )
    assert "cores" in printed and "job train" not in printed
    assert printed.endswith(
        "Nothing is wrong. Next: python jobs/pipeline.py name=demo, with the same options\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_run_on_slurm(fake, tmp_path, capsys):
    """A site that is named is asked, with the tasks of an allocation, whatever cluster is."""
    site = ("experiment=demo", f"run={tmp_path / 'run'}", "site=perlmutter", "site.account=m1234")
    printed = told(capsys, *site)

    assert "job simulate" in printed and "--account=m1234" in printed
    assert f"--ntasks={composed(*site).site.tasks}" in printed
    assert "cores" not in printed and "slurm/pipeline.sh demo" in printed
    fake.behaves("echo 'sbatch: error: Invalid account' >&2; exit 1", "test-only")
    with pytest.raises(BadInput, match="job simulate, job train: mend as told"):
        doctor(composed(*site))
    assert "WRONG    job train" in capsys.readouterr().out
    assert fake.waiting() == {} and not (tmp_path / "run").exists()


def test_an_fsps_of_the_jobs_is_not_looked_for_here(fake, tmp_path, capsys):
    """What is wrong with it is told where the run itself calls it."""
    options = ["experiment=survey", f"run={tmp_path}", 'site.setup=["export SPS_HOME=/sw/fsps"]']
    assert "is set by site.setup" in told(capsys, *options)
    with pytest.raises(BadInput, match="SPS_HOME"):
        doctor(composed(*options[:2]))


def test_the_room_that_a_run_needs_grows_with_its_spectra():
    """By the numbers that stores hold; the paper's 2 x 10^6 pairs of 4 x 10^3 pixels for one."""
    one, two = (needed_bytes(composed(f"simulate.n={n}")) for n in (10_000, 20_000))
    cfg = composed()
    assert two - one == 4 * 10_000 * cfg.grid.pixels
    copies = needed_bytes(composed("augment.copies=2")) - needed_bytes(cfg)
    assert copies == 2 * 2 * 4 * cfg.grid.pixels * (cfg.simulate.n - 6000)


def test_the_job_ends_with_its_status(fake, tmp_path):
    """A line a check in a log, 2 where something is wrong, and no file is left."""
    command = [sys.executable, "jobs/doctor.py", f"run={tmp_path / 'run'}", "cluster=serial"]
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        [*command, "tabulate.demo=false"], cwd=ROOT, env=environment, capture_output=True, text=True
    )

    assert done.returncode == 2 and "\r" not in done.stdout + done.stderr
    assert done.stderr == "error: SPS_HOME: mend as told above, then ask again.\n"
    assert "HOME is not set; nothing is written into it" in done.stdout
    assert not (tmp_path / "run").exists()
