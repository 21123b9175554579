"""What the model is off by, from a survey's posteriors: catalogue.zarr -> errors.zarr."""

if __name__ == "__main__":
    import environment  # noqa: F401  what is not installed is told before it is imported

    from hpcsbi.launch.tasks import start

    start("learn")
