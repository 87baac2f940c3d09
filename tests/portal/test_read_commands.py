"""`components` and `pipelines`, the help, and the generated pages of documentation."""

import json
from pathlib import Path

import pytest

from portal.cli import COMMANDS
from tests.portal.command import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("command", "page"), [("tables", "tables.md"), ("settings", "settings.md")])
def test_the_documentation_is_what_the_command_prints(computed_home, command, page):
    """Stops docs from falling behind; renew with `make docs`."""
    printed = run(command, "--markdown", "--home", computed_home.home)
    assert printed.code == 0
    assert (ROOT / "docs" / page).read_text().endswith(printed.out.rstrip("\n") + "\n")


def test_components_with_all_their_metadata():
    """Stops a parameter without default, range or description."""
    components = json.loads(run("components", "--json").out)
    assert {about["stage"] for about in components} == {"processors", "analyzers", "visualizers", "reporters"}
    assert len(components) == 20
    for about in components:
        assert about["title"]
        assert about["description"]
        assert about["formats"]
        assert about["columns"]
        for parameter in about["parameters"]:
            assert parameter["description"].strip()
            assert parameter["default"] is not None
    assert "metric_trends" in run("components", "metric_trends").out
    assert run("components", "nothing").code == 1


def test_pipelines_with_instances_and_schedule(computed_home):
    pipelines = {
        about["name"]: about for about in json.loads(run("pipelines", "--json", "--home", computed_home.home).out)
    }
    assert pipelines.keys() == {"daily-analytics", "system-performance", "vm-capacity-analysis"}
    performance = pipelines["system-performance"]
    assert performance["daily_at"] == "01:30"
    (trend,) = [entry for entry in performance["instances"] if entry["component"] == "metric_trends"]
    assert (trend["id"], trend["inputs"]) == ("cpu_trend", {"samples": ["system_load"]})
    assert "cpu_trend" in run("pipelines", "--home", computed_home.home).out


def test_a_broken_pipeline_file_is_named_with_its_line(computed_home, tmp_path):
    home = tmp_path / "home"
    (home / "pipelines").mkdir(parents=True)
    (home / "pipelines/mine.yaml").write_text("pipeline: mine\ndescription: x\nprocessors:\n  - component: nothing\n")
    for command in (["pipelines"], ["tables"], ["run", "mine"]):
        done = run(*command, "--home", home)
        assert done.code == 1
        assert "mine.yaml:4: there is no component 'nothing'" in done.err


def test_help_names_every_command_and_every_command_has_help():
    """Stops a command that cannot be found, and one that cannot be imported."""
    done = run("--help")
    assert done.code == 0
    for name in COMMANDS:
        assert name in done.out
        one = run(name, "--help")
        assert one.code == 0
        assert "--home" in one.out or name in ("analyze", "components", "source")


def test_help_imports_nothing_heavy():
    """Stops `--help` from taking a second: neither Dagster, pandas, DuckDB nor pyarrow is imported for it."""
    import subprocess
    import sys

    code = (
        "import sys\nsys.argv = ['novacron-analytics', '--help']\nfrom portal.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print('HEAVY', sorted({'dagster', 'pandas', 'duckdb', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "HEAVY []" in done.stdout


def test_an_unknown_command_is_a_usage_error():
    assert run("nothing").code == 2
