"""Say of any product what it is, what made it, whether it is whole, and what comes next."""

if __name__ == "__main__":
    import environment  # noqa: F401  what is not installed is told before it is imported

    from hpcsbi.launch.inspection import main

    main()
