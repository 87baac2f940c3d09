"""Pipeline files: what is accepted, and that every mistake is named with its file and line."""

from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import Field

from analytics_assets.components import Component, Input, NoParameters, Parameters, Result
from analytics_assets.pipelines.loader import load_pipelines
from analytics_assets.pipelines.yaml_lines import PipelineFileError
from resources.lake.lake import Facts
from resources.lake.table import Column, Table


class WindowParameters(Parameters):
    window_days: int = Field(28, ge=2, le=400, description="Days looked at.")


def component(name, stage, inputs=(), parameters=NoParameters):
    table = Table(name, "a row", (Column("id", pa.string(), "id"),), ("id",))
    return Component(
        name, stage, name, f"about {name}", parameters, inputs, table, lambda *_: Result(table.empty(), Facts())
    )


COMPONENTS = {
    entry.name: entry
    for entry in (
        component("load", "processors"),
        component("rollup", "processors", (Input("samples", ("load", "rollup"), "samples"),)),
        component("trend", "analyzers", (Input("samples", ("load", "rollup"), "samples"),), WindowParameters),
        component("size", "analyzers", (Input("trends", ("trend",), "trends"),)),
        component("chart", "visualizers", (Input("trends", ("trend",), "trends", many=True, optional=True),)),
        component("report", "reporters", (Input("charts", ("chart",), "charts", many=True),)),
    )
}

GOOD = """\
pipeline: system-performance
description: Loads and
  trends.
tenants: [acme, globex]
schedule: {daily_at: "01:30"}
processors:
  - id: system-load
    component: load
analyzers:
  - id: cpu-trend
    component: trend
    inputs: {samples: system-load}
    parameters: {window_days: 7}
visualizers:
  - id: cpu-chart
    component: chart
reporters:
  - component: report
"""


def load(folder: Path, **files: str):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return load_pipelines([folder], COMPONENTS)


def test_a_pipeline_file_becomes_instances_in_order_of_their_inputs(tmp_path):
    """Stops the original's `Schedule`, `TenantID` and `Parameters`, which were stored and never read."""
    (pipeline,) = load(tmp_path, a=GOOD)
    assert pipeline.name == "system-performance"
    assert pipeline.description == "Loads and trends."
    assert pipeline.tenants == ("acme", "globex")
    assert pipeline.cron == "30 1 * * *"
    assert [instance.id for instance in pipeline.instances] == ["system_load", "cpu_trend", "cpu_chart", "report"]
    trend = pipeline.instances[1]
    assert trend.table.name == "cpu_trend"
    assert trend.parameters == WindowParameters(window_days=7)
    assert [source.id for source in trend.inputs["samples"]] == ["system_load"]


def test_an_input_left_out_is_the_one_that_fits(tmp_path):
    """Stops stages that silently do not join: the chart reads the trend, the report the chart."""
    (pipeline,) = load(tmp_path, a=GOOD)
    chart, report = pipeline.instances[2:]
    assert [source.id for source in chart.inputs["trends"]] == ["cpu_trend"]
    assert [source.id for source in report.upstream] == ["cpu_chart"]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("component: trend", "component: trnd", 11, "there is no component 'trnd'"),
        ("window_days: 7", "window_day: 7", 13, "no parameter 'window_day'"),
        ("window_days: 7", "window_days: 1", 13, "greater than or equal to 2"),
        ("window_days: 7", "window_days: true", 13, "window_days is True; give a number, without quotes"),
        ("window_days: 7", "window_days: '7'", 13, "window_days is '7'; give a number, without quotes"),
        ("samples: system-load", "samples: system-lod", 12, "no instance 'system-lod'"),
        ("samples: system-load", "samplez: system-load", 12, "'samplez' is not known here"),
        ("samples: system-load", "samples: cpu-chart", 12, "reads load, rollup; cpu_chart is chart"),
        ("tenants: [acme, globex]", "tenants: [acme, ../etc]", 4, "'../etc' is not a tenant id"),
        ('"01:30"', '"25:30"', 5, "not a time of day"),
        ("id: system-load", "id: System Load", 7, "is not an instance id"),
        ("pipeline: system-performance", "pipelin: x", 1, "'pipelin' is not known here"),
        ("visualizers:\n  - id: cpu-chart\n    component: chart\n", "", 15, "report needs charts (chart)"),
        (
            "  - id: cpu-chart\n    component: chart",
            "  - id: cpu-chart\n    component: load",
            16,
            "belongs under processors",
        ),
        ("description: Loads and", "description: [Loads", 4, "is not YAML"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(tmp_path, old, new, line, says):
    """Stops the original's habit of skipping an unknown component and calling the run a success."""
    assert old in GOOD
    with pytest.raises(PipelineFileError) as caught:
        load(tmp_path, bad=GOOD.replace(old, new))
    assert caught.value.line == line
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'bad.yaml'}:{line}: ")


def test_an_analyzer_may_read_another_whichever_is_written_first(tmp_path):
    """Stops an order within a stage that is not the order of the inputs: the reader would find nothing stored."""
    text = GOOD.replace("analyzers:\n", "analyzers:\n  - component: size\n")
    (pipeline,) = load(tmp_path, a=text)
    assert [instance.id for instance in pipeline.instances] == [
        "system_load", "cpu_trend", "size", "cpu_chart", "report",
    ]  # fmt: skip
    assert [source.id for source in pipeline.instances[2].upstream] == ["cpu_trend"]


def test_a_circle_is_refused_and_spelled_out(tmp_path):
    text = """\
pipeline: circle
description: Two that read each other.
processors:
  - id: one
    component: rollup
    inputs: {samples: two}
  - id: two
    component: rollup
    inputs: {samples: one}
"""
    with pytest.raises(PipelineFileError, match=r":4: instances read each other in a circle: one -> two -> one"):
        load(tmp_path, circle=text)


def test_two_inputs_that_could_be_meant_are_not_guessed(tmp_path):
    text = GOOD.replace("    inputs: {samples: system-load}\n", "").replace(
        "    component: load\n", "    component: load\n  - id: other\n    component: load\n"
    )
    with pytest.raises(PipelineFileError, match="could be system_load or other"):
        load(tmp_path, a=text)


def test_the_same_instance_in_two_files_is_one_and_a_different_one_is_refused(tmp_path):
    """Stops two pipelines from writing different things into one table."""
    second = GOOD.replace("system-performance", "again")
    first, again = load(tmp_path, a=GOOD, b=second)
    assert first.instances == again.instances
    with pytest.raises(PipelineFileError, match=r"b\.yaml:10: instance cpu_trend is another one in .*a\.yaml:10"):
        load(tmp_path, b=second.replace("window_days: 7", "window_days: 8"))


def test_a_pipeline_name_is_used_once(tmp_path):
    with pytest.raises(PipelineFileError, match="defined already"):
        load(tmp_path, a=GOOD, b=GOOD)


@pytest.mark.parametrize("text", ["", "just text", "pipeline: x\n"])
def test_a_file_that_is_no_pipeline_is_refused(tmp_path, text):
    with pytest.raises(PipelineFileError):
        load(tmp_path, a=text)


def test_yaml_cannot_make_objects(tmp_path):
    """Stops a pipeline file from running code when it is loaded."""
    text = GOOD.replace("window_days: 7", 'window_days: !!python/object/apply:os.system ["true"]')
    with pytest.raises(PipelineFileError, match="cannot be read"):
        load(tmp_path, a=text)
