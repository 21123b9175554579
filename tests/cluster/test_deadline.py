import os
import signal

from hpcsbi.cluster import deadline


def test_notice_is_counted_from_the_signal(monkeypatch):
    """A clock that is a minute behind does not make a job end before its work does."""
    end = deadline.time.time() + 180  # by that clock
    monkeypatch.setattr(deadline, "_end", lambda: (end, deadline.MARGIN))
    monkeypatch.setattr(deadline, "_told", list(deadline._told))
    monkeypatch.setattr(deadline, "_stopped", type(deadline._stopped)())
    before = signal.getsignal(signal.SIGUSR1)
    try:
        deadline.listen()
        assert deadline.time_left() > 150
        os.kill(os.getpid(), signal.SIGUSR1)
        assert deadline.is_stopped() and 90 < deadline.time_left() <= 100
    finally:
        signal.signal(signal.SIGUSR1, before)
