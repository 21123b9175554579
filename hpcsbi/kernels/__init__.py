"""Compiled loops: the only home of numba and llvmlite."""
