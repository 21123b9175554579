"""Children that share one warmed-up process, and may die without harm.

FSPS keeps its state in the memory of the process, takes 16 s and 750 MB to wake up, and ends its
process, with exit status 0, where other codes raise an error. So it wakes up once, in a process
that does nothing else, and every worker is a fork of that one: 21 MB, at once. A process that
hears nothing more from its parent ends itself.

multiprocessing's forkserver is as fast (benchmarks/fork_server_speed.py) and a quarter shorter, but
warms up by an import, once in a process's life, and daemons, as Dask's workers are, may not use it.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from hpcsbi.errors import Unfinished

__all__ = ["DIED", "OK", "REFUSED", "Nursery", "NurseryError"]

OK, DIED, REFUSED = 0, 1, 2
# What a call may raise for the sake of its arguments. Anything else is a fault of the program and
# ends the child, with its traceback in `Nursery.tail`.
REFUSALS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)
TRIES = 2
PATIENCE = 600  # seconds for one answer


class NurseryError(Unfinished):
    """The process that all children come from is not there; says what it printed last."""


class Nursery:
    """A process that runs `setup` once and is forked for every worker.

    Arguments:
        setup: picklable function that warms the process up.
        arguments: its arguments.

    Raises:
        NurseryError: the process ended during `setup`.
    """

    def __init__(self, setup: Callable[..., Any], arguments: Sequence[Any]) -> None:
        self._socket, theirs = socket.socketpair()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        package = Path(__file__).parents[3]
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from hpcsbi.simulator.direct.fork_server import serve; serve({theirs.fileno()})",
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the parent, whose end the children notice
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
        )
        theirs.close()
        lane = self._lane()
        try:
            lane.send((setup, arguments))
            status, reply = lane.recv()
        except (EOFError, OSError):
            raise NurseryError(f"the process ended while starting:\n{self.tail()}") from None
        if status != OK:
            raise NurseryError(f"{reply}\n{self.tail()}")

    @property
    def alive(self) -> bool:
        """True while new workers can be made."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process; workers end with their own parent's connection."""
        self._socket.close()
        self._process.wait()

    def tail(self, characters: int = 800) -> str:
        """The last that the process and its children printed."""
        size = os.fstat(self._log.fileno()).st_size
        start = max(0, size - characters)
        return os.pread(self._log.fileno(), characters, start).decode(errors="replace").strip()

    def ask(
        self, function: Callable[..., Any], arguments: Sequence[Sequence[Any]], processes: int = 1
    ) -> list[tuple[int, Any]]:
        """Call `function(*arguments[i])` for every i in `processes` children.

        A child that dies is replaced and its call tried once more.

        Returns:
            For each i: (OK, result), (REFUSED, the text of one of REFUSALS) or (DIED, "").

        Raises:
            NurseryError: no new child can be made.
        """
        answers: list[tuple[int, Any]] = [(DIED, "")] * len(arguments)
        queue = iter(range(len(arguments)))  # shared: next() of a range is atomic

        def work(_: int) -> None:
            lane = None
            for i in queue:
                for _ in range(TRIES):
                    lane = lane or self._lane()
                    answers[i] = _exchange(lane, function, arguments[i])
                    if answers[i][0] != DIED:
                        break
                    lane.close()
                    lane = None
            if lane:
                lane.close()

        lanes = max(1, min(processes, len(arguments)))
        with ThreadPoolExecutor(lanes) as pool:
            list(pool.map(work, range(lanes)))
        return answers

    def _lane(self) -> Connection:
        """A connection to a new child (the first one: to the process itself)."""
        mine, theirs = Pipe()
        try:
            socket.send_fds(self._socket, [b"."], [theirs.fileno()])
        except OSError:
            raise NurseryError(f"the process was ended:\n{self.tail()}") from None
        finally:
            theirs.close()
        return mine


def serve(descriptor: int) -> None:
    """Body of the process: warm up, then fork a child for every connection that is handed in."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    with socket.socket(fileno=descriptor) as parent:
        lane = _accept(parent)
        if lane is not None:
            _answer(lane)
        while (lane := _accept(parent)) is not None:
            if os.fork() == 0:
                parent.close()
                while _answer(lane):
                    pass
                os._exit(0)
            lane.close()


def _accept(parent: socket.socket) -> Connection | None:
    """The next connection, None when the parent is gone."""
    descriptors = socket.recv_fds(parent, 1, 1)[1]
    return Connection(descriptors[0]) if descriptors else None


def _answer(lane: Connection) -> bool:
    """Answer one call; False when there are no more."""
    try:
        function, arguments = lane.recv()
    except (EOFError, OSError):
        return False
    try:
        reply = (OK, function(*arguments))
    except REFUSALS as error:
        reply = (REFUSED, repr(error))
    lane.send(reply)
    return True


def _exchange(
    lane: Connection, function: Callable[..., Any], arguments: Sequence[Any]
) -> tuple[int, Any]:
    """One call and its answer; a child that has gone or hangs counts as dead."""
    try:
        lane.send((function, arguments))
        return lane.recv() if lane.poll(PATIENCE) else (DIED, "")
    except (EOFError, OSError):
        return DIED, ""
