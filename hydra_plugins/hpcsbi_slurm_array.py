"""hydra/launcher=slurm_array: a sweep of a job as one SLURM array, submitted and left to itself.

Hydra looks for launchers in this namespace only. It imports this file whenever a job starts, so
what submits (hpcsbi/launch/sweep.py) is imported when it is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


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
        from hpcsbi.launch.sweep import check

        self.context, self.config = hydra_context, config
        check(config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit; the value of each job is its number in SLURM."""
        from hpcsbi.launch.sweep import submit

        load = self.context.config_loader.load_sweep_config
        overrides = [list(given) for given in job_overrides]
        number = submit([load(self.config, given) for given in overrides], overrides)
        return [
            JobReturn(given, status=JobStatus.COMPLETED, _return_value=f"{number}_{i}")
            for i, given in enumerate(overrides)
        ]
