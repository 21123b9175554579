"""Say what the rest of a run takes; speeds that it has not measured are tried on a few rows."""

if __name__ == "__main__":
    import environment  # noqa: F401  what is not installed is told before it is imported

    from hpcsbi.launch.tasks import start

    start("plan")
