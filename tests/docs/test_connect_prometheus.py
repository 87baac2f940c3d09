"""What docs/connect-prometheus.md tells people to copy is what the tests' own servers run with."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.settings import Settings
from tests.servers.live import recording_rules, scrape_configs
from tests.servers.packages import missing_packages
from tests.servers.prometheus import check_configuration

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "connect-prometheus.md").read_text()
SCRAPE, RULES = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_the_scrape_configuration_is_the_one_that_is_run():
    """Stops relabelling that nobody ever tried."""
    run = scrape_configs("node-a:9100", "node-a:9177")
    for documented, tried in zip(SCRAPE["scrape_configs"], run, strict=True):
        (targets,) = documented["static_configs"]
        assert targets["targets"][0] in tried["static_configs"][0]["targets"]
        assert {**documented, "static_configs": 0} == {**tried, "static_configs": 0}


def test_the_rules_are_those_that_are_run():
    """Stops recording rules that record nothing."""

    def plain(rules: dict[str, Any]) -> dict[str, Any]:
        return {
            group["name"]: [{**rule, "expr": "".join(rule["expr"].split())} for rule in group["rules"]]
            for group in rules["groups"]
        }

    assert plain(RULES) == plain(recording_rules("1m"))


def test_promtool_accepts_both(tmp_path):
    """Stops YAML that Prometheus does not start with."""
    if missing_packages("promtool"):
        pytest.skip("not installed: prometheus")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(RULES))
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump({**SCRAPE, "rule_files": ["rules.yml"]}))
    check_configuration(file)


def test_every_setting_that_is_named_exists():
    """Stops a setting that was renamed from being recommended."""
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    named = {*tomllib.loads(block), *re.findall(r"`((?:source|max|inventory)_[a-z_]*[a-z])`", PAGE)}
    assert named - {"source_node"} <= set(Settings.model_fields)  # that one is a label
    assert {"source", "prometheus_url", "first_day", "source_bearer_token_file"} <= named
