"""YAML as people write it: text in UTF-8, and no key twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, override

import yaml

from nssi_bayes.errors import SpecError

__all__ = ["load_yaml"]


class _Loader(yaml.SafeLoader):
    """Plain values only, and an error where a key stands twice: YAML itself forgets the first of them."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        written = [
            key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"
        ]
        twice = sorted({key for key in written if written.count(key) > 1})
        if twice:
            problem = f"{', '.join(map(repr, twice))} stands twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> Any:
    """Read a YAML file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    object
        What stands in it.

    Raises
    ------
    SpecError
        If it is no file that can be read, not UTF-8, not YAML, or names a key twice in one place.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    except UnicodeDecodeError as error:
        cure = "save it as UTF-8"
        raise SpecError("not a text in UTF-8", where=str(path), cure=cure) from error
    except OSError as error:
        cure = "see whether it is a file, and yours to read"
        raise SpecError("the file cannot be read", where=str(path), cure=cure) from error
    except yaml.constructor.ConstructorError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        what = str(error.problem) if "stands twice" in str(error.problem) else "not valid YAML"
        raise SpecError(f"{what} at line {line}", where=str(path), cure="mend the YAML") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise SpecError(f"not valid YAML{place}", where=str(path), cure="mend the YAML") from error
    except (ValueError, RecursionError) as error:  # a date that no calendar has, a file that holds itself
        raise SpecError("not valid YAML", where=str(path), cure="put quotes around dates") from error
