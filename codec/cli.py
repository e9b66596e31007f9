"""The command line: the only place that knows all rooms, each imported when its command runs."""

import argparse
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, NoReturn

from codec import interrupts
from codec.errors import UserError

Command = Callable[[argparse.Namespace, list[str]], int]
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, interrupts.STATUS
MODEL_VARIABLE, DEFAULT_MODEL = "LATHE_MODEL", "speech_16k"


def main(words: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0 done, 1 some of many files failed, 2 bad input, 130 interrupted."""
    # OpenMP threads that spin while they wait slow training a hundredfold where other work shares the cores (measured);
    # this must be set before torch is imported
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be valid UTF-8
    try:
        status = _run(words)
        sys.stdout.flush()
    except UserError as error:
        status = _complain(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        status = _complain(interrupts.MESSAGE, INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone, as `codec info … | head` does
        status = 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        status = _complain(f"{place}{error.strerror or error}", BAD_INPUT)
    _drop_unprintable()
    sys.exit(status)


def _run(words: Sequence[str] | None) -> int:
    parser = build_parser()
    arguments, rest = parser.parse_known_args(words)
    if rest and arguments.command != "train":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return int(arguments.run_command(arguments, rest))


def _complain(message: str, status: int) -> int:
    print(f"codec: error: {message}", file=sys.stderr)
    return status


def _drop_unprintable() -> None:
    """What cannot be printed is not tried once more when the process ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """One line for wrong arguments, like for all bad input; no abbreviations, which new options would break."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text}")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="codec",
        description="Train, test and use neural audio codecs: from a folder of audio to a judged codec.",
        epilog="codec COMMAND --help explains each. To see it all at work in a few minutes: codec quickstart",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Command, summary: str, description: str = "") -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=description or f"{summary[0].upper()}{summary[1:]}.",
        )
        added.set_defaults(run_command=run)
        return added

    _add_quickstart(command)
    _add_prepare(command)
    _add_train(command)
    _add_coding(command)
    _add_export(command)
    _add_evaluate(command)
    _add_speed(command)
    _add_compare(command)
    return parser


# --- quickstart ---------------------------------------------------------------------------------


def _add_quickstart(command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = command("quickstart", _quickstart, "audio to trained, judged codec in a few minutes, ending in a report")
    parser.add_argument("--audio", type=Path, metavar="DIR", help="your own audio (default: a small synthetic corpus)")
    parser.add_argument("--out", type=Path, default=Path("lathe-quickstart"), metavar="DIR", help="%(default)s")


def _quickstart(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        from codec.quickstart import quickstart

    quickstart(arguments.audio, arguments.out)
    return 0


# --- prepare ------------------------------------------------------------------------------------


def _add_prepare(command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = command(
        "prepare",
        _prepare,
        "folders of audio to checked, split and packed training data",
        "Takes folders of audio, CSV or JSONL manifests, LibriSpeech and LibriTTS. Every file is decoded and checked"
        " once; what is left out stands with its reason in OUT/manifest.csv. The split is disjoint by group (speaker,"
        " recording, track) and stable: run it again when files were added, and no group moves.",
    )
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="folder or manifest")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="data folder to write")
    parser.add_argument("--recipe", default="speech_16k", help="whose rate, channels and target to use (%(default)s)")
    parser.add_argument("--rate", type=_positive, metavar="HZ", help="sample rate, in place of the recipe's")
    parser.add_argument("--channels", type=int, choices=(1, 2), help="channels, in place of the recipe's")
    parser.add_argument("--ratios", default="8:1:1", help="train:val:test, e.g. 9:0.5:0.5 or 6:2:2 (%(default)s)")
    parser.add_argument(
        "--group-by",
        metavar="RULE",
        help="what must not be split: level:N (folder level), regex:PATTERN (its first group), column:NAME (of the"
        " manifest); default: the manifest's group column, else the file's folder, else the file",
    )
    parser.add_argument("--domain", action="append", default=[], metavar="NAME", help="take only this domain (repeat)")
    parser.add_argument("--seed", type=int, default=0, help="of the split (%(default)s)")
    parser.add_argument("--min-seconds", type=float, default=0.5, help="shorter files are left out (%(default)s)")
    parser.add_argument("-j", "--workers", type=_positive, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _prepare(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        from codec.recipe import read_recipe
        from data_prep.prepare import prepare

    recipe = read_recipe(arguments.recipe)
    summary = prepare(
        arguments.sources,
        arguments.out,
        sample_rate=arguments.rate or recipe.codec.sample_rate,
        channels=arguments.channels or recipe.data.channels,
        ratios=arguments.ratios,
        group_by=arguments.group_by,
        domains=arguments.domain,
        seed=arguments.seed,
        min_seconds=arguments.min_seconds,
        target=recipe.target,
        workers=arguments.workers,
    )
    _show(summary, arguments.json)
    return 0


# --- train --------------------------------------------------------------------------------------


def _add_train(command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = command(
        "train",
        _train,
        "train a codec from a recipe; the same command again resumes",
        "Any setting of the recipe can be overridden: codec train speech_16k --data D --run R --optim.lr 3e-4",
    )
    parser.add_argument("recipe", help="name of a recipe, or path of a YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by codec prepare")
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of the run: checkpoints, curves, model")
    parser.add_argument(
        "--init-from", metavar="MODEL", help="fine-tune this model (folder of a run or model, or a built-in name)"
    )
    parser.add_argument("--lr-range-test", action="store_true", help="find a learning rate instead of training")


def _train(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        from codec.library import find
        from codec.recipe import read_recipe
        from codec.training.run import range_test, train

    recipe = read_recipe(arguments.recipe, rest)
    if arguments.lr_range_test:
        print(range_test(recipe, arguments.data).text())
        return 0
    if arguments.run is None:
        raise UserError("where should the run go? give a folder with --run")
    parent = find(arguments.init_from) if arguments.init_from else None
    result = train(recipe, arguments.data, arguments.run, init_from=parent)
    print(f"stopped after {result.steps} steps ({result.stopped}), {result.minutes:.1f} minutes of training")
    print(
        f"best at step {result.best_step}, validation loss {result.best_validation_loss:.4f}: {arguments.run / 'model'}"
    )
    print(f"next: codec evaluate {arguments.run} --data {arguments.data}")
    return 0


# --- encode, decode, info, models ---------------------------------------------------------------


def _add_coding(command: Callable[..., argparse.ArgumentParser]) -> None:
    encode = command(
        "encode",
        _encode,
        "sound files to .nac files",
        "Sound files to .nac files, range-coded. For --kbps a file gets the largest number of codebooks whose expected"
        " rate is not above it, and at least one. Expected is what the model's statistics of codes say, packet lengths"
        " and checksums included; a file comes out lower or higher as its sound is plainer or richer than that.",
    )
    encode.add_argument("inputs", type=Path, nargs="+", metavar="IN", help="sound files, or folders of them")
    encode.add_argument(
        "--kbps", type=float, help="bit rate to stay within, as expected, channels together (default: all codebooks)"
    )
    decode = command("decode", _decode, ".nac files to sound files")
    decode.add_argument("inputs", type=Path, nargs="+", metavar="IN", help=".nac files, or folders of them")
    decode.add_argument("--suffix", default=".wav", choices=(".wav", ".flac", ".ogg"), help="format (%(default)s)")
    for parser, default in (
        (encode, f"the variable {MODEL_VARIABLE}, else {DEFAULT_MODEL}"),
        (decode, f"the one that each file names, of {MODEL_VARIABLE} and the built-in ones"),
    ):
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to; trees are kept")
        parser.add_argument("--model", help=f"a built-in model, or the folder of a run or model (default: {default})")
        parser.add_argument("--force", action="store_true", help="write again what is there already")
        parser.add_argument("--threads", type=_positive, default=1, help="of the matrix products (%(default)s)")
        parser.add_argument("--json", action="store_true", help="print the results as JSON")
    info = command("info", _info, "what a .nac file holds, and whether it is whole")
    info.add_argument("inputs", type=Path, nargs="+", metavar="FILE")
    info.add_argument("--json", action="store_true", help="print as JSON")
    models = command(
        "models",
        _models,
        "the models at hand: built in, and the one that LATHE_MODEL names",
        "The models at hand, with the fingerprint that is in the files they write, and the bit rates to expect of one"
        " channel with one codebook and with all.",
    )
    models.add_argument("--json", action="store_true", help="print as JSON")


def _encode(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        import torch

        from codec.batch import encode_batch
        from codec.checkpoint import load_model
        from codec.library import find

    torch.set_num_threads(arguments.threads)
    codec = load_model(find(arguments.model or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL))
    return _report(
        encode_batch(arguments.inputs, arguments.out, codec, kbps=arguments.kbps, force=arguments.force),
        arguments,
    )


def _decode(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        import torch

        from codec.batch import decode_batch
        from codec.checkpoint import load_model
        from codec.library import find, finder

    torch.set_num_threads(arguments.threads)
    codec = load_model(find(arguments.model)) if arguments.model else finder(_own_models())
    return _report(
        decode_batch(arguments.inputs, arguments.out, codec, suffix=arguments.suffix, force=arguments.force),
        arguments,
    )


def _own_models() -> list[Path]:
    """What LATHE_MODEL names, if anything."""
    from codec.library import find

    return [find(name)] if (name := os.environ.get(MODEL_VARIABLE)) else []


def _models(arguments: argparse.Namespace, rest: list[str]) -> int:
    from codec.library import built_in, describe

    places = built_in() | {str(path): path for path in _own_models()}
    found = [describe(name, place) for name, place in places.items()]
    if arguments.json:
        print(json.dumps([asdict(model) for model in found], indent=1))
    elif not found:
        print("no built-in model in this installation; train one with: codec train")
    else:
        width = max(len("model"), *(len(model.name) for model in found))
        print(f"{'model':{width}}  {'fingerprint':16}  {'Hz':>6}  {'kbit/s':>12}  {'parameters':>10}")
        for model in found:
            rates = f"{model.min_kbps:.2f} – {model.max_kbps:.2f}"
            print(
                f"{model.name:{width}}  {model.fingerprint}  {model.sample_rate:>6}  {rates:>12}"
                f"  {model.parameters / 1e6:>8.2f} M"
            )
    return 0


def _report(batch: Any, arguments: argparse.Namespace) -> int:
    done = [
        {
            "source": str(report.source),
            "target": str(report.target),
            "seconds": report.seconds,
            "bytes": report.bytes_total,
            "kbps": report.kbps,
            "times_real_time": report.times_real_time,
        }
        for report in batch.reports
    ]
    failed = [{"source": str(failure.path), "reason": failure.reason} for failure in batch.failures]
    for failure in batch.failures:
        _complain(failure.reason, FAILED)
    if arguments.json:
        print(json.dumps({"done": done, "skipped": [str(path) for path in batch.skipped], "failed": failed}, indent=1))
    else:
        seconds = sum(report.seconds for report in batch.reports)
        line = f"{len(done)} done, {len(batch.skipped)} were there already, {len(failed)} failed"
        if seconds:
            size = sum(report.bytes_total for report in batch.reports)
            elapsed = sum(report.elapsed_seconds for report in batch.reports)
            line += (
                f"; {seconds / 60:.1f} minutes of audio, {8 * size / seconds / 1000:.2f} kbit/s,"
                f" {seconds / elapsed:.0f} x real time"
            )
        print(line)
    return FAILED if failed else 0


def _info(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        from codec.files import file_info

    found, status = [], 0
    for path in arguments.inputs:
        try:
            found.append(file_info(path))
            if damaged := found[-1]["damaged_packets"]:
                status = _complain(f"{path}: {len(damaged)} damaged packets; encode the source again", FAILED)
        except UserError as error:
            status = _complain(str(error), FAILED)
    if arguments.json:
        print(json.dumps(found, indent=1, default=str))
    else:
        print("\n\n".join("\n".join(f"{name}: {value}" for name, value in info.items()) for info in found))
    return status


# --- export -------------------------------------------------------------------------------------


def _add_export(command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = command("export", _export, "a model to keep or pass on: half the size, without what only training needs")
    parser.add_argument("run", help="folder of a run or model")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")


def _export(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        from codec.checkpoint import export_model, fingerprint
        from codec.library import find

    codec = export_model(find(arguments.run), arguments.out)
    print(f"{arguments.out}: model {fingerprint(codec)}")
    return 0


# --- evaluate -----------------------------------------------------------------------------------


def _add_evaluate(command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = command(
        "evaluate",
        _evaluate,
        "open the sealed test split and judge a run on it; writes an HTML report",
        "Each opening of the test split is recorded in a ledger beside the data. Tune on the validation split; open the"
        " test split when you are done.",
    )
    parser.add_argument("run", help="folder of the run, or name of a built-in model")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by codec prepare")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the report goes (default: RUN/evaluation)")
    parser.add_argument(
        "--codebooks",
        type=_positive,
        nargs="+",
        default=[],
        metavar="N",
        help="judge with N codebooks (default: all); further numbers have rows beside the first",
    )
    parser.add_argument(
        "--opus", type=float, nargs="+", default=[], metavar="KBPS", help="judge Opus on the same clips"
    )
    parser.add_argument("--clips", type=_positive, metavar="N", help="judge at most N clips, spread over the groups")
    parser.add_argument("-j", "--workers", type=_positive, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def _evaluate(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        from codec.library import built_in
        from eval.evaluate import evaluate

    run = built_in().get(arguments.run)
    if run and arguments.out is None:
        raise UserError(f"{arguments.run} is a built-in model; say with --out where its report should go")
    result = evaluate(
        run or Path(arguments.run),
        arguments.data,
        out=arguments.out,
        codebooks=arguments.codebooks,
        opus=arguments.opus,
        max_clips=arguments.clips,
        workers=arguments.workers,
    )
    _show(result, arguments.json)
    return 0


# --- speed --------------------------------------------------------------------------------------


def _add_speed(command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = command(
        "speed",
        _speed,
        "encode and decode speed, latency, memory, work; beside peers that are installed",
        "Times recipes (architecture with random weights) and models in float32, all taking turns in one run, and"
        " measures latency, receptive field, memory and where time goes. Let nothing else run meanwhile. Takes about"
        " 2 minutes, with --peers 8.",
    )
    parser.add_argument(
        "systems",
        nargs="*",
        metavar="MODEL_OR_RECIPE",
        help="recipe name or path, or folder of a run or model (default: speech_24k speech_16k)",
    )
    parser.add_argument("--peers", action="store_true", help="time the peers installed, too (pip install '.[peers]')")
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[10.0, 60.0], metavar="S", help="lengths of the clips (10 60)"
    )
    parser.add_argument("--rounds", type=_positive, default=5, help="how often each is timed (%(default)s)")
    parser.add_argument("--threads", type=_positive, default=1, help="of the matrix products (%(default)s)")
    parser.add_argument("--training", action="store_true", help="time training steps, too")
    parser.add_argument("--compile", action="store_true", help="best against best with torch.compile on both sides")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write a Markdown page, too")


def _speed(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        from eval.speed import DEFAULT_SYSTEMS, speed

    if arguments.out and not arguments.out.parent.is_dir():
        raise UserError(f"{arguments.out}: no such folder; create it first")
    result = speed(
        arguments.systems or DEFAULT_SYSTEMS,
        peers=arguments.peers,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        threads=arguments.threads,
        training=arguments.training,
        compiled=arguments.compile,
        command=_command_line(arguments),
    )
    _show(result, arguments.json)
    if arguments.out:
        arguments.out.write_text(result.markdown(), encoding="utf-8")
    return 0


def _command_line(arguments: argparse.Namespace) -> str:
    """What to type for the same measurement."""
    words = ["codec", "speed", *arguments.systems]
    words += [f"--{name}" for name in ("peers", "training", "compile") if getattr(arguments, name)]
    words += ["--seconds", *(f"{length:g}" for length in arguments.seconds)]
    words += ["--rounds", str(arguments.rounds), "--threads", str(arguments.threads)]
    return shlex.join(words + (["--out", str(arguments.out)] if arguments.out else []))


# --- compare ------------------------------------------------------------------------------------


def _add_compare(command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = command(
        "compare",
        _compare,
        "train several codecs on the same data and tabulate their validation quality",
        "Trains the candidates of a plan (recipes/compare, or your own) with the same loop, losses and budget, and"
        " judges them on validation clips at several bit rates, differences paired over speakers. Writes"
        " OUT/comparison.md, comparison.json and curves.png. The same command goes on after an interruption; what is"
        " trained is kept.",
    )
    parser.add_argument("plan", help="name of a plan, such as peers, equal_examples, ablation; or path of a YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by codec prepare")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where runs and tables go")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="of training for each candidate, in place of the plan's budget")
    budget.add_argument("--steps", type=int, help="for each candidate, in place of the plan's budget")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="for every candidate, in place of the plan's")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="train these candidates alone")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def _compare(arguments: argparse.Namespace, rest: list[str]) -> int:
    from eval.compare import compare

    result = compare(
        arguments.plan,
        arguments.data,
        arguments.out,
        minutes=arguments.minutes,
        steps=arguments.steps,
        seeds=arguments.seeds,
        only=arguments.only,
    )
    _show(result, arguments.json)
    return FAILED if result.failed else 0


def _show(result: Any, as_json: bool) -> None:
    assert is_dataclass(result) and not isinstance(result, type)
    if as_json:
        print(json.dumps(asdict(result), indent=1, default=str))
    else:
        print(result.text())  # type: ignore[attr-defined]
