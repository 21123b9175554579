"""Where the files of a run lie, and that the configuration's options agree with it."""

from pathlib import Path

from omegaconf import OmegaConf

from hpcsbi.run.folder import FlowFolder, RunFolder, verdict_of

CONFIG = Path(__file__).parents[2] / "conf" / "config.yaml"


def test_flows_are_folders(tmp_path):
    """A file in between is none, and a run without flows has none."""
    run = RunFolder(tmp_path)
    assert run.flows == []

    for name in ("b", "a"):
        (tmp_path / "flows" / name).mkdir(parents=True)
    (tmp_path / "flows" / "notes.txt").touch()

    assert run.flows == [FlowFolder(tmp_path / "flows" / name) for name in ("a", "b")]


def test_submissions_are_numbered(tmp_path):
    """In the order of their numbers, and without what somebody keeps beside them."""
    for name in ("0002", "10000", "0001", "0001.old", "next", "1x"):
        (tmp_path / "slurm" / name).mkdir(parents=True)

    names = [path.name for path in RunFolder(tmp_path).numbered_submissions]

    assert names == ["0001", "0002", "10000"]


def test_options_write_where_readers_look():
    """What is an option of one stage and looked for by another has one name in both."""
    cfg = OmegaConf.load(CONFIG)
    run = RunFolder(Path(cfg.run))

    assert Path(cfg.calibrate.out) == run.calibration
    assert Path(cfg.report.costs) == run.costs
    assert verdict_of(run.calibration).name == "calibration.json"
