"""Say whether this machine can do a run: environment, disks, FSPS, SLURM, each with its mend."""

if __name__ == "__main__":
    import environment  # noqa: F401  what is not installed is told before it is imported

    from hpcsbi.launch.tasks import start

    start("doctor")
