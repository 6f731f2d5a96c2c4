"""YAML as version 1.2 reads it: `on` and `no` are words, 1e-4 is a number, and a key said twice is an error.

PyYAML follows version 1.1, where 1e-4 is text and the option `on: logits` has the key True.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from foglight.errors import ConfigurationError

_PLAIN_SCALARS: Final = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN\0"),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("tag:yaml.org,2002:float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("tag:yaml.org,2002:float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own protocol

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own protocol

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        scalars = all(not isinstance(item, (dict, list)) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=scalars)


for _tag, _pattern, _first in _PLAIN_SCALARS:
    for _class in (_Loader, _Dumper):
        # "\0" stands for a scalar without a first character: the empty one.
        _starts = ["" if character == "\0" else character for character in _first]
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _starts)


def parse_yaml(text: str, *, source: str) -> Any:
    """What the text says.

    Raises:
        ConfigurationError: naming `source` and the line where the text is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        problem = " ".join(part for part in (error.problem, error.context) if part)
        raise ConfigurationError(f"{source}{line}: not valid YAML: {problem}", remedy="correct this line") from error
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigurationError(f"{source}: not valid YAML: {problem}", remedy="remove that character") from error


def read_yaml(path: Path) -> Any:
    """What the file says.

    Raises:
        ConfigurationError: if it cannot be read, is not UTF-8 or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"{path}: cannot be read: {error.strerror}"
        raise ConfigurationError(problem, remedy="name a YAML file that exists") from error
    except UnicodeDecodeError as error:
        problem = f"{path}: not text in UTF-8 (byte {error.start})"
        raise ConfigurationError(problem, remedy="name a YAML file, saved as UTF-8") from error
    return parse_yaml(text, source=str(path))


def write_yaml(content: Any) -> str:
    """Text that `parse_yaml` reads back as `content`.

    >>> print(write_yaml({"lr": 0.0001, "on": "logits", "crop": [128, 160]}), end="")
    lr: 0.0001
    on: logits
    crop: [128, 160]
    """
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
