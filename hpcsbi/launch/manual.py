"""What `--help` of a job prints: what it reads, makes and needs, and its settings with meanings.

Meanings and units are those of the docstrings, read without importing what they stand in.
"""

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import yaml

from hpcsbi.launch.checkout import CONF, ROOT
from hpcsbi.pipeline import APART, STAGES

__all__ = ["manual"]

ABOUT = {
    "name": "name=NAME chooses the run",
    "run": "run=FOLDER chooses its folder (runs/NAME)",
    "seed": "seed=0 of all draws",
}
WIDTH = 100
LITERALS = {"None": "null", "True": "true", "False": "false"}


def manual(job: str, about: str, stages: tuple[str, ...]) -> str:
    """The text of `python jobs/JOB.py --help`.

    Arguments:
        job: its name.
        about: first line of its docstring.
        stages: whose nodes it reads; none for one that reads the whole configuration.
    """
    lines = [about, "", f"python jobs/{job}.py [KEY=VALUE ...], as name=mine", ""]
    used: list[str] = []
    if len(stages) == 1:
        lines += [*_reads_and_makes(stages[0]), *_node(stages[0]), ""]
        node = "\n".join(_node(stages[0]))
        used = [group for group in _groups() if f"${{{group}}}" in node]
    if len(stages) > 1:
        lines += [f"It runs {', '.join(stages)}; python jobs/STAGE.py --help shows the keys.", ""]
    for group in used:
        lines += [f"{group}=", *_choices(group), *_group(group), ""]
    if not stages:
        lines += ["It reads the options of the whole run, and changes nothing of it.", ""]
    many = len(stages) != 1 or STAGES[stages[0]].fans_out
    others = ["cluster"] if many and "cluster" not in used else []
    others += [] if stages else ["site"]
    for group in ("experiment", *others):
        lines += [f"{group}=", *_choices(group), ""]
    lines += [f"{text}." for text in ABOUT.values()]
    lines += [
        "The whole configuration with comments is conf/config.yaml; what these options make of it "
        f"is printed by\npython jobs/{job}.py --cfg job [KEY=VALUE ...]",
    ]
    return "\n".join(lines)


def _reads_and_makes(name: str) -> list[str]:
    """What a stage takes and leaves, with the jobs that make it."""
    stage, lines = STAGES[name], []
    for maker in dict.fromkeys(stage.reads.values()):
        product = STAGES[maker]
        lines.append(f"reads  {product.product}: {product.makes} (jobs/{maker}.py)")
    if stage.shows:
        lines.append("       of these what is there")
    if stage.needs:
        lines.append(f"needs  {stage.needs}")
    if stage.product:
        beside = f", and {stage.beside} beside it" if stage.beside else ""
        lines.append(f"makes  {stage.product}{beside}: {stage.makes}, in the folder of the run")
    elif stage.when == APART:
        lines.append("makes  nothing: it looks")
    return [*lines, ""]


def _node(name: str) -> list[str]:
    """Lines of a node of conf/config.yaml, what each key means below it."""
    lines: list[str] = []
    for line in (Path(CONF) / "config.yaml").read_text().splitlines():
        if lines and not line.startswith(" "):
            break
        if lines or line.rstrip() == f"{name}:":
            lines.append(line)
    file = ROOT / "hpcsbi" / "stages" / f"{name}.py"
    return [*_explained([line for line in lines if line.strip()], _meanings(file, name))]


def _group(group: str) -> Iterator[str]:
    """Keys of the choice of a group that is the default, with what they mean."""
    defaults = yaml.safe_load((Path(CONF) / "config.yaml").read_text())["defaults"]
    choice = next(
        (each[group] for each in defaults if isinstance(each, dict) and group in each), ""
    )
    file = Path(CONF) / group / f"{choice}.yaml"
    if not file.exists() or group == "cluster":
        return
    lines = file.read_text().splitlines()
    target = next((line.split(": ")[1] for line in lines if line.startswith("_target_: ")), "")
    keys = [line for line in lines if re.match(r"[a-z]\w*:", line)]
    if not target or "columns:" in keys:
        return
    module, _, name = target.rpartition(".")
    meanings = _meanings(ROOT.joinpath(*module.split(".")).with_suffix(".py"), name)
    yield from _explained([f"  {group}.{line}" for line in keys], meanings)


def _explained(lines: Sequence[str], meanings: dict[str, str]) -> Iterator[str]:
    for line in lines:
        yield line
        key = re.match(r" *(?:\w+\.)?(\w+):", line)
        if key and key[1] in meanings:
            yield from textwrap.wrap(
                meanings[key[1]], WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6
            )


def _meanings(file: Path, name: str) -> dict[str, str]:
    """Arguments of a function or class and what its docstring says of each."""
    tree = ast.parse(file.read_text())
    kinds = (ast.FunctionDef, ast.ClassDef)
    node = next((x for x in tree.body if isinstance(x, kinds) and x.name == name), None)
    text = ast.get_docstring(node) or "" if node else ""
    section = re.search(r"^Arguments:\n((?: .*\n|\n)*)", text + "\n", flags=re.MULTILINE)
    if not section:
        return {}
    meanings: dict[str, str] = {}
    for entry in re.split(r"^ {4}(?=\w)", section[1], flags=re.MULTILINE)[1:]:
        names, _, words = entry.partition(":")
        words = " ".join(words.split())
        for python, option in LITERALS.items():
            words = re.sub(rf"\b{python}\b", option, words)
        meanings |= dict.fromkeys(names.split(", "), words)
    return meanings


def _groups() -> list[str]:
    return sorted(path.name for path in Path(CONF).iterdir() if path.is_dir())


def _choices(group: str) -> Iterator[str]:
    """A line or two for each file of a group: its name and the first sentence of its comment."""
    for path in sorted((Path(CONF) / group).glob("*.yaml")):
        head = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
        comments = [line[2:] for line in head if "@package" not in line]
        first = re.split(r"\. (?=[A-Z])", " ".join(comments))[0].rstrip(" .")
        begin = f"  {path.stem:12} "
        yield from textwrap.wrap(
            begin + first, WIDTH, subsequent_indent=" " * len(begin), break_on_hyphens=False
        )
