"""What a submission asks of SLURM: each stage's options, paths and names as they were meant."""

from pathlib import Path

import pytest
from configurations import composed
from fake_slurm import STAGES, Slurm, submitted

from hpcsbi.cluster import slurm
from hpcsbi.cluster.site import make_site
from hpcsbi.errors import BadInput
from hpcsbi.launch.submit import stage_options, submit, task_logs


@pytest.fixture
def fake(tmp_path) -> Slurm:
    return Slurm(tmp_path / "slurm")


def test_a_maintenance_is_a_warning(fake, tmp_path):
    """sbatch --test-only refuses while all nodes are drained; other refusals stay refusals."""
    reason = "echo 'allocation failure: {}' >&2; exit 1"
    fake.behaves(reason.format("Requested node configuration is not available"), "test-only")
    drained = submitted(fake, tmp_path / "a")
    fake.behaves(reason.format("Invalid account or account/partition combination"), "test-only")
    wrong = submitted(fake, tmp_path / "b")

    assert drained.returncode == 0 and drained.stderr.count("warning") == 1
    assert len(fake.waiting()) == len(STAGES)
    assert wrong.returncode == 2 and "Invalid account" in wrong.stderr
    assert not (tmp_path / "b").exists()


def test_paths_are_those_of_the_caller(fake, tmp_path):
    """From another folder, relative run and inputs: the jobs find them, and products land here."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "theta.csv").touch()
    done = submitted(fake, Path("runs/x"), "site.umask=027", "tabulate.out=tables/ssp.zarr",
                     "--stages=tabulate", cwd=here)  # fmt: skip
    assert done.returncode == 0, done.stderr

    config = (here / "runs/x/slurm/0001/config.yaml").read_text()
    assert f"run: {here}/runs/x" in config and f"out: {here}/tables/ssp.zarr" in config
    assert (here / "runs/x").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("name", ["2024_05_01", "1e3", "007", "it's", "true", "a,b"])
def test_a_name_stays_as_it_was_typed(fake, tmp_path, name):
    """It names the folder, the jobs and the configuration."""
    done = submitted(fake, "", "--stages=tabulate", name=name, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert list(fake.waiting().values()) == [f"{name}-tabulate"]
    assert (tmp_path / "runs" / name / "slurm" / "0001").is_dir()


@pytest.mark.parametrize(
    ("overrides", "absent", "present"),
    [
        (["site.memory=null"], "mem-per-cpu", "--ntasks=4"),
        (["site.options.mem-per-cpu=null"], "mem-per-cpu", "--ntasks=4"),
        (["site.options.mem=64G"], "mem-per-cpu", "--mem=64G"),
        (["site.options.ntasks=null"], "--ntasks", "--mem-per-cpu=2G"),
    ],
)
def test_a_site_leaves_out_what_it_forbids(fake, tmp_path, overrides, absent, present):
    """Memory and tasks are asked for unless the site says otherwise."""
    done = submitted(fake, tmp_path / "run", "--dry-run", *overrides)

    assert done.returncode == 0, done.stderr
    assert absent not in done.stdout
    assert done.stdout.count(present) == len(STAGES)


def configured(run, *overrides):
    """The demo's configuration, submitted as an array unless another way is chosen."""
    return composed("experiment=demo", "beside=null", "cluster=array", f"run={run}", "name=n",
                    "site.tasks=4", *overrides)  # fmt: skip


@pytest.fixture
def unchecked(monkeypatch):
    """What the stages are given is looked at elsewhere."""
    monkeypatch.setattr("hpcsbi.launch.submit.check_stages", lambda *_: None)


def dry_run(cfg, capsys, stages=("tabulate", "simulate"), only=None) -> list[str]:
    """Commands that would be given."""
    assert submit(cfg, stages, True, only) == {}
    out, error = capsys.readouterr()
    assert error.splitlines()[-1].startswith(
        "SLURM was shown none of these jobs: python jobs/doctor"
    )
    return out.splitlines()


def test_options_of_a_stage_are_the_sites_and_its_own(tmp_path):
    """Those of training and infer are for these alone; a folder may have a percent sign."""
    given = "site.memory=2G", "site.train={mem: 8G}", "site.infer={gres: 'gpu:1'}"
    cfg = configured(tmp_path / "10%noise", *given)
    site, stages = make_site(cfg.site), ("infer", "train", "fit")
    options, training, others = (stage_options(cfg, stage, site, 3) for stage in stages)

    assert (options["job-name"], options["ntasks"]) == ("n-infer", "3")
    assert options["output"] == f"{tmp_path}/10%%noise/logs/infer-%j.log"
    assert options["mem-per-cpu"] == "2G" and "mem" not in options
    assert training["mem"] == "8G" and "mem-per-cpu" not in training
    assert options["gres"] == "gpu:1" and "gres" not in training | others


def test_each_task_has_its_log():
    """In the same folder, whatever that is called."""
    assert task_logs("/a%j/logs/infer-%j.log") == "/a%j/logs/infer-%A_%a.log"


def test_parts_of_an_array_are_those_that_are_asked_for(unchecked, programs, tmp_path, capsys):
    """All of them, some, or none but the end of the stage."""
    programs("squeue", "true")
    cfg = configured(tmp_path / "run", "site.throttle=2")

    whole = dry_run(cfg, capsys)
    some = dry_run(cfg, capsys, only={"tabulate": [], "simulate": [1, 3]})

    assert sum("--array=0-3%2" in line for line in whole) == 2 and len(whole) == 4
    assert ["--array=" in line for line in some] == [False, True, False]
    assert "--array=1,3%2" in some[1] and "afterok:<tabulate>" in some[1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("stages", "overrides", "words"),
    [
        (("simulat",), [], "no stage simulat: choose from .*simulate"),
        (("status",), [], "no stage status"),
        (("tabulate",), ["cluster=local"], "cluster=local run on this machine.*pipeline.py"),
        (("tabulate",), ["cluster=serial"], "submit with cluster=allocation"),
    ],
)
def test_what_cannot_be_submitted_is_refused(
    unchecked, programs, tmp_path, stages, overrides, words
):
    """Before SLURM is given anything, and without a file."""
    programs("squeue", "true")
    programs("sbatch", f"touch {tmp_path}/asked; exit 1")

    with pytest.raises(BadInput, match=words):
        submit(configured(tmp_path / "run", *overrides), stages, False)
    assert not (tmp_path / "asked").exists() and not (tmp_path / "run").exists()


def test_an_array_larger_than_the_site_allows_is_refused(unchecked, programs, tmp_path, capsys):
    """With both numbers; one that fits is not."""
    programs("squeue", "true")
    with pytest.raises(slurm.SlurmError, match=r"site\.tasks=1001 .*\(1000\): lower it"):
        submit(configured(tmp_path, "site.tasks=1001"), ("tabulate",), True)

    assert "--array=0-999 " in dry_run(configured(tmp_path, "site.tasks=1000"), capsys)[0]
