"""What hpcsbi itself refuses, in one line with the mend; any other exception is a fault of ours.

The jobs catch `Refusal`, and what the operating system says (`OSError`); everything else ends with
its traceback, so that a fault of the program never looks like one of the input.
"""

__all__ = ["BadInput", "Refusal", "Unfinished"]


class Refusal(Exception):
    """A message for the user: what is wrong, where, and how to mend it."""


class BadInput(Refusal, ValueError):
    """A setting, an argument or a file that cannot be used."""


class Unfinished(Refusal, RuntimeError):
    """Work that could not be done, though its input is right: the same command may go on."""
