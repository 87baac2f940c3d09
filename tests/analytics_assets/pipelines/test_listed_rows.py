"""Parameters that are lists of rows: inline, YAML and CSV mean the same, and a mistake is named where it stands."""

from typing import Annotated

import pyarrow as pa
import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from analytics_assets.components import Component, Parameters, Result
from analytics_assets.parameter_files import RowsOrFile, check_names
from analytics_assets.pipelines.loader import load_pipelines
from analytics_assets.pipelines.yaml_lines import PipelineFileError
from resources.lake.lake import Facts
from resources.lake.table import Column, Table


class Size(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    vcpus: float = Field(gt=0)
    tags: tuple[str, ...] = ()


class SizesParameters(Parameters):
    sizes: Annotated[tuple[Size, ...], RowsOrFile()] = Field((), description="Sizes.")

    @model_validator(mode="after")
    def _makes_sense(self):
        check_names("sizes", (size.name for size in self.sizes))
        if any(size.name == "total" for size in self.sizes):
            raise ValueError("total is no size")
        return self


TABLE = Table("load", "a row", (Column("id", pa.string(), "id"),), ("id",))
LOAD = Component(
    "load", "processors", "", "", SizesParameters, (), TABLE, lambda *_: Result(TABLE.empty(), Facts())
)  # fmt: skip
PIPELINE = """\
pipeline: sizes
description: Sizes.
processors:
  - component: load
    parameters:
      sizes: {}
"""
INLINE = "[{name: small, vcpus: 1}, {name: large, vcpus: 8}]"


def sizes(folder, written):
    (folder / "sizes.yaml").unlink(missing_ok=True)
    (folder / "pipeline.yaml").write_text(PIPELINE.format(written))
    files = folder / "files"
    files.mkdir(exist_ok=True)
    (pipeline,) = load_pipelines([folder], {"load": LOAD})
    return pipeline.instances[0].parameters.sizes


def refused(folder, written, files=None):
    for name, text in (files or {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    with pytest.raises(PipelineFileError) as caught:
        sizes(folder, written)
    return caught.value.path.name, caught.value.line, caught.value.problem


def test_inline_yaml_and_csv_are_the_same(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "sizes.yaml").write_text("- {name: small, vcpus: 1}\n- {name: large, vcpus: 8}\n")
    (tmp_path / "files" / "sizes.csv").write_text("\ufeffname, vcpus\nsmall,1\n\nlarge,8\n", encoding="utf-8")
    wanted = (Size(name="small", vcpus=1), Size(name="large", vcpus=8))
    for written in (INLINE, "files/sizes.yaml", "files/sizes.csv"):
        assert sizes(tmp_path, written) == wanted


@pytest.mark.parametrize(
    ("written", "files", "where", "says"),
    [
        ("\n        - {name: a, vcpus: 1}\n        - name: b\n          vcpus: 0", {}, ("pipeline.yaml", 9), "than 0"),
        ("[{name: a, vcpu: 1}]", {}, ("pipeline.yaml", 6), "sizes.0.vcpus"),
        ("f/s.yaml", {"f/s.yaml": "- {name: a, vcpus: 1}\n- {name: b, vcpus: x}\n"}, ("s.yaml", 2), "1.vcpus = 'x'"),
        ("f/s.yaml", {"f/s.yaml": "- name: a\n  vcpus: 1\n  tags:\n    - [b]\n"}, ("s.yaml", 4), "valid string"),
        ("f/s.yaml", {"f/s.yaml": "name: a\n"}, ("s.yaml", 1), "expected a list"),
        ("f/s.csv", {"f/s.csv": "name,vcpus\na,1\n\nb,-2\n"}, ("s.csv", 4), "greater than 0"),
        ("f/s.csv", {"f/s.csv": "name,vcpus\na\n"}, ("s.csv", 2), "has 1 cells where the header has 2"),
        ("f/s.csv", {"f/s.csv": "name,name\na,b\n"}, ("s.csv", 1), "a different name for each column"),
        ("f/s.csv", {"f/s.csv": 'name,vcpus\na,"1\n'}, ("s.csv", 2), "is not CSV"),
        ("f/s.csv", {"f/s.csv": ""}, ("s.csv", 1), "needs a header"),
        ("f/s.txt", {"f/s.txt": ""}, ("pipeline.yaml", 6), "neither a list nor the path"),
        ("f/none.csv", {}, ("pipeline.yaml", 6), "there is no file"),
        ("{a: 1}", {}, ("pipeline.yaml", 6), "expected text"),
        ("f/s.csv", {"f/s.csv": "name,vcpus\na,1\n\nb,2\na,3\n"}, ("s.csv", 5), "sizes: a is there twice"),
        ("[{name: a, vcpus: 1}, {name: total, vcpus: 1}]", {}, ("pipeline.yaml", 6), "load: Value error, total"),
        ("f/s.yaml", {"f/s.yaml": "- name: a\n  vcpus: 1\n  vcpus: 2\n"}, ("s.yaml", 3), "'vcpus' is given twice"),
        ("f/s.yaml", {"f/s.yaml": "- name: a\n  vcpus:\n    2026-02-30\n"}, ("s.yaml", 3), "cannot be read: day"),
        ("f/s.yaml", {"f/s.yaml": "- &a {name: x, vcpus: *a}\n"}, ("s.yaml", 1), "valid number"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_where_it_stands(tmp_path, written, files, where, says):
    """Stops 'a flavour is wrong' without a word on which of two hundred."""
    name, line, problem = refused(tmp_path, written, files)
    assert (name, line) == where
    assert says in problem


def test_a_list_beside_the_pipeline_is_no_pipeline(tmp_path):
    """Stops the rows of a parameter, in the folder of the pipeline files, from stopping the start."""
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.format("rows.yaml"))
    (tmp_path / "rows.yaml").write_text("- {name: small, vcpus: 1}\n")
    (pipeline,) = load_pipelines([tmp_path], {"load": LOAD})
    assert pipeline.instances[0].parameters.sizes == (Size(name="small", vcpus=1),)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "s.csv").write_bytes(b"name,vcpus\n\xff\xfe,1\n")
    assert refused(tmp_path, "s.csv")[:2] == ("s.csv", 1)
