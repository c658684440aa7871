"""Bad input about recipes and the models they ask, through the real command line."""

from pathlib import Path

import pytest

from tests.ray_jobs.conftest import Cli
from tests.ray_jobs.test_bad_input import write


@pytest.mark.parametrize(
    ("text", "field", "value", "rule"),
    [
        (
            "run: RUN\ntarget: {model: embedded, family: mine}\n",
            "target.family",
            "'mine'",
            "or the marks of another: {think_open: <reason>",
        ),
        (
            "run: RUN\noptions: {stair: {reward: nobodys}}\nrecipe: stair\n",
            "options.stair.reward",
            "'nobodys'",
            "or a function, module:function",
        ),
        (
            "run: RUN\nteacher: {model: embedded, head: score}\n",
            "teacher",
            "'embedded'",
            "recipe srg needs the ability regex",
        ),
        (
            "run: RUN\ntokens: 9\naccepted: {per_category: 2, budget: 9}\n",
            "accepted",
            "{'budget': 9, 'per_catego",
            "leave out tokens",
        ),
    ],
)
def test_a_bad_recipe_or_model(
    cli: Cli, tmp_path: Path, text: str, field: str, value: str, rule: str
) -> None:
    ended = cli("check", write(tmp_path, text))
    assert ended.code == 2
    assert f": {field}: value {value}" in ended.line
    assert rule in ended.line
