"""Samplers and their storage."""

import json

import pytest

from codec.errors import UserError
from eval.search.plan import read_search_plan
from eval.search.sampler import CandidateSampler, open_storage
from tests.helpers.plans import write_search_plan


def test_proposals_are_in_the_space_and_do_not_depend_on_interruptions_or_the_storage(tmp_path):
    plan = read_search_plan(write_search_plan(tmp_path))
    proposed = []
    for url in (None, f"sqlite:///{tmp_path}/sampler.db"):
        sampler = CandidateSampler("random", "s", plan, open_storage(tmp_path, url))
        if url:
            sampler.ask()
            sampler = CandidateSampler("random", "s", plan, open_storage(tmp_path, url))  # as after an interruption
        while len(sampler.candidates()) < 6:
            sampler.ask()
        proposed.append([candidate.settings for candidate in sampler.candidates()])
    assert proposed[0] == proposed[1] and proposed[0][0] == plan.starts[0]
    assert all(plan.space[key].contains(value) for settings in proposed[0] for key, value in settings.items())
    assert len({json.dumps(settings) for settings in proposed[0]}) > 3


def test_a_storage_that_cannot_be_opened_is_an_error_of_one_line(tmp_path):
    with pytest.raises(UserError, match="nodatabase://nowhere") as error:
        open_storage(tmp_path, "nodatabase://nowhere")
    assert "\n" not in str(error.value)
