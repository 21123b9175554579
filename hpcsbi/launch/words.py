"""The words of a command line: options as they are meant, and what is wrong with one in a line."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import NoneType

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpcsbi.cluster.executors import cores
from hpcsbi.errors import BadInput
from hpcsbi.launch.checkout import CONF
from hpcsbi.launch.configuration_files import blames_the_file, one_line, refuse_bare_site
from hpcsbi.pipeline import OF_A_RUN

# Hydra's own options that are of use here, and those of them that take a value.
FLAGS = {"-m", "--multirun", "--resolve", "--hydra-help", "--version"}
VALUED = {"-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name"}
TEXT = (str, QuotedString, NoneType)
# Their keys are the user's.
OPEN = (
    "site.options",
    "site.train",
    "site.infer",
    "plan.rates",
    "crossmatch.columns",
    "crossmatch.errors",
)
TEXTS = ("name", "run", "fit.objects")  # a number stays as it was typed
OPTIONS = "options are KEY=VALUE, as train.steps=100"


def _of_each_stage(key: str, _root_: DictConfig) -> DictConfig:
    """A key of all stages of a run that have it."""
    return OmegaConf.create({name: _root_[name][key] for name in OF_A_RUN if key in _root_[name]})


OmegaConf.register_new_resolver("of_each_stage", _of_each_stage, replace=True)
OmegaConf.register_new_resolver("cores", cores, replace=True)
OmegaConf.register_new_resolver(
    "package_data", lambda name: str(files("hpcsbi") / "data" / name), replace=True
)


def hydra_arguments(given: Sequence[str]) -> list[str]:
    """Arguments of a job as Hydra takes them: what has to be quoted is quoted.

    Raises:
        BadInput: something that is no option; says which is likely meant.
    """
    arguments, rest = [], iter(given)
    sweep = any(word in ("-m", "--multirun") for word in given)
    for word in rest:
        flag = word.split("=")[0]
        if word in FLAGS:
            arguments.append(word)
        elif flag in VALUED:
            arguments += [word] if "=" in word else [word, next(rest, "")]
        elif word.startswith("-"):
            raise BadInput(f"{word} is no option: {OPTIONS}{_likely(flag, word, rest)}")
        else:
            arguments.append(quoted(word, sweep))
    return arguments


def quoted(override: str, sweep: bool = False) -> str:
    """An override that Hydra's grammar takes, and takes for what it says.

    Paths with ~, brackets, commas or other characters of the grammar need no quotes, and a name
    such as 2024_05_01 or 1e3 is no number.

    Raises:
        BadInput: it is no override even with quotes.
    """
    key, equals, value = override.partition("=")
    if not equals:
        parsed = _parse(override) if override.startswith("~") else None
        if parsed is None:
            raise BadInput(f"{override!r} is no option: {OPTIONS}{_likely(override, override, ())}")
        return override
    if not re.fullmatch(r"[+~]{0,2}[\w@:./-]+", key):
        raise BadInput(f"{override!r} is no option: {OPTIONS}{_likely(key, override, ())}")
    if key.startswith(OPEN):
        key, override = f"++{key}", f"++{override}"  # Hydra takes keys that are not there with it
    parsed = _parse(override)
    if parsed is not None and not (parsed.is_sweep_override() and not sweep):
        return override if key.lstrip("+") not in TEXTS else _as_text(key, value, parsed)
    if parsed is not None and not _is_path(value):
        raise BadInput(
            f"{override} has a comma: a list is {key}=[{value}], one text with a comma "
            f"{key}='\"{value}\"', and several runs take -m."
        )
    again = f"{key}={_with_quotes(value)}"
    cut = value[:1] in ("[", "{") and not again.startswith(f"{key}=[")
    if cut or _parse(again) is None:
        raise BadInput(
            f"{override!r} cannot be read: put the value into quotes, as {key}='\"...\"', and of a "
            f"list each of its parts, as {key}='[\"...\"]'."
        )
    return again


@contextmanager
def in_plain_words(overrides: Sequence[str]) -> Iterator[None]:
    """Say in one line what Hydra finds wrong with a configuration.

    Raises:
        BadInput: in place of errors of Hydra and OmegaConf.
    """
    try:
        yield
    except MissingConfigException as error:
        raise BadInput(_no_choice(error)) from None
    except (HydraException, OmegaConfBaseException) as error:
        raise BadInput(_plain(error, overrides)) from None


def configuration_from(folder: str, name: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a folder with overrides as `hydra_arguments` returns them.

    Raises:
        BadInput: an unknown key or choice; names the likely one. A file that is no configuration.
    """
    given = [quoted(override) for override in overrides]
    for override in given:
        _refuse_no_name(override)
    with in_plain_words(given), blames_the_file(folder), _of_its_own(folder):
        return compose(name.removesuffix(".yaml"), overrides=given)


