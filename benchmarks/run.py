"""The benchmarks in one table of Markdown, with machine and date: runs them, prints each figure.

    OMP_NUM_THREADS=1 python benchmarks/run.py [--out table.md] [--only NAME ...]
    OMP_NUM_THREADS=1 SPS_HOME=... python benchmarks/run.py --all --run runs/demo

The first runs those that print a ratio of two speeds on the same machine, which carries over to
others, each within --budget seconds: minutes on one core. The second runs all, with the folder of a
run that is calibrated for those that judge its flow: half an hour. What needs a run or SPS_HOME and
has none is left out, and named. The sizes are such; the full tables are what each prints by itself.
Those of a SLURM (cluster_overhead, kill_matrix), of growth and of speeds are tables of their own.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from llvmlite.binding import get_host_cpu_name

from hpcsbi import __version__
from hpcsbi.cluster.executors import cores

HERE = Path(__file__).parent
NUMBER = r"[-+]?[\d.]+(?:e[-+]?\d+)?"


@dataclass(frozen=True)
class Figure:
    """What is taken of a benchmark.

    Arguments:
        what: in words.
        command: script and arguments; {flow} and {pairs} are those of the run.
        pattern: of the lines that hold it; what its groups match is told, of every line that fits.
        tree: it needs SPS_HOME.
        ratio: of speeds on one machine.
    """

    what: str
    command: str
    pattern: str
    tree: bool = False
    ratio: bool = False

    @property
    def name(self) -> str:
        """That of the script."""
        return self.command.split()[0].removesuffix(".py")


FIGURES = (
    Figure("table over Prospector, spectra", "table_speed.py", r"ratio:\s+(\d+)", True, True),
    Figure(
        "error of ln flux of the table, median and 99 %",
        "table_speed.py",
        rf"d ln flux\|: median ({NUMBER}), 99 % ({NUMBER})",
        tree=True,
    ),
    Figure(
        "error of ln L of the table, median and 99 %",
        "likelihood_speed.py",
        rf"d ln L\|: median ({NUMBER}), 99 % ({NUMBER})",
        tree=True,
    ),
    Figure(
        "a likelihood of rank 30 over one of rank 3: templates that reach all pixels, smooth error",
        "ranks.py",
        r"^rank  30: any +([\d.]+), smooth +([\d.]+)",
        ratio=True,
    ),
    Figure(
        "draws, the library's time over ours: 5 and 7 parameters",
        "sampler_speed.py",
        r"parameters: .*ratio ([\d.]+)",
        ratio=True,
    ),
    Figure(
        "rest frame, sparse matrices over the sums",
        "regrid_speed.py",
        r"a sparse matrix each.* ([\d.]+) times the sums",
        ratio=True,
    ),
    Figure(
        "plain loops over those for LLVM: inner, product, hidden, add, subtract, transpose",
        "sums_speed.py",
        r"ratio ([\d.]+)",
        ratio=True,
    ),
    Figure(
        "a step of training over a compiled one: the paper's network, the survey's",
        "compiled_steps.py",
        r"ratio ([\d.]+)",
        ratio=True,
    ),
    Figure(
        "a row of a catalogue: CPU ms, strong rows a second",
        "galaxy_cost.py {flow} {pairs} --spectra 200",
        rf"({NUMBER}) CPU ms each, ({NUMBER}) strong a second",
    ),
    Figure(
        "Pareto smoothing of 1000 normal weights: library, ours, ours in 256, ms",
        "psis.py",
        r"\| 1000 \| normal \| ([\d.]+) \| ([\d.]+) \| ([\d.]+)",
        ratio=True,
    ),
    Figure(
        "joint errors seen by the verdict: kind, spectra, shares",
        "verdict_power.py --sets 20 --null 50",
        r"^\| (.*) \|$",
    ),
    Figure(
        "flow against the exact posterior: ESS of draws (1, 5, 10, 50 %)",
        "effective_sample_size.py {flow} {pairs} --spectra 100",
        rf"ESS/N: 1 % ({NUMBER}), 5 % ({NUMBER}), 10 % ({NUMBER}), median ({NUMBER})",
    ),
    Figure(
        "flow short of the exact posterior, nat",
        "effective_sample_size.py {flow} {pairs} --spectra 100",
        rf"gap ({NUMBER} \+- {NUMBER})",
    ),
    Figure(
        "certificate before -> after the rescue: n, ESS, k < 0.7, strong, ms, nat",
        "certificate.py {flow} --spectra 200 --corner 50",
        r"^\| prior \| (.*) \|$",
    ),
    Figure(
        "wrong flows and spectra after the rescue: ESS, k, weak, p",
        "negative_controls.py {flow} --spectra 60",
        r"^\| (.*) \|$",
    ),
    Figure(
        "emcee without the flow, CPU s",
        "fit_convergence.py {flow} {pairs} --galaxies 5 --start prior",
        r"(\d+ of \d+ converged)|CPU s +median +([\d.]+) +largest +([\d.]+)",
    ),
)


def main() -> int:
    """Run them, and write the table; 1 if one of them failed, took too long or told no figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="not those with a ratio alone")
    parser.add_argument("--run", type=Path, help="folder of a run with a trained flow")
    parser.add_argument("--only", nargs="*", help="names of benchmarks")
    parser.add_argument("--budget", type=float, default=120, help="seconds of each; all: no limit")
    parser.add_argument("--out", type=Path, help="file for the table")
    options = parser.parse_args()
    places = {}
    if options.run:
        flow = next(path for path in sorted(options.run.glob("flows/*")) if path.is_dir())
        places = {"flow": str(flow), "pairs": str(options.run / "training.zarr")}
    outputs: dict[str, str] = {}
    failed, lines = False, []

    def tell(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    tell(f"{machine()}\n\n| what | figure | command |\n|---|---|---|")
    for figure in chosen(FIGURES, options.all, options.only):
        lacks = figure.tree and "SPS_HOME" not in os.environ
        if lacks or ("{" in figure.command and not places):
            tell(f"| {figure.what} | left out | `{figure.command}` |")
            continue
        command = figure.command.format(**places)
        if command not in outputs:
            outputs[command] = output(command, None if options.all else options.budget)
        text = told(figure.pattern, outputs[command])
        failed |= not text
        tell(f"| {figure.what} | {text or 'FAILED'} | `python benchmarks/{command}` |")
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")
    return int(failed)


def chosen(figures, every, names):
    """Those of some names; without names all, or those of ratios."""
    if names:
        return [figure for figure in figures if figure.name in names]
    return [figure for figure in figures if every or figure.ratio]


def machine():
    """Processor, versions, date and load, in a line: without them no number means anything."""
    load = os.getloadavg()[0]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "torch"))
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True
    )
    commit = f" ({done.stdout.strip()})" if done.returncode == 0 else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, hpcsbi {__version__}{commit}, "
        f"{platform.machine()} {get_host_cpu_name()}, {cores()} cores, load {load:.1f}; "
        f"Python {platform.python_version()}, {libraries}"
    )


def output(command, budget):
    """What a benchmark prints, "" where it fails or takes longer; its errors go where ours go."""
    script, *arguments = command.split()
    start = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / script), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=budget,
        )
    except subprocess.TimeoutExpired:
        print(f"{command}: ended after {budget:.0f} s (--budget)", file=sys.stderr, flush=True)
        return ""
    print(f"{command}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return done.stdout if done.returncode == 0 else ""


def told(pattern, text):
    """All that the groups of a pattern match, line by line."""
    lines = (
        ", ".join(group for group in match.groups() if group)
        for match in re.finditer(pattern, text, flags=re.MULTILINE)
    )
    return "; ".join(line.replace("|", "/") for line in lines)


if __name__ == "__main__":
    sys.exit(main())
