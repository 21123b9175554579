"""The figure of each benchmark in one table: runs them one by one, and prints what each found.

    OMP_NUM_THREADS=1 SPS_HOME=... python benchmarks/figures.py --run runs/demo [--only NAME ...]

With the folder of a run that is calibrated, for the benchmarks that judge its flow; without it, or
without SPS_HOME, those that need the one or the other are left out, and named. Each runs with its
defaults but for its sizes, which are such that all of them take half an hour of one core; the full
tables are what each prints by itself. Those of a SLURM (cluster_overhead, kill_matrix), of growth
and of speeds are tables of their own.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

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
    """

    what: str
    command: str
    pattern: str
    tree: bool = False

    @property
    def name(self) -> str:
        """That of the script."""
        return self.command.split()[0].removesuffix(".py")


FIGURES = (
    Figure("table over Prospector, spectra", "table_speed.py", r"ratio:\s+(\d+)", tree=True),
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
    ),
    Figure(
        "draws, the library's time over ours: 5 and 7 parameters",
        "sampler_speed.py",
        r"parameters: .*ratio ([\d.]+)",
    ),
    Figure(
        "rest frame, sparse matrices over the sums",
        "regrid_speed.py",
        r"a sparse matrix each.* ([\d.]+) times the sums",
    ),
    Figure(
        "plain loops over those for LLVM: inner, product, hidden",
        "sums_speed.py",
        r"ratio ([\d.]+)",
    ),
    Figure(
        "Pareto smoothing of 1000 normal weights: library, ours, ours in 256, ms",
        "psis.py",
        r"\| 1000 \| normal \| ([\d.]+) \| ([\d.]+) \| ([\d.]+)",
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
    """Run them, and print the table; 1 if one of them failed or printed no figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, help="folder of a run with a trained flow")
    parser.add_argument("--only", nargs="*", help="names of benchmarks")
    options = parser.parse_args()
    places = {}
    if options.run:
        flow = next(path for path in sorted(options.run.glob("flows/*")) if path.is_dir())
        places = {"flow": str(flow), "pairs": str(options.run / "training.zarr")}
    outputs: dict[str, str] = {}
    failed = False
    print("| what | figure | command |\n|---|---|---|", flush=True)
    for figure in FIGURES:
        if options.only and figure.name not in options.only:
            continue
        lacks = figure.tree and "SPS_HOME" not in os.environ
        if lacks or ("{" in figure.command and not places):
            print(f"| {figure.what} | left out | `{figure.command}` |", flush=True)
            continue
        command = figure.command.format(**places)
        if command not in outputs:
            outputs[command] = _output(command)
        text = _told(figure.pattern, outputs[command])
        failed |= not text
        print(f"| {figure.what} | {text or 'FAILED'} | `python benchmarks/{command}` |", flush=True)
    return int(failed)


def _output(command: str) -> str:
    """What a benchmark prints; its errors go where ours go."""
    script, *arguments = command.split()
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(f"{command}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return done.stdout if done.returncode == 0 else ""


def _told(pattern: str, text: str) -> str:
    """All that the groups of a pattern match, line by line."""
    lines = (
        ", ".join(group for group in match.groups() if group)
        for match in re.finditer(pattern, text, flags=re.MULTILINE)
    )
    return "; ".join(line.replace("|", "/") for line in lines)


if __name__ == "__main__":
    sys.exit(main())
