import os
import time
from functools import partial
from types import SimpleNamespace

import psutil
import pytest

from hpcsbi.cluster import Failure, Local, Serial, run_shards


def square(x: int) -> int:
    if x == 3:
        raise ValueError("three is not to be had")
    return x * x


def die(x: int) -> int:
    if x == 1:
        os._exit(0)
    return x


def own_addresses(_: int) -> list[str]:
    from distributed import get_worker

    worker = get_worker()
    return [worker.address, worker.scheduler.address]


@pytest.fixture(params=["serial", "local"])
def cluster(request, tmp_path):
    return Serial() if request.param == "serial" else Local(2, str(tmp_path / "dask"))


def test_one_bad_piece_does_not_stop_the_others(cluster):
    """Every piece has its result, and the bad one its reason."""
    found = dict(cluster.map(square, range(8)))

    assert sorted(found) == list(range(8))
    assert "three is not to be had" in found.pop(3).reason
    assert found == {x: x * x for x in range(8) if x != 3}


def test_the_window_is_bounded_and_refilled(tmp_path, monkeypatch):
    """Of forty pieces never more than four are in flight, and all are done."""
    from distributed import Client

    submit, submitted, yielded = Client.submit, [], []

    def counted(self, function, piece, **options):
        submitted.append(piece)
        assert len(submitted) - len(yielded) <= 4
        return submit(self, function, piece, **options)

    monkeypatch.setattr(Client, "submit", counted)
    for piece, result in Local(2, str(tmp_path)).map(abs, range(-40, 0)):
        yielded.append(piece)
        assert result == -piece

    assert sorted(yielded) == sorted(submitted) == list(range(-40, 0))


def test_a_worker_that_vanishes_is_noticed(tmp_path):
    """A process that ends with status 0 in the middle of a piece is a failure of that piece."""
    found = dict(Local(2, str(tmp_path)).map(die, range(4)))

    assert isinstance(found.pop(1), Failure)
    assert found == {0: 0, 2: 2, 3: 3}


def test_connections_are_private(tmp_path):
    """Scheduler and workers speak TLS on the loopback interface."""
    ((_, addresses),) = Local(1, str(tmp_path)).map(own_addresses, [0])

    assert all(address.startswith("tls://127.0.0.1:") for address in addresses)


def environment(_: int) -> dict[str, str]:
    return dict(os.environ)


def test_memory_is_not_handed_back_at_once(tmp_path):
    """Neither workers nor this process trim their memory: it makes tensors three times slower."""
    ((_, seen),) = Local(1, str(tmp_path)).map(environment, [0])

    assert "MALLOC_TRIM_THRESHOLD_" not in seen
    assert "MALLOC_TRIM_THRESHOLD_" not in os.environ
    assert seen["OMP_NUM_THREADS"] == "1"


def test_nothing_listens_beyond_this_machine(tmp_path):
    """Every port of scheduler, client and workers is on the loopback interface."""
    pieces = Local(1, str(tmp_path)).map(abs, [1, 2, 3])
    next(pieces)
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    list(pieces)

    assert set(listening) == {"127.0.0.1"}


class Shards:
    """A store of four shards in a folder, one of them made already."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder
        (folder / "0").write_text("")

    def states(self, verify=False):
        done = [(self.folder / str(k)).exists() for k in range(4)]
        return {k: "done" if there else "missing" for k, there in enumerate(done)}

    def mark_failed(self, shard, reason):
        (self.folder / f"{shard}.failed").write_text(reason)


def make(folder, lucky: bool, shard: int) -> int:
    if shard == 2 and not lucky:
        raise ValueError("out of luck")
    (folder / str(shard)).write_text("")
    return shard


def test_only_what_is_missing_is_made(tmp_path):
    """A failed shard ends the stage with its reason and the mend; the next run makes only it."""
    store = Shards(tmp_path)

    with pytest.raises(RuntimeError, match=r"1 of 4 shards failed(.|\n)*out of luck(.|\n)*again"):
        run_shards(partial(make, tmp_path, False), store, Serial(), "simulate")
    assert "out of luck" in (tmp_path / "2.failed").read_text()
    assert run_shards(partial(make, tmp_path, True), store, Serial(), "simulate") == {2: 2}
    assert run_shards(partial(make, tmp_path, True), store, Serial(), "simulate") == {}


def test_serial_starts_no_work_ahead():
    """Results come one by one, so that what was made is kept when the run ends."""
    started = []
    pieces = Serial().map(lambda x: started.append(x), range(3))
    next(pieces)
    time.sleep(0.05)

    assert started == [0]
    assert SimpleNamespace(n=len(list(pieces))).n == 2
