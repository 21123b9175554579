"""Submit to SLURM what of a run failed or is missing, and nothing else."""

if __name__ == "__main__":
    import environment  # noqa: F401  what is not installed is told before it is imported

    from hpcsbi.launch.retry import main

    main()
