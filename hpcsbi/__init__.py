"""Posteriors of galaxy spectra by simulation-based inference, from a laptop to a SLURM cluster.

What is listed here is public, for scripts and notebooks; everything else may change at any time. A
name is imported when it is first used, so that `import hpcsbi` takes no library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcsbi.library import (
        BadInput,
        ModelTable,
        Prior,
        SpectrumPosterior,
        TrainedFlow,
        flags_in_words,
        has_flag,
        load_catalogue,
        load_flow,
        load_table,
    )

__version__ = "0.2.0"
__all__ = [
    "BadInput",
    "ModelTable",
    "Prior",
    "SpectrumPosterior",
    "TrainedFlow",
    "flags_in_words",
    "has_flag",
    "load_catalogue",
    "load_flow",
    "load_table",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"hpcsbi has no {name!r}: it offers {', '.join(__all__)}")
    return getattr(import_module("hpcsbi.library"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
