import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from outcomes import results

from hpcsbi.cluster import deadline, executors
from hpcsbi.cluster.dask_local import Local
from hpcsbi.cluster.deadline import OutOfTime
from hpcsbi.cluster.executors import Serial, in_window
from hpcsbi.errors import Unfinished


def square(x: int) -> int:
    if x == 3:
        raise ValueError("three is not to be had")
    return x * x


@pytest.fixture(params=["serial", "local"])
def cluster(request, tmp_path):
    return Serial() if request.param == "serial" else Local(2, str(tmp_path / "dask"))


def test_one_bad_piece_does_not_stop_the_others(cluster):
    """Every piece has its result, and the bad one its reason."""
    found = results(cluster.map(square, range(8)))

    assert sorted(found) == list(range(8))
    assert "three is not to be had" in found.pop(3).reason
    assert found == {x: x * x for x in range(8) if x != 3}


def test_the_window_is_bounded_and_refilled(tmp_path, monkeypatch):
    """Of forty pieces never more than four are in flight, and all are done."""
    from distributed import Client

    submit, submitted, yielded = Client.submit, [], []

    def counted(self, function, *arguments, **options):
        submitted.append(arguments[-1])
        assert len(submitted) - len(yielded) <= 4
        return submit(self, function, *arguments, **options)

    monkeypatch.setattr(Client, "submit", counted)
    for piece, outcome in Local(2, str(tmp_path)).map(abs, range(-40, 0)):
        yielded.append(piece)
        assert outcome.receipt == -piece

    assert sorted(yielded) == sorted(submitted) == list(range(-40, 0))


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_work_that_cannot_finish_is_not_started(monkeypatch):
    """A second left, pieces of 0.3 s: a few are done, the rest is left to the next job."""
    end = time.time() + 1.2
    monkeypatch.setattr(deadline, "time_left", lambda: end - time.time())
    monkeypatch.setattr(executors, "time_left", deadline.time_left)
    done = []
    with pytest.raises(OutOfTime, match=r"takes up to 0 s"):
        for piece, _ in Serial().map(nap, [0.3] * 20):
            done.append(piece)

    assert 1 <= len(done) <= 3
    assert time.time() < end


@pytest.mark.parametrize(("length", "least"), [(24, 17), (86_400, 86_379)])
def test_the_way_out_takes_a_quarter_at_most(monkeypatch, length, least):
    """A job that is as short as the way out of a long one works all the same."""
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() + length))
    monkeypatch.setattr(deadline, "_end", deadline._end.__wrapped__)

    assert least < deadline.time_left() < length


class Scripted:
    """An executor whose first piece ends at once, and the others when the test says so."""

    def __init__(self, end):
        self.flight, self.end = [], end

    def submit(self, *_):
        future = Future()
        if not self.flight:
            self.end(future)
        self.flight.append(future)
        return future


def test_a_million_pieces_are_a_window():
    """Pieces are taken as others end, whatever their number."""
    finished, taken = executors.Finished(None, 0.0), []
    executor = Scripted(lambda future: future.set_result(finished))
    done = in_window(executor, abs, (taken.append(i) or i for i in range(10**6)), 3)

    next(done)
    for i in range(1, 2000):
        executor.flight[i].set_result(finished)
        next(done)

    assert len(taken) == 2000 + 2
    done.close()


def test_a_lost_scheduler_is_told_in_one_line():
    """Dask cancels all that is in flight when its scheduler is not heard of."""
    done = in_window(Scripted(Future.cancel), abs, range(4), 2)

    with pytest.raises(Unfinished, match="scheduler, in this process, was not heard of"):
        next(done)


def test_work_in_flight_is_left_when_time_is_up(monkeypatch):
    """A piece that outlasts the job does not keep it from asking to be queued again."""
    monkeypatch.setattr(executors, "LISTEN", 0.1)
    end = time.time() + 0.3
    monkeypatch.setattr(executors, "time_left", lambda: end - time.time())
    with pytest.raises(OutOfTime, match="in flight"):
        list(Serial().map(nap, [2.0]))

    assert time.time() < end + 1


def test_stop_means_nothing_new(monkeypatch):
    """After SIGUSR1 the piece at work is finished, and no other is started."""
    monkeypatch.setattr(deadline, "_stopped", type(deadline._stopped)())
    done = []
    with pytest.raises(OutOfTime, match="asked to stop"):
        for piece, _ in Serial().map(nap, [0.01] * 5):
            done.append(piece)
            deadline._stopped.set()

    assert done == [0.01]


def test_serial_starts_no_work_ahead():
    """Results come one by one, so that what was made is kept when the run ends."""
    started = []
    pieces = Serial().map(lambda x: started.append(x), range(3))
    next(pieces)
    time.sleep(0.05)

    assert started == [0]
    assert SimpleNamespace(n=len(list(pieces))).n == 2
