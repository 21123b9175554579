from types import SimpleNamespace

from hpcsbi.cluster.executors import cores
from hpcsbi.health import processors as module
from hpcsbi.health.check import OK, WARNING
from hpcsbi.health.processors import memory, processors


def test_more_processes_or_threads_than_cores_only_wait(monkeypatch):
    """The mend is the number that there is."""
    for name in module.VARIABLES:  # Dask sets some where it has been at work
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    good = processors(cores(), 1)
    assert good.state == OK and "OMP_NUM_THREADS=7 is not followed" in good.words
    assert processors(cores() + 1, 1).mend.startswith(f"cluster.workers={cores()}")
    threads = processors(1, cores() + 1)
    assert threads.state == WARNING and threads.mend == f"train.threads={cores()}"


def test_memory_is_for_all_processes(monkeypatch):
    """At least one of them is always left."""
    system = SimpleNamespace(available=5e9, total=8e9)
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: system)

    assert memory(2, 2e9).state == OK
    assert memory(3, 2e9).mend.startswith("cluster.workers=2")
    assert memory(3, 9e9).mend.startswith("cluster.workers=1")
