"""Sums and products of compiled loops, in an order that no processor changes.

`vectors` has them written out for LLVM. Where numba is of another version than those that it was
tried with, `plain` does the same to the last bit in 2 to 10 times the time.
"""

import numba

__all__ = ["inner", "is_tried", "product", "weighted_sums"]

TRIED = (0, 61), (0, 68)  # first and last version of numba, of which the tests have seen both


def is_tried(version: str) -> bool:
    """True for versions of numba with which `vectors` is known to compile."""
    major, minor = version.split(".")[:2]
    return TRIED[0] <= (int(major), int(minor)) <= TRIED[1]


if is_tried(numba.__version__):
    from hpcsbi.kernels.vectors import inner, product, weighted_sums
else:
    from hpcsbi.kernels.plain import inner, product, weighted_sums
