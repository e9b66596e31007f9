"""Candidates that are recipes: each is trained for a while, and trained on from its checkpoint if it is promoted.

Bits are counted under order-0 tables, so candidates have no contexts, which take long to fit.
"""

from dataclasses import replace
from pathlib import Path

from codec.config import CodecConfig, Recipe
from codec.dataset.location import DataLocation
from codec.losses import CompositeLoss
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from codec.recipe import read_recipe
from codec.runtime.atomic_files import write_text
from codec.training.trainer import TrainingOptions, train
from eval.benchmarks.speed import build_untrained
from eval.comparison.budget import STEPS_MARGIN
from eval.evaluation.candidate_scoring import ScoringOptions, score_candidate
from eval.evaluation.codec_scores import CodecScores
from eval.search.cost import Size
from eval.search.exclusive_timing import ExclusiveTiming
from eval.search.plan import SearchPlan
from eval.search.space import CandidateSettings, single_settings
from eval.systems.architectures import SpeedSubject, count_module_parameters


class RecipeCandidates:
    """The candidates of a search of recipes; see :class:`eval.search.run.CandidateType`.

    Args:
        plan: plan of the search.
        data: prepared data.
        out: folder of the search.
    """

    def __init__(self, plan: SearchPlan, data: DataLocation, out: Path):
        self._plan, self._data, self._timing = plan, data, ExclusiveTiming(out)
        default = self._recipe({})
        self.sample_rate, self.channels = default.codec.sample_rate, default.data.channels
        self.reference = _make_subject("the default", default.codec)

    def _recipe(self, settings: CandidateSettings) -> Recipe:
        recipe = self._plan.recipe_with(settings)
        quantizer = replace(recipe.codec.quantizer, contexts=1)
        return replace(
            recipe,
            codec=replace(recipe.codec, quantizer=quantizer),
            train=replace(recipe.train, patience=0, stop_on_collapse=False),
        )

    def size(self, settings: CandidateSettings) -> Size:
        """Compute size and latency.

        Args:
            settings: settings of a candidate.

        Returns:
            Number of parameters and algorithmic latency.

        Raises:
            UserError: the settings make no recipe.
        """
        recipe = self._recipe(settings)
        CompositeLoss(recipe.losses, recipe.codec.sample_rate, recipe.codec.hop)  # raises an error for unknown losses
        return Size(count_module_parameters(build_untrained(recipe.codec)), recipe.codec.latency_ms)

    def system(self, settings: CandidateSettings) -> SpeedSubject:
        """Build the untrained codec as a subject of timing.

        Args:
            settings: settings of a candidate.

        Returns:
            Functions that encode and decode.
        """
        return _make_subject("the candidate", self._recipe(settings).codec)

    def codec(self, settings: CandidateSettings) -> Codec:
        """Build the untrained codec.

        Args:
            settings: settings of a candidate.

        Returns:
            The codec.
        """
        return build_untrained(self._recipe(settings).codec)

    def score(self, settings: CandidateSettings, folder: Path, rung: int, seed: int) -> CodecScores:
        """Train up to the end of a rung, from the end of the rung before, and score with all codebooks.

        Args:
            settings: settings of the candidate.
            folder: folder of the candidate.
            rung: number of the rung, from 0. With a new seed, all earlier rungs are also trained.
            seed: seed of the training.

        Returns:
            Scores of all validation clips.

        Raises:
            UserError: the training fails.
        """
        run = folder / f"seed{seed}"
        for number in range(rung + 1):
            finished = folder / f"seed{seed}-rung{number}.txt"
            if not finished.is_file():
                recipe = self._recipe_for_rung(settings, run, number, seed)
                options = TrainingOptions(
                    fit_tables=False, keep_audio_samples=False, step_lock=self._timing, alone=True
                )
                result = train(recipe, self._data, run, quiet=True, options=options)
                write_text(finished, f"{result.steps} steps, {result.minutes:.2f} minutes\n")
        codec = load_codec(run)
        full = codec.config.quantizer.codebooks * codec.config.kbps_per_codebook * self.channels
        scoring = ScoringOptions([full], self._plan.clips, [self._plan.metric])
        with self._timing:
            return score_candidate(codec, self._data, self.channels, scoring, folder.name)[0]

    def _recipe_for_rung(self, settings: CandidateSettings, run: Path, rung: int, seed: int) -> Recipe:
        """Return the recipe with the budget of a rung. There is a validation at the end of each rung; between the ends
        there is one after every length of the first rung.
        """
        first, budget = self._plan.budget(0), self._plan.budget(rung)
        if (run / "recipe.yaml").is_file():
            recipe = read_recipe(str(run / "recipe.yaml"))
        else:
            recipe = self._recipe(settings)
            recipe = replace(recipe, train=replace(recipe.train, seed=seed))
            own_start = "adversarial.start_step" in {**self._plan.settings, **single_settings(settings)}
            expected = first.expected_steps(recipe, self._data)
            recipe = first.limit_recipe(recipe, expected, 1, own_start=own_start)
        most = budget.steps or STEPS_MARGIN * recipe.train.validate_every * self._plan.factor**rung
        return replace(recipe, train=replace(recipe.train, steps=most, max_minutes=budget.minutes))


def _make_subject(name: str, config: CodecConfig) -> SpeedSubject:
    codec = build_untrained(config)
    kbps = config.quantizer.codebooks * config.kbps_per_codebook
    return SpeedSubject(name, config.sample_rate, kbps, count_module_parameters(codec), codec.encode, codec.decode)
