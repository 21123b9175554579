"""What `--help` of a job prints: its own node of the configuration, with its comments."""

from collections.abc import Iterator
from pathlib import Path

from hpcsbi.launch.checkout import CONF

GENERAL = ("experiment", "name", "run", "seed", "cluster")
ABOUT = {
    "name": "name=NAME chooses the run",
    "run": "run=FOLDER chooses its folder (runs/NAME)",
    "seed": "seed=0 of all draws",
}


def manual(job: str, about: str, stages: tuple[str, ...]) -> str:
    """The text of `python jobs/JOB.py --help`.

    Arguments:
        job: its name.
        about: first line of its docstring.
        stages: whose nodes it reads.
    """
    lines = [about, "", f"python jobs/{job}.py [KEY=VALUE ...], as name=mine", ""]
    used: list[str] = []
    for stage in stages if len(stages) == 1 else ():
        node = _node(stage)
        lines += [*node, ""]
        used += [group for group in _groups() if f"${{{group}}}" in "\n".join(node)]
    if len(stages) > 1:
        lines += [f"It runs {', '.join(stages)}; python jobs/STAGE.py --help shows the keys.", ""]
    for group in dict.fromkeys([*used, "experiment", *(["cluster"] if stages else [])]):
        lines += [f"{group}=", *_choices(group), ""]
    lines += [f"{text}." for text in ABOUT.values()]
    lines += [
        "The whole configuration with comments is conf/config.yaml; what these options make of it "
        f"is printed by\npython jobs/{job}.py --cfg job [KEY=VALUE ...]",
    ]
    return "\n".join(lines)


def _node(name: str) -> list[str]:
    """Lines of a node of conf/config.yaml."""
    lines: list[str] = []
    for line in (Path(CONF) / "config.yaml").read_text().splitlines():
        if lines and not line.startswith(" "):
            break
        if lines or line.rstrip() == f"{name}:":
            lines.append(line)
    return [line for line in lines if line.strip()]


def _groups() -> list[str]:
    return sorted(path.name for path in Path(CONF).iterdir() if path.is_dir())


def _choices(group: str) -> Iterator[str]:
    """One line for each file of a group: its name and the first sentence of its comment."""
    for path in sorted((Path(CONF) / group).glob("*.yaml")):
        lines = path.read_text().splitlines()
        comments = [line[2:] for line in lines if line.startswith("# ") and "@package" not in line]
        yield f"  {path.stem:12} {' '.join(comments).split('. ')[0]}".rstrip(" .")
