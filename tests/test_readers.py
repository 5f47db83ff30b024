"""What reads texts has a version of its own: a change to what only weighs findings reads no text again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from assets.night_run import NOT_READING, code_digest
from zebrawatch import evidence, screen

READERS = ("zebrawatch.engine.texts", "zebrawatch.evidence.codes", "zebrawatch.evidence.labs")


def test_readers_need_nothing_of_what_their_version_leaves_out() -> None:
    told = "import sys, " + ", ".join(READERS) + "; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.split()
    ours = [name for name in loaded if name.startswith((f"{evidence.__name__}.", f"{screen.__name__}."))]
    assert not {f"{name.rpartition('.')[2]}.py" for name in ours} & NOT_READING
    there = {path.name for package in (evidence, screen) for path in Path(str(package.__file__)).parent.glob("*.py")}
    assert there >= NOT_READING, "a name that is none leaves nothing out"


def test_the_version_changes_with_the_readers_only() -> None:
    whole, reading = code_digest(evidence, screen), code_digest(evidence, screen, without=NOT_READING)
    assert whole != reading != code_digest(evidence, screen, without={*NOT_READING, "recogniser.py"})
