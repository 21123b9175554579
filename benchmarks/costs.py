"""What each test costs: CPU seconds with all that it starts, and seconds on the clock.

    PYTHONPATH=benchmarks python -m pytest -p costs --costs=costs.jsonl
    python benchmarks/costs.py costs.jsonl

The second lists the dearest tests and files, and those that are not marked slow although they
take more than LIMIT CPU seconds: what a fast part must leave out. Seconds on the clock belong to
the machine of the day; programs that outlive a test (a SLURM's daemons) are not counted.
"""

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

LIMIT = 4.0  # CPU seconds of a test, its set-up included, that is still fast
DEAREST = 40


def pytest_addoption(parser):
    parser.addoption("--costs", default="costs.jsonl", help="file that gets a line a phase")


def _cpu():
    """User and system seconds of the process and of its children that have ended."""
    return sum(os.times()[:4])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    yield from _noted(item, "setup")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    yield from _noted(item, "call")


def _noted(item, phase):
    began, cpu = time.monotonic(), _cpu()
    yield
    note = {
        "test": item.nodeid,
        "phase": phase,
        "slow": item.get_closest_marker("slow") is not None,
        "cpu": _cpu() - cpu,
        "seconds": time.monotonic() - began,
    }
    with Path(item.config.getoption("costs")).open("a") as file:  # short lines: written at once
        file.write(json.dumps(note) + "\n")


def main(path):
    """Print the tables."""
    notes = [json.loads(line) for line in Path(path).read_text().splitlines()]
    tests, files, clock = Counter(), Counter(), Counter()
    for note in notes:
        tests[note["test"]] += note["cpu"]
        clock[note["test"]] += note["seconds"]
        files[note["test"].split("::")[0]] += note["cpu"]
    slow = {note["test"] for note in notes if note["slow"]}
    fast = sum(cpu for test, cpu in tests.items() if test not in slow)
    print(f"{len(tests)} tests: {tests.total():.0f} CPU s, those not marked slow {fast:.0f} CPU s")
    for title, counts in (("file", files), ("test", tests)):
        print(f"| CPU s | {title} |")
        for name, cpu in counts.most_common(DEAREST):
            print(f"| {cpu:.1f} | {name}{' (slow)' if name in slow else ''} |")
    print(f"Not marked slow, but more than {LIMIT} CPU s or {3 * LIMIT} s on the clock:")
    for test, cpu in tests.most_common():
        if test not in slow and (cpu > LIMIT or clock[test] > 3 * LIMIT):
            print(f"{cpu:.1f} {clock[test]:.1f} {test}")


if __name__ == "__main__":
    main(sys.argv[1])
