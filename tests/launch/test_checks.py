import subprocess
import sys

import numpy as np
import pytest
import tiny
from configurations import ALL, DEMO, MODEL, composed, refused
from learned_store import OBJECTS, RNG, store_of

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.launch.checkout import ROOT
from hpcsbi.launch.checks import arguments, check_stages


@pytest.mark.parametrize(
    ("stages", "overrides", "says"),
    [
        (ALL, ["ingest.files=[/nothing/*.fits]"], "/nothing/*.fits"),
        (ALL, ["survey=sdss"], "survey=table"),
        (ALL, ["ingest.redshifts=/nothing.csv"], "ingest.redshifts: /nothing.csv is not there"),
        (ALL, ["ingest.ids=/nothing.txt"], "ingest.ids: /nothing.txt is not there"),
        (ALL, ["augment.validation=100000"], "more than the 2000 spectra of simulate.n"),
        (ALL, ["simulate.theta=/nothing.csv"], "/nothing.csv"),
        (ALL, ["train.source=stored"], "augment makes none"),
        (ALL, ["augment.test=0"], "augment.test > 0"),
        (ALL, ["augment.test=0", "augment.validation=0"], "no pair would be made"),
        (ALL, ["infer.keep_draws=3000"], "infer.keep_draws=3000 of infer.draws=1000"),
        (ALL, ["infer.flow=/nowhere"], "/nowhere"),
        (ALL, ["calibrate.pairs=/nowhere.zarr"], "calibrate.pairs: /nowhere.zarr does not exist"),
        (ALL, ["grid=paper"], "demonstration table"),
        (ALL, ["prior.columns.logzsol.low=-2.4"], "logzsol spans -2.4"),
        (ALL, ["prior=two_part_dust"], "another physics.dust_type (4)"),
        (ALL, ["physics=two_part_dust", "prior=digs"], "demonstration table"),
        (("simulate",), ["physics=two_part_dust", "prior=digs"], "physics.dust_type is 4"),
        (ALL, ["noise=digs", "prior=model_error"], "kind fractional knows no error of the model"),
        (ALL, ["noise.model_error=0.01", "prior=model_error"], "noise.model_error is 0.01: leave"),
        (ALL, ["noise.redshift_error=30"], "noise.redshift_error is 30 on pixels of up to 3355"),
        (ALL, ["noise.sky_error=2"], "noise.sky_error is 2, and theta has no column zred"),
        (ALL, ["noise.model_error_length=2"], "noise.model_error_length is 2: a number, 20 to"),
        (ALL, ["noise.learned=/nothing.zarr"], "/nothing.zarr"),
        (ALL, ["noise.learned=3"], "noise.learned is 3"),
        (MODEL, ["experiment=survey"], "tabulate.demo=true"),
        (MODEL, ["experiment=paper"], "SPS_HOME is not set"),
        (ALL, ["simulate.source=fsps"], "SPS_HOME"),
        ((*ALL, "fit"), ["fit.engine=prospector", "fit.objects=1"], "SPS_HOME"),
        (("infer",), [], "run jobs/train.py"),
        (("augment",), [], "jobs/simulate.py"),
        (("compare",), [], "jobs/augment.py"),
    ],
)
def test_what_can_be_wrong_is_wrong_before_the_first_stage(
    tmp_path, monkeypatch, stages, overrides, says
):
    """Files, rows, what other stages must have made, and FSPS, for every stage that would run."""
    monkeypatch.delenv("SPS_HOME", raising=False)
    run = tmp_path / "run"

    assert says in refused(stages, *DEMO, f"run={run}", *overrides)
    assert not run.exists()


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["experiment=survey", "tabulate.demo=true"],
        ["cluster=array"],
        ["prior=model_error", "noise.model_error_length=100"],
        ["noise.model_error=0.01"],
        ["train.source=stored", "augment.copies=2", "simulate.n=2001"],
    ],
)
def test_what_is_right_passes(tmp_path, monkeypatch, overrides):
    """The demo, and science with the demonstration table where it is asked for."""
    monkeypatch.delenv("SPS_HOME", raising=False)
    cfg = composed(*DEMO, f"run={tmp_path}", *overrides)
    check_stages(cfg, ALL if cfg.ingest.files else MODEL)
    check_stages(cfg, ["report"])  # which shows what there is


def test_products_of_jobs_in_the_queue_are_no_lack(tmp_path):
    """A chain that is taken up again waits for what others make, and finds what lies there."""
    cfg = composed(*DEMO, f"run={tmp_path}")
    check_stages(cfg, ["calibrate"], coming=["train", "augment"])
    tiny.pairs(tmp_path)
    check_stages(cfg, ["calibrate"], coming=["train"])
    with pytest.raises(BadInput, match=r"more than the 300 spectra of .*simulations\.zarr"):
        check_stages(cfg, ["augment"])


def test_an_fsps_of_the_site_is_not_looked_for_here(tmp_path, monkeypatch):
    """Where site.setup sets SPS_HOME, the login node need not have it."""
    monkeypatch.delenv("SPS_HOME", raising=False)
    overrides = ("experiment=survey", f"run={tmp_path}", 'site.setup=["export SPS_HOME=/sw/fsps"]')
    check_stages(composed(*overrides, "cluster=allocation"), MODEL)
    assert "SPS_HOME" in refused(MODEL, *overrides, "cluster=serial")


def test_a_learned_error_is_read_and_compared_with_the_grid(tmp_path):
    """The noise that stages get has its numbers; one of another grid is told at once."""
    gains = np.array([1.0, 5.0, 4.9])[:, None] + 0.1 * RNG.normal(size=OBJECTS)
    right, wrong = (tmp_path / f"{name}.zarr" for name in ("right", "wrong"))
    store_of(right, gains)
    store_of(wrong, gains, Grid(first=3800.0))
    cfg = composed(*DEMO, f"run={tmp_path / 'run'}", f"noise.learned={right}")

    check_stages(cfg, ALL)
    noise = arguments(cfg, "augment")["noise"]
    assert len(noise.learned.templates) == 1 and noise.learned.mean[0] == pytest.approx(0.031)
    assert "was learned on the grid" in refused(
        ALL, *DEMO, f"run={tmp_path / 'run'}", f"noise.learned={wrong}"
    )


def test_a_missing_file_is_told_before_anything_is_imported(tmp_path):
    """A mistake in a path should not take the seconds that torch takes."""
    code = (
        "import sys; sys.argv = ['jobs/infer.py', 'infer.flow=/nowhere', sys.argv[1]];"
        "from hpcsbi.launch.tasks import start\n"
        "try: start('infer')\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, f"run={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.stdout.split() == ["2", "False"]
    assert "/nowhere/flow.safetensors does not exist: run jobs/train.py" in done.stderr
    assert not (tmp_path / "run").exists()