def _refuse_no_name(override: str) -> None:
    """Of a group one choice is named; on a list Hydra breaks. A site is a whole one."""
    key = override.partition("=")[0].lstrip("+~").partition("@")[0]
    choices = sorted(path.stem for path in (Path(CONF) / key).glob("*.yaml")) if key else []
    parsed = _parse(override)
    named = parsed is None or parsed.is_sweep_override() or isinstance(parsed.value(), TEXT)
    if choices and not named:
        raise BadInput(f"{override}: choose one of {', '.join(choices)}.")
    if key == "site" and parsed is not None and parsed.value() in choices:
        refuse_bare_site(Path(CONF) / key / f"{parsed.value()}.yaml")


@contextmanager
def _of_its_own(folder: str) -> Iterator[None]:
    """Hydra for a folder, also while a job runs under Hydra, which would allow one only."""
    whole = GlobalHydra.instance()
    before, whole.hydra = whole.hydra, None
    try:
        with initialize_config_dir(folder, version_base="1.3"):
            yield
    finally:
        whole.hydra = before


def _parse(override: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(override)
    except (OverrideParseException, HydraException, ValueError):
        return None


def _as_text(key: str, value: str, parsed: Override) -> str:
    """With quotes where Hydra would take a text for a number."""
    if parsed.is_sweep_override():
        return f"{key}={','.join(_quote(part) for part in _parts(value))}"
    hydra_value = parsed.value()
    if isinstance(hydra_value, list):
        number = not all(isinstance(item, TEXT) for item in hydra_value)
    else:
        number = not isinstance(hydra_value, str | QuotedString) and "." not in key
    return f"{key}={_with_quotes(value)}" if number else f"{key}={value}"


def _is_path(value: str) -> bool:
    """A comma in a path is part of it: nobody lists values that hold a slash without brackets."""
    return value.startswith(("/", "~", "./", "../")) and ",/" not in value and ",~" not in value


def _with_quotes(value: str) -> str:
    """A value as one text, or a list of them."""
    if value.startswith("[") and value.endswith("]"):
        return f"[{','.join(_quote(part.strip()) for part in _parts(value[1:-1]))}]"
    return _quote(value)


def _parts(text: str) -> list[str]:
    """Of a list, at commas outside of quotes."""
    return [part for part in re.findall(r"""(?:[^,"']|"[^"]*"|'[^']*')+""", text) if part.strip()]


def _quote(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text
    text = os.path.expanduser(text) if text.startswith("~/") else text
    mark = '"' if '"' not in text else "'"
    return f"{mark}{text.replace(mark, chr(92) + mark)}{mark}"


def _no_choice(error: MissingConfigException) -> str:
    """A group has no such file."""
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    options = list(error.options or ())
    near = difflib.get_close_matches(choice, options, n=1)
    mend = f"did you mean {group}={near[0]}? " if near else ""
    if not options:
        return f"{error.missing_cfg_file}: no such configuration."
    return f"{group}={choice}: {mend}{'There are' if near else 'choose from'} {', '.join(options)}."


def _plain(error: Exception, overrides: Sequence[str]) -> str:
    text = one_line(error)
    if lost := re.match(r"Could not override '([^']+)'", text):
        return f"{lost[1]} is not known{_hint(lost[1])}"
    if lost := re.match(r"Interpolation key '([^']+)' not found", text):
        where = getattr(error, "full_key", "")
        return f"{where}: there is no ${{{lost[1]}}} to refer to{_hint(lost[1])}"
    return f"{text.rstrip('.')} ({' '.join(overrides)})."


def _hint(key: str) -> str:
    near = _near(key.lstrip("+~"), _all_keys())
    mend = f"; did you mean {near}?" if near else "."
    return f"{mend} All keys are in conf/config.yaml."


def _near(key: str, known: Iterable[str]) -> str:
    """The likely one: in the same node, anywhere by its whole name, or by its last part."""
    known = list(known)
    node, _, last = key.rpartition(".")
    inside = {name.rpartition(".")[2]: name for name in known if name.rpartition(".")[0] == node}
    by_last: dict[str, str] = {}
    for name in known:
        by_last.setdefault(name.rpartition(".")[2], name)
    if last in by_last and not node:
        return by_last[last]
    for word, names in ((last, inside), (key, {name: name for name in known}), (last, by_last)):
        if near := difflib.get_close_matches(word, list(names), n=1, cutoff=0.65):
            return names[near[0]]
    return ""


def _all_keys() -> list[str]:
    """Every key of the configuration, as it is without overrides, with dots."""
    with _of_its_own(CONF):
        cfg = compose("config")
    keys: list[str] = []

    def walk(node: DictConfig, prefix: str) -> None:
        for key in node:
            keys.append(f"{prefix}{key}")
            if not OmegaConf.is_interpolation(node, key) and OmegaConf.is_dict(node._get_node(key)):
                walk(node[key], f"{prefix}{key}.")

    walk(cfg, "")
    return [*keys, "experiment"]


def _likely(flag: str, word: str, rest: Iterable[str]) -> str:
    """ ": did you mean train.steps=100?" of --steps=100 or --steps 100."""
    key, value = flag.lstrip("-").replace("-", "_"), word.partition("=")[2]
    near = _near(key, _all_keys()) if key else ""
    value = value or next((argument for argument in rest if "=" not in argument), "")
    return f": did you mean {near}={value or 'VALUE'}?" if near else "."
