"""Child processes, started as a run starts its workers, that print the values in force in them."""

import json
import os
import subprocess
import sys

from honed.machine import spawn

CODE = """
import json, sys
from honed.machine import spawn
names, in_child, code = json.loads(sys.stdin.read())
notes = spawn.apply_in_child(in_child)
exec(code)
print(json.dumps([notes, spawn.read_back(names)]))
"""


def prove(knobs, code="", environment=None, names=None):
    """The notes and the values read back of a child with these knobs that has run `code`."""
    folded = spawn.fold(knobs, os.environ if environment is None else environment)
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps([list(names or knobs), folded.in_child, code]),
        env=folded.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    notes, found = json.loads(done.stdout.splitlines()[-1])
    return notes, found
