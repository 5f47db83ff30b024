"""Tasks: what the model is asked, as data in `tasks/<name>/`: version, masking and history, prompt, JSON Schema."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from zebrawatch.errors import ConfigurationError

TASKS = Path(__file__).parent / "tasks"
MASKINGS = ("any", "candidate")


@dataclass(frozen=True)
class Task:
    """One task: `instructions` come first in every prompt, `schema` is what an answer must satisfy.

    `masking`: `any` leaves out documents that name any rare disease about the patient; `candidate` those that name
    the candidate asked about (DESIGN, "The two arms").
    """

    name: str
    version: str
    masking: str
    instructions: str
    schema: Mapping[str, Any]
    history: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over version, masking, prompt and schema."""
        told = [self.name, self.version, self.masking, self.instructions, self.schema]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def task_names() -> tuple[str, ...]:
    """The tasks that are shipped."""
    return tuple(sorted(path.parent.name for path in TASKS.glob("*/task.toml")))


def read_task(name: str | Path) -> Task:
    """Read a shipped task by name, or one's own by folder; ConfigurationError in one sentence where it is wrong."""
    folder = name if isinstance(name, Path) else TASKS / name
    try:
        told = tomllib.loads((folder / "task.toml").read_text(encoding="utf-8"))
        schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
        instructions = (folder / "prompt.md").read_text(encoding="utf-8").strip()
        jsonschema.Draft202012Validator.check_schema(schema)
        task = Task(told["name"], told["version"], told["masking"], instructions, schema, told["history"])
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no task '{name}': {Path(error.filename).name} is missing.") from None
    except (ValueError, KeyError, jsonschema.SchemaError) as error:
        first = str(error).splitlines()[0]
        raise ConfigurationError(f"the task in {folder.name} cannot be read: {first}.") from None
    if task.masking not in MASKINGS or task.version not in task.history:
        raise ConfigurationError(
            f"the task '{task.name}' needs a masking of {MASKINGS} and its version in its history."
        )
    return task
