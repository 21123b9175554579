"""Fit the flow: training.zarr -> flows/<name>; in a sweep judge it too."""

if __name__ == "__main__":
    import environment  # noqa: F401  what is not installed is told before it is imported

    from hpcsbi.launch.tasks import start

    start("train")
