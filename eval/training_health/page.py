"""The page of a run's health: the findings, the curves behind them, and audio samples over the steps."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from codec import audio
from codec.config import Recipe
from codec.recipe import read_recipe
from codec.runtime.command import command_line
from codec.runtime.text import format_duration
from codec.training.metrics_log import Curve, Curves, read_curves
from codec.training.run_folder import ORIGINAL_FOLDER, SOUNDS_FOLDER, audio_sample_folders, earlier_recipes, read_result
from codec.training.status import codebook_curves, speed_curve
from eval.pages.page import Tile, write_page
from eval.pages.players import ORIGINAL, AudioVersion, PlayedClip
from eval.pages.plots import DECODED, FAINT, MUTED, legend_above, loss_curves_svg, style, svg
from eval.pages.plots import ORIGINAL as BLUE
from eval.pages.spectrograms import data_url
from eval.pages.text_table import Table
from eval.training_health.examine import RunHealth, heard_table, kept_step
from eval.training_health.findings import ACCURACY_TOO_HIGH, ACCURACY_TOO_LOW, list_unrecorded

_COLUMNS = 48
"""Largest number of validations in the map of codebooks."""
_FEWEST = 8
"""Training batches are drawn, in addition to the curves of training and validation, if there are at least this many."""
_NARROWEST = 0.3
"""Smallest range of shares that the colours of the map span; else small differences would look large."""
_POINTS = 300
"""Largest number of points of a curve; longer curves are drawn as means."""


@dataclass(frozen=True)
class CodebookCell:
    """A codebook at a validation, in the map of codebooks."""

    column: int
    row: int
    share: float
    """Perplexity relative to the size of the codebook."""
    title: str
    """Text that is shown when the pointer is over the cell."""


@dataclass(frozen=True)
class CodebookMap:
    """The perplexity of all codebooks, a column per validation."""

    cells: list[CodebookCell]
    columns: int
    rows: int
    low: float
    high: float
    """Share that is darkest; ``low`` is the one that is lightest."""

    def darkness(self, cell: CodebookCell) -> float:
        """Return the darkness of a cell.

        Args:
            cell: cell of the map.

        Returns:
            0 to 1.
        """
        return (cell.share - self.low) / (self.high - self.low)


def write_health_page(health: RunHealth, run: Path, path: Path) -> None:
    """Write the page.

    Args:
        health: findings about the run.
        run: folder of the run.
        path: path of the HTML file.

    Raises:
        UserError: the file cannot be written.
    """
    curves, recipe = read_curves(run), read_recipe(str(run / "recipe.yaml"))
    drawn = {
        (split, term): _thin(curve)
        for (split, term), curve in curves.items()
        if split != "train" or len(curve) >= _FEWEST or not {("val", term), ("train_fixed", term)} & curves.keys()
    }
    weighted, others = _terms(curves, recipe)
    sounds = _clips(run / SOUNDS_FOLDER, kept_step(run, read_result(run)))
    write_page(
        path,
        "health.html.j2",
        title=health.run,
        kind="training health",
        made=health.made,
        health=health,
        tiles=_tiles(health),
        losses=[_loss(drawn, term, health) for term in weighted],
        other_losses=[_loss(drawn, term, health) for term in others],
        gradients=_gradients(drawn, recipe),
        discriminator=_discriminator(drawn),
        speed=_speed(drawn, recipe),
        map=_map(curves, recipe),
        books=_books(curves, recipe),
        clips=sounds,
        heard=heard_table(health.heard) if health.heard else None,
        missing=list_unrecorded(curves, recipe, bool(sounds), health.heard is not None),
        command=command_line("codec", "health", health.run),
        recipe=(run / "recipe.yaml").read_text(encoding="utf-8"),
        earlier={step: path.read_text(encoding="utf-8") for step, path in earlier_recipes(run).items()},
    )


def _thin(curve: Curve) -> Curve:
    """Reduce a curve to :data:`_POINTS` means of neighbouring points."""
    if len(curve) <= _POINTS:
        return curve
    parts = np.array_split(np.arange(len(curve)), _POINTS)
    steps, values = np.array(curve.steps), np.array(curve.values)
    return Curve(tuple(int(steps[part].mean()) for part in parts), tuple(float(values[part].mean()) for part in parts))


def _terms(curves: Curves, recipe: Recipe) -> tuple[list[str], list[str]]:
    """Return the terms that training minimises, the sum first, and those that it only records."""
    there = [term for split, term in curves if split == "val" and ("train_fixed", term) in curves]
    weighted = [term for term in ("total", *recipe.losses) if term in there]
    weighted = [term for term in weighted if term == "total" or recipe.losses[term]]
    return weighted, [term for term in there if term not in weighted]


def _loss(curves: dict[tuple[str, str], Curve], term: str, health: RunHealth) -> Markup:
    since = health.diagnosis.since if term == health.diagnosis.term else None
    return loss_curves_svg(curves, term, "all terms, weighted" if term == "total" else term, since, None)


def _tiles(health: RunHealth) -> list[Tile]:
    found = health.standing
    if found is None:
        return []
    trained = "" if found.training is None else f"training {found.training:.4g}"
    tiles = [
        Tile("Done", f"{found.share:.0%}", f"step {found.step:,}"),
        Tile("Validation loss", f"{found.validation:.4g}", trained),
    ]
    if found.left_s:
        tiles.insert(1, Tile("Left", format_duration(found.left_s), "validations included"))
    if found.audio_s_per_s is not None:
        tiles.append(Tile("Speed", f"{found.audio_s_per_s:.0f}×", "seconds of audio per second, last measured"))
    if found.gradient is not None:
        clipped = "median" if found.clipped is None else f"{found.clipped:.0%} of steps clipped"
        tiles.append(Tile("Gradient norm", f"{found.gradient:.3g}", clipped))
    if found.usage is not None:
        tiles.append(Tile("Unused codes", f"{found.usage.unused:.0%}", f"perplexity {found.usage.perplexity:.0f}"))
    if found.right is not None:
        tiles.append(Tile("Discriminator accuracy", f"{found.right:.0%}", "50% is a guess"))
    return tiles


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.4, 3.0), layout="constrained")
    return figure, figure.subplots()


def _finished(figure: Figure, axes: Axes, name: str, label: str, legend: bool = True) -> Markup:
    style(axes, "step", label)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if legend:
        legend_above(figure)
    return svg(figure, name, f"{label} over steps")


def _plot(axes: Axes, curve: Curve | None, colour: str, label: str, width: float = 1.6) -> bool:
    if curve is None:
        return False
    marker = "o" if len(curve) < 40 else ""
    axes.plot(curve.steps, curve.values, color=colour, lw=width, marker=marker, ms=3, label=label)
    return True


def _gradients(curves: Curves, recipe: Recipe) -> Sequence[Markup]:
    pictures = []
    for name, owner, bound in (("grad_norm", "codec", recipe.optim.clip_norm), ("discriminator_grad_norm", "", None)):
        figure, axes = _axes()
        drawn = _plot(axes, curves.get(("train", f"{name}_max")), FAINT, "largest", 1.0)
        colour = DECODED if owner else BLUE
        drawn = _plot(axes, curves.get(("train", name)), colour, "median" if drawn else "at single steps") or drawn
        if bound is not None:
            axes.axhline(bound, color=MUTED, lw=1, ls=(0, (1, 2.5)), label="clipped above")
        if drawn:
            low, high = axes.get_ylim()
            if low <= 0 or high > 10 * low:
                axes.set_yscale("log")
                axes.yaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_formatter("{x:g}")
            label = f"gradient norm, {owner or 'discriminator'}"
            pictures.append(_finished(figure, axes, name.replace("_", "-"), label))
    return pictures


def _discriminator(curves: Curves) -> Sequence[Markup]:
    figure, axes = _axes()
    if not _plot(axes, curves.get(("train", "discriminator_right")), BLUE, "accuracy"):
        return []
    for bound in (ACCURACY_TOO_LOW, ACCURACY_TOO_HIGH):
        axes.axhline(bound, color=MUTED, lw=1, ls=(0, (1, 2.5)))
    axes.set_ylim(min(0.45, axes.get_ylim()[0]), 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    pictures = [_finished(figure, axes, "right", "discriminator accuracy", legend=False)]
    figure, axes = _axes()
    _plot(axes, curves.get(("train", "real_score")), BLUE, "real audio")
    _plot(axes, curves.get(("train", "fake_score")), DECODED, "decoded audio")
    return [*pictures, _finished(figure, axes, "scores", "mean score")]


def _speed(curves: Curves, recipe: Recipe) -> Markup | None:
    figure, axes = _axes()
    if not _plot(axes, speed_curve(curves, recipe), BLUE, "", 1.2):
        return None
    axes.set_ylim(bottom=0)
    return _finished(figure, axes, "speed", "seconds of audio per second", legend=False)


def _map(curves: Curves, recipe: Recipe) -> CodebookMap | None:
    """Compute perplexity relative to the size of the codebook, a column per validation."""
    size, cells = recipe.codec.quantizer.size, []
    used = codebook_curves(curves, "usage")
    for row, curve in enumerate(codebook_curves(curves, "perplexity")):
        chosen = np.unique(np.linspace(0, len(curve) - 1, min(_COLUMNS, len(curve))).round().astype(int))
        for column, index in enumerate(chosen):
            step, value = curve.steps[index], curve.values[index]
            title = f"step {step:,}, codebook {row + 1}: perplexity {value:.0f} of {size:,}"
            if row < len(used):
                title += f", {1 - used[row].at(step):.0%} unused"
            cells.append(CodebookCell(column, row, min(1.0, value / size), title))
    if not cells:
        return None
    high = math.ceil(10 * max(cell.share for cell in cells)) / 10
    low = max(0.0, min(math.floor(10 * min(cell.share for cell in cells)) / 10, high - _NARROWEST))
    return CodebookMap(cells, max(cell.column for cell in cells) + 1, max(cell.row for cell in cells) + 1, low, high)


def _books(curves: Curves, recipe: Recipe) -> Table | None:
    """Tabulate the codebooks at the last validation."""
    used, perplexity = (codebook_curves(curves, name) for name in ("usage", "perplexity"))
    if not used:
        return None
    rows = [
        [
            f"{index + 1}",
            f"{count.values[-1]:.0f}",
            f"{1 - share.values[-1]:.0%}",
            f"{max(1 - v for v in share.values):.0%}",
        ]
        for index, (share, count) in enumerate(zip(used, perplexity))
    ]
    note = f"Of {recipe.codec.quantizer.size:,} entries each."
    return Table("Codebooks", note, ["codebook", "perplexity", "unused", "most unused"], rows)


def _clips(sounds: Path, best: int | None) -> list[PlayedClip]:
    there = audio_sample_folders(sounds)
    names = {ORIGINAL: sounds / ORIGINAL_FOLDER}
    names |= {f"{step:,} (best)" if step == best else f"{step:,}": folder for step, folder in there.items()}
    clips: list[PlayedClip] = []
    for original in sorted((sounds / ORIGINAL_FOLDER).glob("clip_*.flac")) if there else []:
        found = []
        for name, folder in names.items():
            with contextlib.suppress(FileNotFoundError):  # a run in progress keeps some versions for a while only
                found.append(AudioVersion(name, data_url("audio/flac", (folder / original.name).read_bytes())))
        header = audio.info(original)
        clips.append(PlayedClip(f"Clip {len(clips) + 1}", header.seconds or 0.0, found))
    return clips
