"""Run each command on a disk that is too small, then on one that is not, and look at what it leaves.

``python -m eval.benchmarks.full_disk --out FOLDER`` does this on a small file system in memory (Linux; it needs user
namespaces, no privileges). A command must end with one line and a non-zero status, leave no file that is cut, and
finish when the same command is run again with more space, with the bytes that it writes where there was always enough.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.errors import UserError
from codec.runtime.progress import ProgressBar
from eval.benchmarks.survival import OVERRIDES, make_sounds
from eval.pages.text_table import Table

SHARES = (0.02, 0.3, 0.6, 0.9)
"""Sizes of the disk relative to what a command writes."""

_SUFFIXES = {".nac", ".wav", ".npy", ".tar", ".safetensors"}
"""Files whose bytes depend on nothing but the input."""
_PAGE = 4096
_ROOM = 1 << 28


@dataclass(frozen=True)
class Job:
    """A command that writes files."""

    name: str
    arguments: Callable[[Path, Path], list[str]]
    """Arguments from the folder of the inputs and that of the outputs."""
    improves: bool = False
    """Whether it replaces files by better ones as it goes on, so that those of a failed run are other ones."""


JOBS = (
    Job("prepare", lambda given, out: ["prepare", str(given / "sounds"), "--out", str(out)]),
    Job(
        "train",
        lambda given, out: ["train", "speech_16k", *OVERRIDES, "--data", str(given / "prepare"), "--run", str(out)],
        improves=True,
    ),
    Job("export", lambda given, out: ["export", str(given / "train"), "--out", str(out)]),
    Job(
        "encode",
        lambda given, out: ["encode", str(given / "sounds"), "--model", str(given / "train"), "--out", str(out)],
    ),
    Job(
        "decode",
        lambda given, out: ["decode", str(given / "encode"), "--model", str(given / "train"), "--out", str(out)],
    ),
    Job(
        "tokens",
        lambda given, out: ["tokens", str(given / "sounds"), "--model", str(given / "train"), "--out", str(out)],
    ),
    Job(
        "evaluate",
        lambda given, out: [
            *("evaluate", str(given / "train"), "--data", str(given / "prepare"), "--out", str(out)),
            *("--clips", "2", "-j", "1"),
        ],
    ),
)
"""Each takes the outputs of those before it."""


@dataclass(frozen=True)
class Outcome:
    """What a command did on a disk of one size."""

    job: str
    share: float
    failed: bool
    """False if the disk was large enough after all."""
    faults: list[str]
    """What should not have happened; empty if all is well."""


def run_jobs(out: Path, names: Sequence[str], shares: Sequence[float]) -> list[Outcome]:
    """Run commands on small disks; the calling process must be allowed to mount file systems.

    Args:
        out: new folder for inputs and references; the small disk is mounted in it.
        names: names of the jobs; those before the last of them run on a disk of any size.
        shares: see :data:`SHARES`.

    Returns:
        An outcome for each job and size.
    """
    make_sounds(out / "sounds")
    disk = out / "disk"
    disk.mkdir()
    outcomes = []
    last = max(index for index, job in enumerate(JOBS) if job.name in names)
    with ProgressBar(total=len(names) * len(shares), desc="full disk", unit="run") as bar:
        for job in JOBS[: last + 1]:
            reference = out / job.name
            done = _run(job.arguments(out, reference))
            if done.returncode:
                raise UserError(f"codec {job.name} failed: {_last_line(done.stderr)}")
            if job.name not in names:
                continue
            for share in shares:
                outcomes.append(_run_on_small_disk(job, share, out, reference, disk))
                bar.update()
    return outcomes


def _run_on_small_disk(job: Job, share: float, given: Path, reference: Path, disk: Path) -> Outcome:
    size = sum(path.stat().st_size for path in reference.rglob("*") if path.is_file())
    _mount(disk, max(_PAGE, int(share * size)))
    try:
        faults: list[str] = []
        command = job.arguments(given, disk / "result")
        first = _run(command)
        if first.returncode:
            if "Traceback" in first.stderr:
                faults.append(f"traceback: {_last_line(first.stderr)}")
            if not job.improves:
                faults += [f"cut: {name}" for name in _differing(reference, disk / "result", missing=False)]
        else:
            faults += [f"status 0, but differs: {name}" for name in _differing(reference, disk / "result")]
        subprocess.run(["mount", "-o", f"remount,size={size + _ROOM}", str(disk)], check=True)
        second = _run(command)
        if second.returncode:
            faults.append(f"with space: {_last_line(second.stderr)}")
        else:
            faults += [f"with space, differs: {name}" for name in _differing(reference, disk / "result")]
        return Outcome(job.name, share, bool(first.returncode), faults)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _mount(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)


def _run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "codec", *arguments], capture_output=True, text=True)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]


def _differing(reference: Path, found: Path, missing: bool = True) -> list[str]:
    """Return the files under final names that have other bytes than those of the reference, or are ``missing``."""
    names = []
    for path in sorted(reference.rglob("*")):
        if (
            path.suffix not in _SUFFIXES
            or "checkpoints" in path.parts
            or "sounds" in path.parts[len(reference.parts) :]
        ):
            continue
        other = found / path.relative_to(reference)
        if other.is_file():
            if other.read_bytes() != path.read_bytes():
                names.append(str(path.relative_to(reference)))
        elif missing:
            names.append(f"{path.relative_to(reference)} (missing)")
    return names


def in_namespace(command: Sequence[str]) -> list[str]:
    """Return a command line that runs a command where it may mount file systems.

    Args:
        command: program and arguments.

    Returns:
        The command line.

    Raises:
        UserError: the system does not allow it.
    """
    prefix = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        raise UserError("this benchmark needs Linux with user namespaces (unshare --user --mount)")
    return [*prefix, *command]


def tabulate(outcomes: Sequence[Outcome]) -> Table:
    """Make the table of the outcomes.

    Args:
        outcomes: those of :func:`run_jobs`.

    Returns:
        A row for each command, with the number of runs that ran out of space, and that of faults.
    """
    rows = []
    for name in dict.fromkeys(outcome.job for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.job == name]
        full = sum(outcome.failed for outcome in own)
        rows.append([name, str(len(own)), str(full), str(sum(len(outcome.faults) for outcome in own))])
    note = "Each command on disks that are too small, then again with more space."
    return Table("Full disk", note, ["command", "disks", "too small", "faults"], rows)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.benchmarks.full_disk", description="Fill disks.")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder")
    parser.add_argument("--commands", nargs="+", choices=[job.name for job in JOBS], default=[job.name for job in JOBS])
    parser.add_argument(
        "--shares", nargs="+", type=float, default=SHARES, help="sizes of the disks (default: %(default)s)"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        if not arguments.inside:
            command = [sys.executable, "-m", "eval.benchmarks.full_disk", *sys.argv[1:], "--inside"]
            os.execvp("unshare", in_namespace(command))
        if arguments.out.exists():
            raise UserError(f"{arguments.out} exists; choose another folder")
        outcomes = run_jobs(arguments.out, arguments.commands, arguments.shares)
    except UserError as error:
        sys.exit(f"error: {error}")
    table = tabulate(outcomes)
    print(f"{table.title}: {table.note}\n{table.text()}")
    faults = [f"{outcome.job} at {outcome.share:g}: {fault}" for outcome in outcomes for fault in outcome.faults]
    (arguments.out / "outcomes.json").write_text(json.dumps([vars(outcome) for outcome in outcomes], indent=1))
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    _main()
