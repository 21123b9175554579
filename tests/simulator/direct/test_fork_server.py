import multiprocessing
import os
import time

import pytest

from hpcsbi.simulator.direct.fork_server import DIED, OK, REFUSED, Nursery, NurseryError


@pytest.fixture
def nursery():
    nursery = Nursery(exec, ("import builtins; builtins.warmth = 37", {}))
    yield nursery
    nursery.close()


def test_children_inherit_the_setup_and_answers_keep_their_order(nursery):
    """What the setup made is there in every child, and answer i belongs to call i."""
    calls = [(f"warmth + {i}",) for i in range(50)]

    answers = nursery.ask(eval, calls, processes=3)

    assert answers == [(OK, 37 + i) for i in range(50)]


def test_a_child_that_ends_itself_with_status_0_is_noticed(nursery):
    """A silent exit is told from an answer, and the calls around it are answered."""
    code = "__import__('os')._exit(0) if {} == 2 else {}"

    answers = nursery.ask(eval, [(code.format(i, i),) for i in range(5)])

    assert [status for status, _ in answers] == [OK, OK, DIED, OK, OK]
    assert nursery.alive


def test_a_call_is_tried_once_more_when_its_child_dies(nursery, tmp_path):
    """A child that dies by accident costs nothing but time."""
    flag = tmp_path / "seen"
    code = f"p = __import__('pathlib').Path({str(flag)!r})\n"
    code += "if not p.exists():\n p.touch(); __import__('os')._exit(1)"

    assert nursery.ask(exec, [(code, {})]) == [(OK, None)]
    assert flag.exists()


def test_an_error_is_handed_back_as_text(nursery):
    """A Python error in a child is an answer, and the child goes on."""
    answers = nursery.ask(int, [("x",), ("3",)])

    assert answers[0][0] == REFUSED and "invalid literal" in answers[0][1]
    assert answers[1] == (OK, 3)


def test_a_fault_of_the_program_ends_the_child_and_is_told(nursery):
    """An error that no argument explains is no answer: its traceback is kept, the others go on."""
    answers = nursery.ask(eval, [("1 + 1",), ("no_such_name",), ("2 + 2",)])

    assert answers == [(OK, 2), (DIED, ""), (OK, 4)]
    assert "NameError: name 'no_such_name'" in nursery.tail()


def test_a_setup_that_ends_its_process_is_an_error_with_its_last_words():
    """What the process printed before it vanished reaches the user."""
    code = "print('no such tree', flush=True); __import__('os')._exit(0)"

    with pytest.raises(NurseryError, match="no such tree"):
        Nursery(exec, (code, {}))


def test_a_killed_process_is_an_error_not_a_hang():
    """After the common ancestor is killed no call waits for ever."""
    nursery = Nursery(int, (1,))
    os.kill(nursery._process.pid, 9)
    nursery._process.wait()

    with pytest.raises(NurseryError, match="ended"):
        nursery.ask(int, [("3",)])
    assert not nursery.alive


def ask_from_here(answer):
    nursery = Nursery(int, (1,))
    answer.put(nursery.ask(int, [("3",)]))
    nursery.close()


def test_a_daemon_may_have_one():
    """Dask's workers are daemons, which may not start processes by multiprocessing."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    daemon = context.Process(target=ask_from_here, args=(answer,), daemon=True)
    daemon.start()

    assert answer.get(timeout=60) == [(OK, 3)]
    daemon.join()


def test_nothing_outlives_its_parent():
    """Process and children end when the parent's end of the line is closed."""
    nursery = Nursery(int, (1,))
    [(_, child)] = nursery.ask(os.getpid, [()])
    nursery.close()
    deadline = time.time() + 10
    while os.path.exists(f"/proc/{child}") and time.time() < deadline:
        time.sleep(0.05)

    assert not os.path.exists(f"/proc/{child}")
