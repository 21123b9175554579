"""A catalogue beside another one: catalogue.parquet and crossmatch.other -> crossmatch.html."""

if __name__ == "__main__":
    import environment  # noqa: F401  what is not installed is told before it is imported

    from hpcsbi.launch.tasks import start

    start("crossmatch")
