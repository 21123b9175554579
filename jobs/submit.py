"""Submit a run to SLURM, every stage a job that waits for those it needs."""

if __name__ == "__main__":
    import environment  # noqa: F401  what is not installed is told before it is imported

    from hpcsbi.launch.submit import main

    main()
