"""What a cluster does to jobs, done to every stage on purpose; the bytes must not notice.

    slurm/lab.sh start && eval "$(slurm/lab.sh env)"
    python benchmarks/kill_matrix.py FOLDER [STAGE ...] [--harm HARM ...]
    python benchmarks/kill_matrix.py FOLDER simulate infer --contracts

For each stage and harm: run it on the virtual SLURM, harm it in the middle, run it again until it
is done, and compare every byte with an undisturbed run in one process. `none` compares the ways to
run, `often` kills one process twenty times. SLURM's warning before the time limit is sent by hand
(`scancel --signal=USR1`), for its limits are whole minutes; what follows, the requeue, is SLURM's
own. Disk full needs root, for a small tmpfs. With `--contracts` the other table: what is lost and
what is done twice when clocks step, marks come late, parts meet, a submission is broken off, SLURM
is silent or a colleague is at work.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import psutil
from contract_rows import CONTRACTS

from hpcsbi.pipeline import OF_A_RUN, STAGES
from hpcsbi.store.opening import open_store

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = {name: STAGES[name].product.split("/")[0] for name in OF_A_RUN if name != "report"}
# The chains are asked for without a catalogue.
INPUTS = {
    name: [PRODUCT[maker] for maker in STAGES[name].reads.values() if maker != "infer"]
    for name in PRODUCT
}
# What is above zero in a row that was not passed over.
WORK = {"infer": "n_draws", "fit": "n_steps"}
# Many small shards, so that there is a middle, and a flow for spectra that lack pixels.
SIZES = [
    "cluster=serial", "site=lab", "prior=survey", "noise=survey",
    "train.representation=optimum", "train.passes=2", "tabulate.shard=1",
    "simulate.n=30000", "simulate.shard=250",
    "augment.copies=20", "augment.validation=500", "augment.test=400", "augment.shard=4096",
    "train.steps=1500", "train.batch=128", "train.checkpoint=200", "flow.hidden=32",
    "flow.transforms=2", "calibrate.draws=1000", "calibrate.shard=10", "infer.draws=2000",
    "infer.shard=10", "ingest.shard=10", "fit.objects=20", "fit.catalogue=null", "fit.steps=100",
    "fit.proposals=2000", "site.requeues=3",
]  # fmt: skip
SPECTRA = 160
PATIENCE = 300
OFTEN = 20


def main() -> None:
    """Print one line for each case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("stages", nargs="*", default=list(INPUTS))
    parser.add_argument("--harm", nargs="*", default=list(HARMS))
    parser.add_argument("--contracts", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    sizes = [*SIZES, f"ingest.files=[{spectra(folder)}]"]
    reference(folder / "reference", sizes, needed(arguments.stages))
    if arguments.contracts:  # about shards, which a training has not
        sys.exit(contracts(folder, [s for s in arguments.stages if s != "train"], sizes))
    print(f"{'stage':10s} {'harm':12s} {'what happened':44s} {'bytes'}", flush=True)
    worst = 0
    for stage in arguments.stages:
        for harm in arguments.harm:
            case = Case(folder, stage, harm, sizes)
            told = HARMS[harm](case)
            same = case.same()
            worst |= not same
            print(f"{stage:10s} {harm:12s} {told:44s} {'equal' if same else 'DIFFER'}", flush=True)
    sys.exit(worst)


def spectra(folder: Path) -> Path:
    """A file of many spectra, made of the three that ship with the package."""
    import numpy as np
    from astropy.table import Table, vstack

    path = folder / "spectra.fits"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            three = Table.read(ROOT / "hpcsbi/data/sdss_nuclei.fits.gz")
        many = vstack([three] * (SPECTRA // 3 + 1))[:SPECTRA]
        many["ID"] = [f"galaxy {i:03d}" for i in range(len(many))]
        noise = np.random.default_rng(0).normal(size=np.shape(many["FLUX"]))
        many["FLUX"] = many["FLUX"] * (1 + 0.02 * noise)
        with warnings.catch_warnings():  # FITS does not know the units' powers of ten
            warnings.simplefilter("ignore")
            many.write(path)
    return path


def contracts(folder: Path, stages: list[str], sizes: list[str]) -> bool:
    """Print one line for each contract and stage; True if one is broken, or was not tried."""
    print(f"{'stage':10s} {'case':14s} {'what happened':60s} hit    lost twice bytes", flush=True)
    broken = False
    for stage in stages:
        for name, trial in CONTRACTS.items():
            case = Case(folder, stage, name.replace(" ", "-"), sizes)
            told, same = trial(case), case.same()
            broken |= bool(told.lost or told.twice) or not (told.hit and same)
            hit, bytes_ = "hit" if told.hit else "MISSED", "equal" if same else "DIFFER"
            counts = f"{hit:6s} {told.lost:4d} {told.twice:5d}"
            print(f"{stage:10s} {name:14s} {told.text:60s} {counts} {bytes_}", flush=True)
    return broken


def needed(stages: list[str]) -> list[str]:
    """Stages, and those that make their inputs, in order."""
    makers = {product: stage for stage, product in PRODUCT.items()}
    found = set(stages)
    while more := {makers[name] for stage in found for name in INPUTS[stage]} - found:
        found |= more
    return [stage for stage in INPUTS if stage in found]


def reference(run: Path, sizes: list[str], stages: list[str]) -> None:
    """The undisturbed run."""
    for stage in stages:
        if stage_done(run, stage):
            continue
        done = job(stage, run, sizes)
        if done.returncode not in (0, 1):
            sys.exit(f"{stage}: {done.stderr}")
        if stage in WORK and not worked(run, stage):
            sys.exit(
                f"{stage}: it had nothing to do, so its case would prove nothing: {done.stdout}"
            )
        (run / f"{stage}.ended").touch()


def worked(run: Path, stage: str) -> bool:
    """True if most rows of the reference were really made."""
    return (open_store(run / PRODUCT[stage]).read(WORK[stage]) > 0).mean() > 0.5


def stage_done(run: Path, stage: str) -> bool:
    """True if the reference of a stage is there."""
    return (run / f"{stage}.ended").exists()


def job(stage: str, run: Path, sizes: list[str]) -> subprocess.CompletedProcess:
    """One stage in one process."""
    return subprocess.run(
        command(stage, run, sizes), cwd=ROOT, capture_output=True, text=True, check=False
    )


def command(stage: str, run: Path, sizes: list[str]) -> list[str]:
    """Of one stage in one process."""
    return [sys.executable, f"jobs/{stage}.py", f"run={run}", *sizes]


class Case:
    """One stage in a folder of its own, with copies of what it needs."""

    def __init__(self, folder: Path, stage: str, harm: str, sizes: list[str]) -> None:
        self.stage, self.sizes, self.reference = stage, sizes, folder / "reference"
        self.run = folder / f"{stage}-{harm}"
        self.empty()

    def empty(self) -> None:
        """A folder with the inputs alone."""
        shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir()
        self.fill()

    def fill(self) -> None:
        """Copy the inputs."""
        for name in INPUTS[self.stage]:
            shutil.copytree(self.reference / name, self.run / name)

    def submit(self, way: str) -> str:
        """Submit the stage; returns its job."""
        others = [option for option in self.sizes if not option.startswith("cluster=")]
        done = subprocess.run(
            ["slurm/pipeline.sh", "kill", f"--stages={self.stage}", f"run={self.run}", *others,
             f"cluster={way}"],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "HPCSBI_PYTHON": sys.executable},
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{self.stage}: {done.stderr}")
        lines = (self.run / "slurm" / "jobs.jsonl").read_text().splitlines()
        two = way == "array" and self.stage != "train"  # the tasks, and the job that finishes
        return json.loads(lines[-2 if two else -1])["job"]

    def in_the_middle(self, number: str) -> bool:
        """Wait until some of the work is done and some is not; False if it was too fast."""
        while alive(number):
            if self.progress() > 0:
                time.sleep(random.uniform(0.0, 0.5))
                return alive(number)
            time.sleep(0.05)
        return False

    def progress(self) -> int:
        """Shards that are done, or checkpoints."""
        if self.stage == "train":
            return len(list(self.run.glob("flows/*/checkpoint.safetensors")))
        return len(list((self.run / PRODUCT[self.stage] / ".marks").glob("*.done")))

    def progress_mark(self) -> object:
        """Another one whenever work was kept."""
        if self.stage == "train":
            paths = self.run.glob("flows/*/*.safetensors")
            return {path: path.stat().st_mtime_ns for path in paths}
        return self.progress()

    def end(self, number: str) -> str:
        """Wait for a job, hurrying its requeues; its states."""
        end = time.monotonic() + PATIENCE
        while alive(number) and time.monotonic() < end:
            if "BeginTime" in squeue(number, "%r"):  # SLURM lets a requeued job wait two minutes
                time.sleep(3)  # sooner it takes the new start for the revoked old one
                call("scontrol", "update", f"JobId={number}", "StartTime=now")
            time.sleep(0.5)
        return ",".join(sorted(set(squeue(number, "%T").split())))

    def finish(self) -> str:
        """The next run of a user: in one process, to the end."""
        done = job(self.stage, self.run, self.sizes)
        return "" if done.returncode in (0, 1) else f" THEN {done.stderr.splitlines()[-1]}"

    def same(self) -> bool:
        """True if the product has the bytes of the reference."""
        return products(self.run, self.stage) == products(self.reference, self.stage)


def products(run: Path, stage: str) -> dict[str, bytes]:
    """Every file of a stage's product."""
    stem = PRODUCT[stage]
    roots = [run / stem, (run / stem).with_suffix(".parquet"), (run / stem).with_suffix(".json")]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    return {str(path.relative_to(run)): path.read_bytes() for path in files if path.is_file()}


def call(*command: str) -> str:
    """Output of a SLURM command."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def squeue(number: str, what: str) -> str:
    """A column of squeue for a job, whatever its state."""
    return call("squeue", "-h", "-r", "-t", "all", "-j", number, "-o", what)


def alive(number: str) -> bool:
    """True while any task of the job waits or runs."""
    states = squeue(number, "%T").split()
    return any(state in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING") for state in states)


def none(case: Case) -> str:
    """All ways to run, undisturbed, each compared."""
    told = []
    for way in ("allocation", "slurm", "array") if case.stage != "train" else ("allocation",):
        case.empty()
        case.end(case.submit(way))
        told.append(f"{way} {'equal' if finished_equal(case) else 'DIFFERS'}")
    return ", ".join(told)


def finished_equal(case: Case) -> bool:
    """Equal, once the job that finishes an array is done too."""
    lines = (case.run / "slurm" / "jobs.jsonl").read_text().splitlines()
    case.end(json.loads(lines[-1])["job"])
    return case.same()


def worker(case: Case) -> str:
    """SIGKILL of a process at work: a Dask worker, or the training."""
    number = case.submit("allocation")
    hit = case.in_the_middle(number)
    victims = [process for process in psutil.process_iter(["cmdline"]) if is_victim(process, case)]
    if hit and victims:
        random.choice(victims).kill()
    state = case.end(number)
    return f"{told(hit and victims)} job {state}" + case.finish()


def is_victim(process: psutil.Process, case: Case) -> bool:
    """A worker process of this case (a child of its nanny), or its training."""
    line = " ".join(process.info["cmdline"] or [])
    if case.stage == "train":
        return "jobs/train.py" in line and str(case.run) in line
    try:
        parent = " ".join(process.parent().cmdline()) if process.parent() else ""
    except psutil.NoSuchProcess:
        return False
    return "spawn_main" in line and str(case.run) in parent


def often(case: Case) -> str:
    """SIGKILL of the stage in one process at random moments, OFTEN times, most while it starts."""
    kills, further, first, ends = 0, 0, 0.0, []
    while kills < OFTEN:
        before, began = case.progress_mark(), time.monotonic()
        with subprocess.Popen(
            command(case.stage, case.run, case.sizes),
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            if first:
                end = began + random.uniform(0, 1.5 * first)
                while time.monotonic() < end and process.poll() is None:
                    time.sleep(0.02)
            else:
                while case.progress_mark() == before and process.poll() is None:
                    time.sleep(0.02)
                first = time.monotonic() - began
            if process.poll() is not None:  # done before it was killed: once more from nothing
                ends.append(case.same())
                case.empty()
                continue
            process.kill()
        kills += 1
        further += case.progress_mark() != before
    done = f"{sum(ends)} of {len(ends)} ends equal, then" if ends else ""
    return f"killed {kills} times, {further} with work kept, {done}" + case.finish()


def cancelled(case: Case) -> str:
    """scancel of one task of an array, or of the training."""
    number = case.submit("array")
    hit = case.in_the_middle(number)
    call("scancel", number if case.stage == "train" else f"{number}_1")
    state = case.end(number)
    call("scancel", "--name=kill-" + case.stage)  # the job that waits for the array
    return f"{told(hit)} job {state}" + case.finish()


def node_down(case: Case) -> str:
    """A node set down; not the one of the batch script, but for the training."""
    number = case.submit("allocation")
    hit = case.in_the_middle(number)
    nodes = call("scontrol", "show", "hostnames", squeue(number, "%N").strip()).split()
    node = nodes[-1] if nodes else "n1"
    call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=kill_matrix")
    time.sleep(1)
    call("scontrol", "update", f"NodeName={node}", "State=RESUME")
    state = case.end(number)
    return f"{told(hit)} {node} of {len(nodes)}, job {state}" + case.finish()


def time_limit(case: Case) -> str:
    """What SLURM sends before the limit; the job is queued again and goes on."""
    number = case.submit("allocation")
    hit = case.in_the_middle(number)
    if hit:
        call("scancel", "--signal=USR1", "--batch", number)
    state = case.end(number)
    restarts = call("scontrol", "show", "job", number).partition("Restarts=")[2].split()[:1]
    return f"{told(hit)} restarts {''.join(restarts)}, job {state}" + case.finish()


def disk_full(case: Case) -> str:
    """A tmpfs that is too small, and is enlarged for the next run."""
    shutil.rmtree(case.run)
    case.run.mkdir()
    if os.geteuid():
        return "needs root" + case.finish()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(case.run)], check=True)
    try:
        case.fill()
        filled = int(call("du", "-sk", str(case.run)).split()[0])
        size = int(call("du", "-sk", str(case.reference / PRODUCT[case.stage])).split()[0])
        subprocess.run(
            ["mount", "-o", f"remount,size={filled + max(size * 2 // 3, 64)}k", str(case.run)],
            check=True,
        )
        first = job(case.stage, case.run, case.sizes)
        said = "said so" if "No space left" in first.stderr else f"SAID {first.stderr[-60:]!r}"
        subprocess.run(["mount", "-o", "remount,size=4g", str(case.run)], check=True)
        rest = case.finish()
        kept = case.run.with_name(f"{case.run.name}.kept")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(case.run, kept)
    finally:
        subprocess.run(["umount", str(case.run)], check=True)
    shutil.rmtree(case.run)
    kept.rename(case.run)
    return f"status {first.returncode}, {said}{rest}"


def truncated(case: Case) -> str:
    """A file cut in half after the stage was done."""
    return damaged(case, lambda content: content[: len(content) // 2])


def flipped(case: Case) -> str:
    """A bit of a file that is not what it was."""
    return damaged(
        case,
        lambda content: (
            content[: len(content) // 2]
            + bytes([content[len(content) // 2] ^ 16])
            + content[len(content) // 2 + 1 :]
        ),
    )


def damaged(case: Case, harm: Callable[[bytes], bytes]) -> str:
    """Damage a file of data, and see whether the next run names it."""
    first = case.finish()
    product = case.run / PRODUCT[case.stage]
    if case.stage == "train":
        path = random.choice(list(product.glob("*/flow.safetensors")))
    else:
        sharded = json.loads((product / "zarr.json").read_bytes())["attributes"]["sharded"]
        path = random.choice([file for name in sharded for file in product.glob(f"{name}/c.*")])
    path.write_bytes(harm(path.read_bytes()))
    done = job(case.stage, case.run, case.sizes)
    named = "named" if "damaged" in done.stdout else "NOT NAMED"
    return f"{named} {path.relative_to(case.run)}{first}"


def told(hit: object) -> str:
    """Whether the harm came in the middle."""
    return "hit," if hit else "too fast,"


HARMS: dict[str, Callable[[Case], str]] = {
    "none": none,
    "worker": worker,
    "often": often,
    "cancelled": cancelled,
    "node down": node_down,
    "time limit": time_limit,
    "disk full": disk_full,
    "truncated": truncated,
    "flipped": flipped,
}

if __name__ == "__main__":
    main()
