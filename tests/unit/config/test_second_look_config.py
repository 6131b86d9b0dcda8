"""Settings of the second look."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sampler.config import ConfigError, load_config, parse_policies
from sampler.config.resolved import config_tree
from sampler.stream.assembly import engine_settings

ROOT = Path(__file__).parents[3]
ONE = "policies: [{name: all, type: always_sample}]\n"


def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    """The engine gets what the policy file says."""
    config = load_config(None, {})
    assert engine_settings(config, parse_policies(ONE), 4).retain_dropped_ms == 0
    assert engine_settings(config, parse_policies(f"retain_dropped: 5m\n{ONE}"), 4).retain_dropped_ms == 300_000


def test_the_example_of_the_page_loads() -> None:
    """As far as it goes: it leaves out its policies."""
    page = (ROOT / "docs/second_look.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    block = parse_policies(example.replace("[...]", "[{name: all, type: always_sample}]")).tail_sampling
    assert (block.decision_wait.ms, block.retain_dropped.ms) == (30_000, 300_000)


def test_a_time_beyond_that_of_decisions_is_told() -> None:
    """It is cut, so the reader should know."""
    (note,) = parse_policies(f"retain_dropped: 5m\ndecision_cache: {{ttl: 2m}}\n{ONE}", "p.yaml").notes
    assert note.startswith("p.yaml:1: retain_dropped: ")
    assert "2m" in note
    assert parse_policies(f"retain_dropped: 5m\ndecision_cache: {{ttl: 5m}}\n{ONE}").notes == ()


def test_the_token_is_not_shown(tmp_path: Path) -> None:
    """`tailsampler config` shows asterisks; one that could be guessed is refused."""
    path = tmp_path / "config.yaml"
    path.write_text("web: {token: correct horse}\n")
    config = load_config(path, {})
    assert config.web.token is not None
    assert config.web.token.get_secret_value() == "correct horse"
    assert "horse" not in json.dumps(config_tree(config, defaults=True)) + repr(config)
    path.write_text("web: {token: horse}\n")
    with pytest.raises(ConfigError, match=r"web\.token") as error:
        load_config(path, {})
    assert "horse" not in str(error.value)
