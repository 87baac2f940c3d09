"""The capacity planning report against figures that were worked out by hand."""

import json
from dataclasses import replace

import pytest

from tests.analytics_assets.reporters.scenario import DAY, GIB, Fleet, healthy, hours, made, size, store, told


def report(tmp_path, *capacity, **fleet):
    lake = store(tmp_path, Fleet(capacity=list(capacity), **fleet))
    return told(lake, "capacity")


def stored(name):
    return json.loads(made(name, "capacity")[1].files["json"])


def sentences(content, figure_id="capacity.exhaustion"):
    return [finding["sentence"] for finding in content["findings"] if finding["figure_id"] == figure_id]


def pressing(entity="vm-1", resource="cpu", left=1.0, expected=None, used=0.5, **more):
    """Return a row at level critical; 3.6 cores are usable."""
    return size(
        entity, resource, level="critical", demand_p95=used, time_remaining_days_conservative=left,
        time_remaining_days_expected=expected, **more,
    )  # fmt: skip


def test_what_runs_out_says_when_how_full_and_how_fast():
    first = sentences(stored("disk_filling"))[0]
    assert first == (
        "Disk of db-1 (100 GiB) is full in 4 days (expected 5): 81 GiB used of 90 GiB usable, growing 2 GiB a day over "
        "28 days. Recommended: 200 GiB."
    )


def test_an_expected_day_ranks_before_a_bound_alone():
    """db-1 fills in 4 days, 5 expected; burst passes only by its bound, in 4 days too."""
    found = [item["entity_id"] for item in stored("disk_filling")["findings"] if item["days_until"] is not None]
    assert found == ["db-1", "burst"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (pressing(left=0.0, expected=0.0, used=3.9), "is over what is usable now: 3.9 cores used of 3.6 cores usable"),
        (pressing(left=0.0, expected=0.0, used=3.5), "is expected to pass what is usable today: 3.5 cores used of 3.6"),
        (
            pressing(left=1.0, used=0.5),
            "may pass what is usable within 1 day in its busiest hours (upper bound of the projection; expected: not "
            "within 365 days): 0.5 cores used of 3.6 cores usable, no significant growth over 28 days",
        ),
        (
            pressing(left=2.0, used=3.7),
            "is over what is usable in its busiest hours, and may be so in 2 days again (upper bound",
        ),
        (pressing(left=2.0, expected=9.0, used=3.0), "is at its limit in 2 days (expected 9): 3 cores used of 3.6"),
        (pressing(left=2.0, expected=2.0, used=3.0), "is at its limit in 2 days (expected the same): 3 cores"),
        (
            pressing(left=2.0, expected=9.0, used=3.7),
            "is over what is usable in its busiest hours, and at its limit for good in 2 days (expected 9): 3.7 cores",
        ),
        (pressing(left=None, used=3.7), "is over what is usable in its busiest hours (level critical): 3.7 cores"),
        (pressing(left=None, used=0.5), "is not expected to run out (level critical): 0.5 cores used of 3.6 cores"),
    ],
)
def test_the_claim_never_contradicts_the_use_that_follows_it(tmp_path, row, said):
    (found,) = sentences(report(tmp_path, row))
    assert f"CPU of vm-1 (4 cores) {said}" in found


def test_growth_that_is_not_significant_shows_as_a_dash():
    """The slope of burst is -0.000034 cores a day, which is nothing."""
    _, result = made("disk_filling", "capacity")
    page = result.files["html"].decode()
    assert "0.000034" not in page.split("Appendix")[0]
    row = next(part for part in page.split("<tr>") if part.startswith('<th scope="row">burst') and "critical" in part)
    assert row.split("</tr>")[0].endswith('<td class="n">-</td>')


def test_reclaimable_is_above_the_recommended_size_or_all_of_it(tmp_path):
    rows = [
        size("big", "cpu", physical=16.0, size_needed=2.2, recommended_total=9.0, size_class="oversized"),
        size(
            "big", "memory", physical=32 * GIB, size_needed=6 * GIB, recommended_total=9 * GIB, size_class="oversized"
        ),
        size("lazy", "cpu", physical=8.0, size_class="idle"),
        size("lazy", "disk", physical=40 * GIB, size_class="idle"),
    ]
    assert sentences(report(tmp_path, *rows), "capacity.classes") == [
        "1 VM is oversized: 13 vCPUs and 26 GiB of memory could be given back (big).",
        "1 VM is idle: 8 vCPUs and 40 GiB of disk could be given back (lazy).",
    ]


def test_an_undersized_vm_is_named_with_its_id_as_it_is_written(tmp_path):
    row = size("web-1", size_class="undersized", size_reason="memory peak 99 % is above 90 %.")
    assert sentences(report(tmp_path, row), "capacity.sizes") == [
        "VM web-1 is undersized: memory peak 99 % is above 90 %."
    ]


def test_where_nothing_presses_one_sentence_says_what_was_looked_at():
    content = stored("healthy")
    assert content["findings"][0]["sentence"] == (
        "Nothing presses: of the 9 resources that could be judged, none is at the level warning or above. None reaches "
        "its usable size within 365 days."
    )
    assert content["counts"]["critical"] == content["counts"]["immediate"] == content["counts"]["warning"] == 0


def test_no_answer_is_not_reported_as_nothing_wrong():
    content = stored("insufficient")
    assert content["findings"][0]["sentence"].startswith("No answer: not one of the 3 resources looked at has enough")
    assert content["unknown"] == [
        "3 of 3 resources looked at have no answer: 3 insufficient_data.",
        "CPU, disk and memory of vm-1: 2 days; needs 5 (insufficient_data).",
        "The right size of 1 VM is not known: too few hours.",
        "The capacity table has no row for the VMs together, so allocated against used is not shown.",
        "3 of the 4 days that the capacity table reads were not stored: 2026-03-01 to 2026-03-02, 2026-03-04.",
        "Only 2 of 28 days are stored.",
    ]


def test_an_empty_tenant_gets_a_report_that_says_so():
    assert [finding["sentence"] for finding in stored("empty")["findings"]] == [
        "The capacity table has no row on 2026-03-28: there was nothing to look at.",
        "Everything: there was nothing to look at.",
    ]


def test_the_operators_report_speaks_of_nodes():
    content = stored("nodes")
    assert content["headline"][0] == {"label": "Nodes", "value": "2", "note": "", "severity": None}
    # Each node: 4 cores, 3.6 usable, 0.5 used on average, 2.6 left.
    assert sentences(content, "capacity.nodes")[0] == (
        "CPU: 8 cores in 2 nodes, 7.2 cores usable, 1 core used on average (12.5 %); 5.2 cores left."
    )
    assert "VM" not in " ".join(finding["sentence"] for finding in content["findings"])


def test_hours_without_a_row_count_against_coverage(tmp_path):
    fleet = replace(healthy(), samples=hours("vm-1", count=18))
    content = told(store(tmp_path, fleet), "capacity")
    data = next(figure["data"] for figure in content["figures"] if figure["id"] == "coverage.days")
    assert data["rows"] == [[DAY.isoformat(), 1, 18 * 12, 24 * 12, 75.0]]
