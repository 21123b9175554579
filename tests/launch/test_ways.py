from pathlib import Path

from configurations import composed
from omegaconf import OmegaConf

from hpcsbi.launch.checkout import CONF
from hpcsbi.launch.ways import CLASSES, FOR_SLURM, HERE, way_of


def test_the_ways_are_the_choices():
    """A file in conf/cluster for each, which names its class; each is here or for SLURM."""
    files = {path.stem: OmegaConf.load(path) for path in (Path(CONF) / "cluster").glob("*.yaml")}

    assert {way: node._target_ for way, node in files.items()} == CLASSES
    assert sorted([*HERE, *FOR_SLURM]) == sorted(CLASSES)


def test_a_way_is_known_by_its_class():
    """A frozen configuration does not say which choice it was made of."""
    cfg = composed("cluster=slurm")
    assert way_of(cfg) == "slurm"
    cfg.cluster._target_ = "hpcsbi.cluster.executors.Probe"
    assert way_of(cfg) == ""
