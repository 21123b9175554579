import io
import subprocess
import sys

from hpcsbi.terminal import progress, tell_once, with_progress


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_a_log_has_lines():
    """No carriage return, few lines, the last one says how far it came."""
    log = io.StringIO()
    with progress(500, 100, "train", "step", log) as bar:
        for _ in range(400):
            bar.update()
            bar.set_postfix(held_out="3.1 nat", refresh=False)
    lines = log.getvalue().splitlines()

    assert "\r" not in log.getvalue()
    assert 2 <= len(lines) <= 4
    assert lines[0].startswith("train: 100 of 500 steps")
    assert lines[-1].startswith("train: 500 of 500 steps") and "3.1 nat" in lines[-1]


def test_a_terminal_has_a_bar():
    """There it is drawn again and again in one line."""
    screen = Screen()
    with progress(5, 0, "infer", "shard", screen) as bar:
        bar.update(5)

    assert "\r" in screen.getvalue()


def test_a_notice_is_told_once(capsys):
    """In a process that makes many products."""
    for _ in range(3):
        tell_once("a sentence of this test")

    assert capsys.readouterr().out == "a sentence of this test\n"


def test_inside_a_shard_a_line_tells_how_far_it_is(capsys):
    """A survey of one shard stood at 0 of 1 for minutes; a quick one says nothing."""
    assert list(with_progress(range(0, 64, 16), "certificate", 16, 64)) == [0, 16, 32, 48]
    assert capsys.readouterr().err == ""

    assert len(list(with_progress(range(0, 64, 16), "certificate", 16, 64, seldom=-1))) == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "certificate: 48 of 64 spectra" and len(lines) == 4


def test_a_killed_job_leaves_its_words():
    """What was printed before a kill is in the log, as with python -u."""
    job = "import os; from hpcsbi import terminal; terminal.outlive_reader(); print('step 5')"
    done = subprocess.run([sys.executable, "-c", f"{job}; os._exit(9)"], capture_output=True)

    assert (done.returncode, done.stdout) == (9, b"step 5\n")
