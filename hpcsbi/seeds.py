"""Seeds: the same numbers for the same piece of work, on any worker, on any day."""

import hashlib

import numpy as np

from hpcsbi.errors import BadInput

__all__ = ["generator", "object_seed"]

# The numbers are part of the contract: a stage keeps its own for ever.
STAGES = {
    "tabulate": 1, "simulate": 2, "augment": 3, "train": 4, "calibrate": 5, "infer": 6, "fit": 7,
}  # fmt: skip


def generator(seed: int, stage: str, *pieces: int) -> np.random.Generator:
    """The generator of one piece of a stage's work, e.g. a shard.

    Raises:
        ValueError: a negative seed.

    Example:
        >>> a, b = (generator(0, "simulate", 7).random() for _ in range(2))
        >>> a == b, a == generator(0, "augment", 7).random()
        (True, False)
    """
    if seed < 0:
        raise BadInput(f"seed is {seed}: it must be 0 or more.")
    return np.random.default_rng(np.random.SeedSequence([seed, STAGES[stage], *pieces]))


def object_seed(seed: int, name: str) -> int:
    """A 63-bit seed that depends on the run's seed and the object's id, not on its batch."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
