"""hydra/launcher=slurm_array: a sweep of a job as one SLURM array, submitted and left to itself.

Hydra looks for launchers in this namespace only. It imports this file whenever a job starts, so
what submits (jobs/sweep.py) is imported when it is asked for.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import InstantiationException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

WRONG = 2  # exit status of jobs/stage.py for wrong input


@dataclass
class SlurmArrayConf:
    """It has no options: what a job asks for is in conf/site."""

    _target_: str = "hydra_plugins.hpcsbi_slurm_array.SlurmArrayLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="slurm_array", node=SlurmArrayConf)


class SlurmArrayLauncher(Launcher):
    """Writes the resolved configurations of a sweep and submits them as one array."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called before Hydra writes anything: what SLURM would refuse ends here."""
        from sweep import check

        self.context, self.config = hydra_context, config
        with _told():
            check(config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit; the value of each job is its number in SLURM."""
        from sweep import submit

        load = self.context.config_loader.load_sweep_config
        overrides = [list(given) for given in job_overrides]
        with _told():
            number = submit([load(self.config, given) for given in overrides], overrides)
        return [
            JobReturn(given, status=JobStatus.COMPLETED, _return_value=f"{number}_{i}")
            for i, given in enumerate(overrides)
        ]


class _told:  # noqa: N801  reads as a word
    """Errors become one line and the exit status: Hydra would print where they came from."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, InstantiationException):
            error = error.__cause__ or error
        if isinstance(error, (ValueError, OSError, RuntimeError, InstantiationException)):
            print(f"error: {error}", file=sys.stderr, flush=True)
            sys.exit(WRONG)
