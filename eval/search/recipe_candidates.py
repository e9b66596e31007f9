"""Candidates that are recipes: each is trained for a while, and goes on from its checkpoint if it is good.

Codes are judged under tables of order 0, so candidates do without contexts, whose votes take long to learn.
"""

from dataclasses import replace
from pathlib import Path

from codec.config import CodecConfig, Recipe
from codec.losses import CompositeLoss
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from codec.recipe import read_recipe
from codec.runtime.atomic_files import write_text
from codec.training.trainer import TrainingOptions, train
from eval.benchmarks.speed import build_untrained
from eval.comparison.budget import MANY
from eval.evaluation.candidate_scoring import ScoringOptions, score_candidate
from eval.evaluation.codec_scores import CodecScores
from eval.search.cost import Size
from eval.search.exclusive_timing import Turns
from eval.search.plan import SearchPlan
from eval.search.space import Settings
from eval.systems.architectures import PLAIN, SpeedSubject, count_parameters


class Designs:
    """What a search asks about candidates of this kind."""

    def __init__(self, plan: SearchPlan, data: Path, out: Path):
        self.plan, self.data, self.turns = plan, data, Turns(out)
        default = self._recipe({})
        self.sample_rate, self.channels = default.codec.sample_rate, default.data.channels
        self.reference = _system("the default", default.codec)

    def _recipe(self, settings: Settings) -> Recipe:
        recipe = self.plan.recipe_with(settings)
        quantizer = replace(recipe.codec.quantizer, contexts=1)
        return replace(
            recipe,
            codec=replace(recipe.codec, quantizer=quantizer),
            train=replace(recipe.train, patience=0, stop_on_collapse=False),
        )

    def size(self, settings: Settings) -> Size:
        """Raises ``UserError`` where the settings make no recipe."""
        recipe = self._recipe(settings)
        CompositeLoss(recipe.losses, recipe.codec.sample_rate, recipe.codec.hop)  # refuses unknown ones
        return Size(count_parameters(build_untrained(recipe.codec)), recipe.codec.latency_ms)

    def system(self, settings: Settings) -> SpeedSubject:
        return _system("the candidate", self._recipe(settings).codec)

    def codec(self, settings: Settings) -> Codec:
        return build_untrained(self._recipe(settings).codec)

    def judge(self, settings: Settings, folder: Path, rung: int, seed: int) -> CodecScores:
        """Trains up to the end of the rung, from where the rung before ended, and judges with all codebooks. A new seed
        climbs all rungs, too."""
        run = folder / f"seed{seed}"
        for step in range(rung + 1):
            finished = folder / f"seed{seed}-rung{step}.txt"
            if not finished.is_file():
                recipe = self._limited(settings, run, step, seed)
                options = TrainingOptions(fit_tables=False, keep_audio_samples=False, step_lock=self.turns)
                result = train(recipe, self.data, run, quiet=True, options=options)
                write_text(finished, f"{result.steps} steps, {result.minutes:.2f} minutes\n")
        codec = load_codec(run)
        full = codec.config.quantizer.codebooks * codec.config.kbps_per_codebook * self.channels
        scoring = ScoringOptions([full], self.plan.clips, [self.plan.metric])
        with self.turns:
            return score_candidate(codec, self.data, self.channels, scoring, folder.name)[0]

    def _limited(self, settings: Settings, run: Path, rung: int, seed: int) -> Recipe:
        """There is a validation at the end of each rung, and between rungs one each first rung's length."""
        first, budget = self.plan.budget(0), self.plan.budget(rung)
        if (run / "recipe.yaml").is_file():
            recipe = read_recipe(str(run / "recipe.yaml"))
        else:
            recipe = self._recipe(settings)
            recipe = replace(recipe, train=replace(recipe.train, seed=seed))
            own = "adversarial.start_step" in {**self.plan.settings, **settings}
            recipe = first.limit(recipe, first.expected_steps(recipe, self.data), 1, own_start=own)
        most = budget.steps or MANY * recipe.train.validate_every * self.plan.factor**rung
        return replace(recipe, train=replace(recipe.train, steps=most, max_minutes=budget.minutes))


def _system(name: str, config: CodecConfig) -> SpeedSubject:
    codec = build_untrained(config)
    kbps = config.quantizer.codebooks * config.kbps_per_codebook
    return SpeedSubject(name, PLAIN, config.sample_rate, kbps, count_parameters(codec), codec.encode, codec.decode)
