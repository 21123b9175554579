"""Where a network is trained and drawn from: on the processor, or on a GPU that torch can use."""

import os

import torch

from hpcsbi.errors import BadInput

__all__ = ["DEVICES", "device_of"]

DEVICES = ("auto", "cpu", "cuda")


def device_of(name: str, stage: str) -> torch.device:
    """The device of a name; "auto" is a GPU where there is one.

    On a GPU sums are made in a fixed order from then on, where torch has one: a training that goes
    on ends at the weights of one that was not stopped.

    Arguments:
        name: one of DEVICES.
        stage: whose device it is, for the words.

    Raises:
        BadInput: cuda, and torch finds no GPU.

    References:
        PyTorch documentation, "Reproducibility"; NVIDIA cuBLAS documentation, "Results
        Reproducibility", for the workspace.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        built = "" if torch.version.cuda else ", and this torch is built for none"
        raise BadInput(
            f"{stage}.device is cuda: torch {torch.__version__} finds no GPU here{built}. Ask for "
            f"one (site.{stage}.gres=gpu:1 on SLURM), or take {stage}.device=auto."
        )
    if name == "cpu" or not there:
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda")
