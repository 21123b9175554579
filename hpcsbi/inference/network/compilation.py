"""A network as machine code, made by torch with a C++ compiler where the training runs."""

import os
import shutil
from collections.abc import Callable

import torch

from hpcsbi.errors import BadInput

__all__ = ["as_machine_code", "refuse_no_compiler"]


def refuse_no_compiler() -> None:
    """What torch.compile compiles with is asked for before a step is taken.

    Raises:
        BadInput: there is no C++ compiler.

    References:
        PyTorch documentation, "torch.compiler": on a processor it takes $CXX, or g++.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise BadInput(
            f"train.compiled is true: there is no C++ compiler {compiler} on the PATH of this "
            "machine. Load one (module load gcc, or CXX=...), or take train.compiled=false."
        )


def as_machine_code(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The function, compiled at its first call in every process.

    torch keeps what it writes whatever the processor is: where one has shorter vectors than that of
    the run before, code for those does not compile. So nothing is kept.

    Raises:
        BadInput: in a call, where the compiler fails.
    """
    from torch._dynamo.exc import BackendCompilerFailed  # takes seconds to import

    compiled = torch.compile(function, dynamic=False, options={"fx_graph_cache": False})

    def call(*arguments: torch.Tensor) -> torch.Tensor:
        try:
            return compiled(*arguments)
        except BackendCompilerFailed as error:
            raise BadInput(
                "train.compiled is true: what torch writes for this machine is not compiled "
                f"({str(error.inner_exception).splitlines()[0]}). Take train.compiled=false, or "
                "another C++ compiler (CXX=...)."
            ) from error

    return call
