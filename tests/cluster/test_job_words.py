"""What SLURM says of jobs, in words that tell what to do."""

import pytest

from hpcsbi.cluster import job_words
from hpcsbi.cluster.slurm import JobState


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("DependencyNeverSatisfied", "retry"),
        ("Dependency", "another job"),
        ("PartitionTimeLimit", "site.time"),
        ("AssocGrpCpuLimit", "your group"),
        ("QOSMaxWallDurationPerJobLimit", "site.time"),
        ("InvalidAccount", "site.account"),
        ("Resources", "nothing to do"),
        ("ReqNodeNotAvail, UnavailableNodes:n1", "down"),
        ("SomethingNew", ""),
    ],
)
def test_a_mend_for_every_reason_to_wait(reason, word):
    """Reasons that never end say what to change, others that there is nothing to do."""
    assert word in job_words.mend(reason)
    assert bool(word) == bool(job_words.mend(reason))


@pytest.mark.parametrize(
    ("stage", "state", "words"),
    [
        ("train", JobState("TIMEOUT"), "the limit site.time was reached"),
        ("calibrate", JobState("FAILED", "", "1:0"), "the flow is not calibrated"),
        ("train", JobState("FAILED", "", "1:0"), "exit status 1:0"),
        ("infer", JobState("FAILED", "", "0:9"), "raise site.memory"),
        ("infer", JobState("FAILED", "", "75:0"), "site.requeues is used up"),
        ("infer", JobState("CANCELLED", "DependencyNeverSatisfied"), "what it waited for failed"),
        ("infer", JobState("CANCELLED"), ""),
        ("infer", JobState("FAILED", "", "0:0"), ""),
    ],
)
def test_why_a_job_ended(stage, state, words):
    """The state first, then the exit status, which means something else for each stage."""
    assert words in job_words.why_ended(stage, state)
    assert bool(words) == bool(job_words.why_ended(stage, state))


def test_states_of_tasks_are_counted():
    """One state is itself, several are counted, none is not known."""
    assert job_words.summary([]) == job_words.FORGOTTEN
    assert job_words.summary(["RUNNING"]) == "RUNNING"
    tasks = ["TIMEOUT", "COMPLETED", "TIMEOUT"]
    assert job_words.summary(tasks) == "1 COMPLETED, 2 TIMEOUT"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"one\ntwo\n\n", "two"),
        (b"bar 1%\rbar 2%\r\n", "bar 2%"),
        (b"\x1b[31mred", "?[31mred"),
        (b"x" * 9000 + b"\nend\n", "end"),
        (b"caf\xe9\n", "caf\N{REPLACEMENT CHARACTER}"),
        (b" \n", ""),
    ],
)
def test_the_last_words_of_a_log(tmp_path, text, line):
    """However long it is, and without what a terminal would obey."""
    (tmp_path / "log").write_bytes(text)

    assert job_words.last_line(tmp_path / "log") == line
    assert job_words.last_line(tmp_path / "absent") == ""


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("error: first\nbegan again\nerror: x:\n  a\r\n\n  b\n", ["error: x:", "  a", "  b"]),
        ("all is well\nan error: no\n", []),
        ("error: \x1b[31mred\n", ["error: ?[31mred"]),
        ("error: long\n" + 99 * "x\n", ["error: long", *["x"] * (job_words.LINES - 1)]),
    ],
)
def test_what_a_job_was_refused_for(tmp_path, text, lines):
    """The last error of a log with all of its lines, and nothing of what came before it."""
    (tmp_path / "log").write_text(text)

    assert job_words.error_lines(tmp_path / "log") == lines
    assert job_words.error_lines(tmp_path / "absent") == []


def job(**changes):
    """A job as `submissions.ask` tells of it."""
    plain = {
        "job": "7", "stage": "train", "kind": "job", "state": "RUNNING", "states": {"RUNNING": 1},
        "newest": True, "active": 1, "waits": [], "failures": [],
    }  # fmt: skip
    return plain | changes


def test_older_jobs_are_left_out_unless_they_are_queued():
    """A job of an older submission that still runs is told as such."""
    jobs = [job(), job(job="6", newest=False), job(job="5", newest=False, active=0)]

    assert [" ".join(line.split()) for line in job_words.lines(jobs)] == [
        "train job 7 RUNNING",
        "train job 6 RUNNING, older submission",
    ]


def test_failures_beyond_the_first_are_counted():
    """Of many tasks that failed for different reasons a few are told, with their last words."""
    failures = [
        {"job": f"7_{i}", "state": "FAILED", "why": f"exit status {i}:0", "log": f"log-{i}",
         "line": "ouch"}
        for i in range(1, 6)
    ]  # fmt: skip
    array = job(kind="array", active=0, state="5 FAILED", states={"FAILED": 5}, failures=failures)

    told = list(job_words.lines([array]))

    assert sum("ouch" in line for line in told) == job_words.SHOWN
    assert "7_1 FAILED (exit status 1:0) log-1:" in told[1]
    assert told[-1].endswith("and 2 more: status.json=true")
