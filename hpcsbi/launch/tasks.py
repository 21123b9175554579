"""What each job does: most call the stage of their name, some a few stages in turn."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hpcsbi.launch import whole_pipeline
from hpcsbi.launch.job import run_job, run_stage
from hpcsbi.launch.ways import way_of
from hpcsbi.run.folder import RunFolder

__all__ = ["start"]


def start(name: str) -> None:
    """Run a job with the options of the command line, and end with its exit status.

    Arguments:
        name: of the job, jobs/<name>.py.
    """
    stages = STAGES_OF.get(name, lambda cfg: (name,))
    run_job(name, TASKS.get(name, partial(_in_turn, stages)), stages)


def _in_turn(stages: Callable[[DictConfig], Sequence[str]], cfg: DictConfig) -> int:
    """Each stage, to the worst of their statuses."""
    return max(run_stage(name, cfg) for name in stages(cfg))


def _stages_of_simulate(cfg: DictConfig) -> tuple[str, ...]:
    """Spectra from the table need the table: it is made first, or found as it was left.

    Not by the parts of an array, which would each make a part of it: there it is a job of its own.
    """
    table = cfg.simulate.source == "table" and way_of(cfg) != "array"
    return ("tabulate", "simulate") if table else ("simulate",)


def _train(cfg: DictConfig) -> int:
    """A flow of a sweep is calibrated when it is trained: one that fails is for `compare` to tell.

    Its calibration stands in calibrations/ under the flow's name.
    """
    status = run_stage("train", cfg)
    if _judges(cfg):
        out = RunFolder(Path(cfg.run)).calibration_of(Path(cfg.train.out).name)
        OmegaConf.update(cfg, "calibrate.out", str(out))
        run_stage("calibrate", cfg)
    return status


def _plan(cfg: DictConfig) -> int:
    from hpcsbi.launch.probes import plan  # it brings half of the stages along

    return plan(cfg)


def _doctor(cfg: DictConfig) -> int:
    from hpcsbi.launch.doctor import doctor

    return doctor(cfg)


def _judges(cfg: DictConfig) -> bool:
    return HydraConfig.get().mode == RunMode.MULTIRUN if cfg.judge is None else cfg.judge


# Jobs that do more than run their stages in turn.
TASKS: dict[str, Callable[[DictConfig], int]] = {
    "train": _train,
    "plan": _plan,
    "doctor": _doctor,
    "pipeline": whole_pipeline.pipeline,
}
# Jobs whose stages are others than the one of their name; they are checked first.
STAGES_OF: dict[str, Callable[[DictConfig], Sequence[str]]] = {
    "simulate": _stages_of_simulate,
    "pipeline": whole_pipeline.check,
    "doctor": lambda cfg: (),
}
