"""Where the files of a run and of a flow lie; of the stores of a run, their options say it."""

from dataclasses import dataclass
from pathlib import Path

from hpcsbi.store.files import RATES, there

__all__ = ["FlowFolder", "RunFolder", "finished_weights", "verdict_of"]


@dataclass(frozen=True)
class FlowFolder:
    """The folder of one flow, which holds all that a prediction takes."""

    path: Path

    @property
    def weights(self) -> Path:
        """The trained flow."""
        return self.path / "flow.safetensors"

    @property
    def checkpoint(self) -> Path:
        """The flow on its way, gone when it is trained."""
        return self.path / "checkpoint.safetensors"

    @property
    def history(self) -> Path:
        """Held-out scores by step, JSON."""
        return self.path / "history.json"

    @property
    def table(self) -> Path:
        """The SSP table that it was trained with, a copy."""
        return self.path / "ssp.zarr"


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run."""

    path: Path

    @property
    def flows(self) -> list[FlowFolder]:
        """Those that are there, trained or not, by name."""
        folder = self.path / "flows"
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        return [FlowFolder(path) for path in paths if path.is_dir()]

    @property
    def calibration(self) -> Path:
        """That of the run's own flow."""
        return self.path / "calibration.zarr"

    def calibration_of(self, flow: str) -> Path:
        """That of one flow of a sweep."""
        return self.path / "calibrations" / f"{flow}.zarr"

    @property
    def costs(self) -> Path:
        """One JSON line for each call of a stage."""
        return self.path / "costs.jsonl"

    @property
    def rates(self) -> Path:
        """One JSON line for each driver that made shards: what they took."""
        return self.path / RATES

    @property
    def submissions(self) -> Path:
        """A folder for each job: frozen configuration, script, log."""
        return self.path / "slurm"

    @property
    def numbered_submissions(self) -> list[Path]:
        """Their folders, the newest last; what somebody keeps beside them, 0001.old, is none."""
        paths = [path for path in self.submissions.glob("[0-9]*") if path.name.isdigit()]
        return sorted(paths, key=lambda path: int(path.name))

    @property
    def jobs(self) -> Path:
        """One JSON line for each job that was submitted."""
        return self.submissions / "jobs.jsonl"


def finished_weights(folder: str | Path) -> Path:
    """The weights of a flow's folder.

    Raises:
        FileNotFoundError: the flow is not trained, or not to its end.
    """
    path = FlowFolder(Path(folder)).weights
    if not there(path):
        raise FileNotFoundError(
            f"{path} does not exist: run jobs/train.py to its end first, or name another flow "
            "(a folder such as runs/demo/flows/optimum_zuko_maf_h128_t5)."
        )
    return path


def verdict_of(calibration: Path) -> Path:
    """The verdict of a calibration, JSON beside the store."""
    return calibration.with_suffix(".json")
