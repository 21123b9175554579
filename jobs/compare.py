"""Compare the flows of a run, as after a sweep: flows/ -> sweep.html, .json, .csv."""

if __name__ == "__main__":
    import environment  # noqa: F401  what is not installed is told before it is imported

    from hpcsbi.launch.tasks import start

    start("compare")
