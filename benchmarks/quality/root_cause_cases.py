"""Injected faults: `analyze root-causes` once for each case, with and without the alarm and the graph of calls."""

import ast
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path

import pandas as pd

from benchmarks.quality.measures import Measure, SetReport
from benchmarks.quality.processes import analyze, score

NEZHA_WINDOW = pd.Timedelta("4min 59s")
"""Five minutes without their end, which `--end` would count in; the next fault is as near as eight minutes."""

NEZHA_FRONTS = {"online-boutique": "frontend-", "train-ticket": "ts-ui-dashboard-"}
"""App -> how the pod begins that its users talk to."""

NEZHA_ALARM = "server_lat_p95_s"


@dataclass(frozen=True)
class Case:
    """One fault: the samples around it, its window, and the options for its alarm and graph."""

    key: object
    samples: pd.DataFrame
    start: pd.Timestamp
    end: pd.Timestamp
    target: list[str] = field(default_factory=list)
    graph: pd.DataFrame | None = None


def run_nezha(data: Path, folder: Path) -> SetReport:
    """Rank the pods of every fault of nezha."""
    measures, outputs = [], []
    for with_alarm, three in ((False, 0.54), (True, None)):
        output = _ranked("nezha", data, folder, nezha_cases, with_alarm, with_graph=False)
        name = "the front's latency as alarm" if with_alarm else "without an alarm"
        measures += _measures(name, output, None, three)
        outputs.append(f"{name}: {output}")
    return SetReport(
        "All metrics of the app's pods on the day of the fault; the window is the 5 minutes from the injection, its "
        f"end left out. Every case twice: without an alarm, and as if {NEZHA_ALARM} of the pod that users talk to had "
        "raised one. There is no graph.",
        measures,
        [
            "novacron-analytics analyze root-causes day.parquet --start FROM --end FROM+4min59s --output ranks.csv",
            "python score/rca_score.py . nezha prediction.csv",
        ],
        "".join(outputs),
    )


def run_petshop(data: Path, folder: Path) -> SetReport:
    """Rank the nodes of every fault of petshop, with and without its alarm and its graph."""
    measures, outputs = [], []
    for with_alarm, with_graph, first, three in (
        (True, True, 0.85, 0.97),
        (True, False, 0.68, 0.85),
        (False, True, None, None),
        (False, False, None, None),
    ):
        output = _ranked("petshop", data, folder, petshop_cases, with_alarm, with_graph)
        name = f"{'with' if with_alarm else 'without'} the alarm, {'with' if with_graph else 'without'} the graph"
        measures += _measures(name, output, first, three)
        outputs.append(f"{name}: {output}")
    return SetReport(
        "The normal record of the same traffic, of another month, and the samples of the case, which are the window. "
        "The target is the metric that raised the alarm. Without it nothing is asked, and little is to be had: the "
        "record before lies months away, so most nodes differ from it.",
        measures,
        [
            "novacron-analytics analyze root-causes case.parquet --start FIRST --end LAST --graph calls.csv "
            '--target-entity PetSite --target-metric "latency Average" --output ranks.csv',
            "python score/rca_score.py . petshop prediction.csv",
        ],
        "".join(outputs),
    )


def nezha_cases(data: Path) -> Iterator[Case]:
    """Give each fault with the record of its whole day."""
    record = pd.read_parquet(data / "nezha_metrics.parquet").rename(columns={"pod": "entity"})
    days = {
        key: day.drop(columns=["app", "day"]).melt(["entity", "ts"], var_name="metric").dropna(subset="value")
        for key, day in record.groupby(["app", "day"])
    }
    for key, fault in pd.read_parquet(data / "nezha_faults.parquet").iterrows():
        day = days[fault["app"], fault["day"]]
        front = next(pod for pod in sorted(set(day["entity"])) if pod.startswith(NEZHA_FRONTS[fault["app"]]))
        yield Case(
            key,
            day,
            fault["inject_ts"],
            fault["inject_ts"] + NEZHA_WINDOW,
            ["--target-entity", front, "--target-metric", NEZHA_ALARM],
        )


def petshop_cases(data: Path) -> Iterator[Case]:
    """Give each fault with the normal record before it."""
    normal = _named_metrics(pd.read_parquet(data / "petshop_normal_metrics.parquet"))
    issues = _named_metrics(pd.read_parquet(data / "petshop_issue_metrics.parquet"))
    before = {traffic: record.drop(columns="traffic") for traffic, record in normal.groupby("traffic")}
    graphs = pd.read_parquet(data / "petshop_graph.parquet")
    for _, fault in pd.read_parquet(data / "petshop_targets.parquet").iterrows():
        issue = issues[issues["case"] == fault["case"]]
        traffic = fault["traffic"]
        if traffic not in before:
            traffic = "low_traffic" if traffic.endswith("1") else "high_traffic"
        samples = pd.concat([before[traffic], issue])
        graph = graphs[graphs["traffic"] == fault["traffic"]]
        yield Case(
            fault["case"],
            samples[["entity", "metric", "ts", "value"]],
            issue["ts"].min(),
            issue["ts"].max(),
            [
                "--target-entity",
                fault["target_node"],
                "--target-metric",
                f"{fault['target_metric']} {fault['target_agg']}",
            ],
            graph[["row_node", "col_node"]].set_axis(["source", "target"], axis=1),
        )


def _named_metrics(record: pd.DataFrame) -> pd.DataFrame:
    """Return a record with the statistic in the metric's name: latency has several."""
    return record.assign(metric=record["metric"] + " " + record["stat"]).rename(columns={"node": "entity"})


def _measures(name: str, output: str, first: float | None, three: float | None) -> list[Measure]:
    """Return what a scorer printed of one way to call the command."""
    figures = ast.literal_eval(output.strip())
    return [
        Measure(f"{name}: right first", figures["AC1"], low=first),
        Measure(f"{name}: right in the first three", figures["AC3"], low=three),
    ]


def _ranked(
    name: str,
    data: Path,
    folder: Path,
    cases: Callable[[Path], Iterator[Case]],
    with_alarm: bool,
    with_graph: bool,
) -> str:
    """Call the command for every case, some at a time, and return what the scorer prints."""

    def ranks(numbered: tuple[int, Case]) -> pd.DataFrame:
        number, case = numbered
        path, output, graph = (folder / f"{name}-{number}{ending}" for ending in (".parquet", ".csv", "-calls.csv"))
        case.samples.to_parquet(path, index=False)
        options = ["--start", case.start.isoformat(), "--end", case.end.isoformat()]
        options += case.target if with_alarm else []
        if with_graph and case.graph is not None:
            case.graph.to_csv(graph, index=False)
            options += ["--graph", str(graph)]
        analyze("root-causes", path, *options, "--output", output)
        return pd.read_csv(output).rename(columns={"entity": "candidate"}).assign(case=case.key)

    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        found = list(pool.map(ranks, enumerate(cases(data))))
    prediction = folder / f"{name}-prediction.csv"
    pd.concat(found)[["case", "rank", "candidate"]].to_csv(prediction, index=False)
    return score(data, "rca_score.py", name, prediction)
