"""The Python that runs: its version, its libraries, torch and the GPU, and what may be written."""

import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from hpcsbi.caches import keeps_kernels
from hpcsbi.health.check import OK, WARNING, WRONG, Check

__all__ = ["home", "installation", "libraries", "python", "torch_and_gpu"]

OLDEST = (3, 11)
FEW = 4  # libraries of another version that are named
MAKE_ANEW = (
    "pip install -c constraints.txt -e . in the repository (torch first, see README.md, Try it)"
)
DRIVERS = ("/dev/nvidia0", "/dev/kfd")  # of a GPU that torch could use: NVIDIA's, AMD's


def python(current: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Whether the interpreter is new enough."""
    words = f"{'.'.join(map(str, current))}, {sys.executable}, {platform.platform(terse=True)}"
    if current >= OLDEST:
        return Check("python", OK, words)
    wanted = ".".join(map(str, OLDEST))
    return Check("python", WRONG, words, f"make the environment with Python {wanted} or later")


def libraries(constraints: Path | None) -> Check:
    """Compare the installed libraries with what is required, and with what was tested.

    Arguments:
        constraints: lines "name==version" of the tested ones; None compares with none.
    """
    lacking, unfit, others, tested = [], [], [], _tested(constraints)
    for requirement in _required():
        try:
            number = version(requirement.name)
        except PackageNotFoundError:
            lacking.append(requirement.name)
            continue
        if not requirement.specifier.contains(number, prereleases=True):
            unfit.append(f"{requirement.name} {number} is not {requirement.specifier}")
        elif (known := tested.get(_plain(requirement.name))) and number.split("+")[0] != known:
            others.append(f"{requirement.name} {number} (tested: {known})")
    if lacking or unfit:
        missing = [f"{', '.join(lacking)} not installed"] if lacking else []
        return Check("libraries", WRONG, "; ".join([*missing, *unfit]), MAKE_ANEW)
    if others:
        more = f" and {len(others) - FEW} more" if len(others) > FEW else ""
        words = f"not the versions that were tested: {', '.join(others[:FEW])}{more}"
        return Check("libraries", WARNING, words, f"{MAKE_ANEW}; else last bits may differ")
    words = "all that are required" + (", of the tested versions" if tested else "")
    return Check("libraries", OK, words)


def torch_and_gpu(devices: Mapping[str, str], elsewhere: bool = False) -> Check:
    """How torch was built and whether it sees a GPU; it is imported for that.

    Arguments:
        devices: of the stages that may have one: "cpu", "cuda" or "auto".
        elsewhere: they run on another machine, as jobs.
    """
    try:
        import torch
    except (ImportError, OSError) as error:
        words = f"cannot be imported: {str(error).splitlines()[0]}"
        return Check("torch, GPU", WRONG, words, MAKE_ANEW)
    built = torch.version.cuda or torch.version.hip
    build = f"torch {torch.__version__}, built {f'for CUDA {built}' if built else 'for no GPU'}"
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        name = torch.cuda.get_device_name(0)
        alone = [stage for stage, device in devices.items() if device == "cpu"]
        used = "".join(f"; {stage}.device=cpu leaves it alone" for stage in alone)
        return Check("torch, GPU", OK, f"{build}; {name}, {memory:.0f} GiB{used}")
    told = ", ".join(f"{stage}.device={device}" for stage, device in devices.items())
    words = f"{build}; no GPU is seen, {told}"
    there = [driver for driver in DRIVERS if os.path.exists(driver)]
    asked = [f"{stage}.device=auto" for stage, device in devices.items() if device == "cuda"]
    if asked and not elsewhere:
        return Check("torch, GPU", WRONG, words, f"{', '.join(asked)}, or run where there is one")
    if there:
        why = "its driver" if built else "a torch that is built for it (pytorch.org, Get started)"
        return Check("torch, GPU", WARNING, f"{words}, though {there[0]} is there", f"check {why}")
    return Check("torch, GPU", OK, words)


def installation(package: Path) -> Check:
    """Whether compiled kernels are kept beside the package, or in each run.

    Arguments:
        package: folder of hpcsbi.
    """
    if keeps_kernels():
        return Check("installation", OK, f"{package}; compiled kernels are kept in it")
    words = f"{package} is not for you to write: each run compiles its kernels, into its folder"
    return Check("installation", OK, words)


def home() -> Check:
    """Whether there is a home directory, of which nothing here makes use."""
    folder = os.environ.get("HOME")
    if not folder:
        words = "HOME is not set"
    elif not os.path.isdir(folder):
        words = f"HOME={folder} is not there"
    else:
        writes = "" if os.access(folder, os.W_OK) else ", not for you to write"
        words = f"HOME={folder}{writes}"
    return Check("home", OK, f"{words}; nothing is written into it")


def _required() -> Iterator[Requirement]:
    """What hpcsbi needs, without its extras."""
    try:
        texts = requires("hpcsbi") or []
    except PackageNotFoundError:  # a folder on the path, not installed
        return
    for requirement in map(Requirement, texts):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _tested(constraints: Path | None) -> dict[str, str]:
    """Plain name -> version."""
    if constraints is None or not constraints.exists():
        return {}
    pairs = re.findall(r"^([\w.-]+)==(\S+)", constraints.read_text(), flags=re.MULTILINE)
    return {_plain(name): number for name, number in pairs}


def _plain(name: str) -> str:
    """A name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
