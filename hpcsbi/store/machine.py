"""What the last bits of a product depend on beside code and settings: processor and libraries."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from llvmlite import binding
from threadpoolctl import threadpool_info

from hpcsbi.store.files import read_object, write_atomically

__all__ = ["digest", "leave_word", "machine", "machine_difference", "machines_of"]

# They choose other loops, whatever the processor could do.
CHOICES = (
    "ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES", "NUMBA_CPU_FEATURES", "NUMBA_CPU_NAME", "NUMBA_DISABLE_JIT",
    "OPENBLAS_CORETYPE",
)  # fmt: skip
MACHINES = ".machines"
LIBRARIES = ("emcee", "llvmlite", "numba", "numpy", "scipy", "torch", "zuko")
AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "fma")


@cache
def machine() -> dict:
    """Type of processor as each library takes it, and versions; the same in every process."""
    features = binding.get_host_cpu_features()
    wide = "AVX512" if all(features.get(name) for name in AVX512) else None
    return {
        "architecture": platform.machine(),
        "numba": binding.get_host_cpu_name(),
        "numpy": " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])),
        "openblas": _openblas(),
        "torch": wide or ("AVX2" if features.get("avx2") and features.get("fma") else "DEFAULT"),
        "choices": {name: os.environ[name] for name in CHOICES if name in os.environ},
        "libraries": {name: number for name in LIBRARIES for number in _version(name)},
    }


def machine_difference(other: Mapping) -> str:
    """In what another machine differs from this one, "" where its last bits are the same."""
    lines = [
        f"{name}: {other.get(name)} there, {value} here"
        for name, value in machine().items()
        if other.get(name) != value
    ]
    if not lines:
        return ""
    return (
        "begun on another type of processor or with other libraries: last bits may differ from "
        f"those of a run on one, and chains wholly ({'; '.join(lines)})"
    )


def leave_word(folder: Path) -> None:
    """Note in a product what type of machine works on it, the same file for all of one type."""
    file = folder / MACHINES / f"{digest(machine())}.json"
    if not file.exists():
        write_atomically(file, json.dumps(machine(), sort_keys=True).encode())


def machines_of(folder: Path) -> list[dict]:
    """Types of the machines that have worked on a product.

    Raises:
        Damaged: a note of one is.
    """
    return [read_object(file) for file in sorted((folder / MACHINES).glob("*.json"))]


def digest(facts: dict) -> str:
    """A short name for a type of machine."""
    text = json.dumps(facts, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=6).hexdigest()


def _openblas() -> str:
    libraries = [each for each in threadpool_info() if each["internal_api"] == "openblas"]
    return ", ".join(sorted({each.get("architecture", "?") for each in libraries}))


def _version(name: str) -> list[str]:
    try:
        return [version(name)]
    except PackageNotFoundError:
        return []
