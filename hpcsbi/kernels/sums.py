"""Sums and products of compiled loops, in an order that no processor changes.

`vectors` and `columns` have them written out for LLVM. Where numba is of another version than those
that it was tried with, `plain` does the same to the last bit in 2 to 10 times the time.
"""

import numba

__all__ = [
    "add_products",
    "inner",
    "is_tried",
    "product",
    "subtract_products",
    "transpose",
    "weighted_sums",
]

TRIED = (0, 61), (0, 68)  # first and last version of numba, of which the tests have seen both


def is_tried(version: str) -> bool:
    """True for versions of numba with which `vectors` is known to compile."""
    major, minor = version.split(".")[:2]
    return TRIED[0] <= (int(major), int(minor)) <= TRIED[1]


if is_tried(numba.__version__):
    from hpcsbi.kernels.columns import (
        add_products,
        subtract_products,
        transpose,
        weighted_sums,
    )
    from hpcsbi.kernels.vectors import inner, product
else:
    from hpcsbi.kernels.plain import (
        add_products,
        inner,
        product,
        subtract_products,
        transpose,
        weighted_sums,
    )
