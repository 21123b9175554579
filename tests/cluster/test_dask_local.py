"""Dask's processes on this machine: private, and noticed when they are gone."""

import os

import psutil
import pytest
from outcomes import results

from hpcsbi.cluster.dask_local import Local, security_of
from hpcsbi.cluster.executors import Failure
from hpcsbi.cluster.tls import make_pair


def die(x: int) -> int:
    if x == 1:
        os._exit(0)
    return x


def own_addresses(_: int) -> list[str]:
    from distributed import get_worker

    worker = get_worker()
    return [worker.address, worker.scheduler.address]


@pytest.mark.slow
def test_a_worker_that_vanishes_is_noticed(tmp_path):
    """A process that ends with status 0 in the middle of a piece is a failure of that piece."""
    found = results(Local(2, str(tmp_path)).map(die, range(4)))

    assert isinstance(found.pop(1), Failure)
    assert found == {0: 0, 2: 2, 3: 3}


def test_connections_are_private(tmp_path):
    """Scheduler and workers speak TLS on the loopback interface."""
    (addresses,) = results(Local(1, str(tmp_path)).map(own_addresses, [0])).values()

    assert all(address.startswith("tls://127.0.0.1:") for address in addresses)


def environment(_: int) -> dict[str, str]:
    return dict(os.environ)


def test_memory_is_not_handed_back_at_once(tmp_path):
    """Neither workers nor this process trim their memory: it makes tensors three times slower."""
    (seen,) = results(Local(1, str(tmp_path)).map(environment, [0])).values()

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


def test_one_pair_serves_all_roles():
    """Encryption is asked for, and each role shows the same certificate to the others."""
    pair = make_pair()
    security = security_of(pair)

    assert security.require_encryption and security.tls_ca_file == pair.certificate
    for role in ("client", "scheduler", "worker"):
        tls = security.get_tls_config_for_role(role)
        assert (tls["cert"], tls["key"]) == (pair.certificate, pair.key)
