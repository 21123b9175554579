"""Rows of a release made again from their spectra, and compared: release/referee -> reproduced/."""

if __name__ == "__main__":
    import environment  # noqa: F401  what is not installed is told before it is imported

    from hpcsbi.launch.tasks import start

    start("reproduce")
