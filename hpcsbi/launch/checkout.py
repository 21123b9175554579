"""What stands beside the package in a clone of the repository, and is not installed with it."""

from pathlib import Path

__all__ = ["BATCH_SCRIPT", "CONF", "PIPELINE", "ROOT"]

ROOT = Path(__file__).resolve().parents[2]
CONF = str(ROOT / "conf")  # as Hydra takes it
PIPELINE = ROOT / "jobs" / "pipeline.py"
BATCH_SCRIPT = ROOT / "slurm" / "stage.sbatch"
