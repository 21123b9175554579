"""The ways to run, conf/cluster/*.yaml, each known by the class that it names."""

from omegaconf import DictConfig

__all__ = ["CLASSES", "FOR_SLURM", "HERE", "NO_CHILDREN", "way_of"]

CLASSES = {
    "serial": "hpcsbi.cluster.executors.Serial",
    "local": "hpcsbi.cluster.dask_local.Local",
    "allocation": "hpcsbi.cluster.dask_allocation.Allocation",
    "slurm": "hpcsbi.cluster.dask_jobs.Elastic",
    "array": "hpcsbi.cluster.executors.Array",
}
HERE = ("serial", "local")  # on this machine
FOR_SLURM = ("allocation", "slurm", "array")
# Their workers are no children of the job: what they have worked is noted shard by shard.
NO_CHILDREN = ("allocation", "slurm")


def way_of(cfg: DictConfig) -> str:
    """The way that a configuration runs, "" if it is none of these."""
    ways = {target: way for way, target in CLASSES.items()}
    return ways.get(str(cfg.cluster._target_), "")
