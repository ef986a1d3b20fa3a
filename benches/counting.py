"""Counts the instructions that a bench executes, with valgrind.

The counts hardly depend on the machine or its load. A count is the difference between many
runs and few, which leaves out what a program does once, at its start.
"""

import json
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).parent


def build(package, *options, root=ROOT):
    """Builds the benches of a package below `root`. Maps each target to its program."""
    manifest = root / package / "Cargo.toml"
    command = ["cargo", "bench", "--locked", "--no-run", "--message-format", "json-render-diagnostics"]
    built = subprocess.run([*command, "--manifest-path", manifest, *options], check=True, stdout=subprocess.PIPE)
    messages = map(json.loads, built.stdout.splitlines())
    return {
        message["target"]["name"]: message["executable"]
        for message in messages
        if message["reason"] == "compiler-artifact" and message["executable"]
    }


def instructions(command, few, many, main_thread=False, env=None):
    """Counts the instructions of one run, in all threads or the main one. `command(n)` runs n times."""
    counts = [_total(command(times), main_thread, env) for times in (few, many)]
    return (counts[1] - counts[0]) / (many - few)


def _total(command, main_thread, env):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "count"
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        if main_thread:
            valgrind.append("--separate-threads=yes")
        run = subprocess.run([*valgrind, *map(str, command)], env=env, capture_output=True, text=True)
        if run.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))} failed under valgrind:\n{run.stderr}")
        counted = out.with_name("count-01") if main_thread else out
        return int(re.search(r"^totals: (\d+)", counted.read_text(), re.MULTILINE)[1])
