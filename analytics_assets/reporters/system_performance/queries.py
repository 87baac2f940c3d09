"""The SQL of the system performance report's figures: `{role}` stands for a table, `{days}` for the day.

`{trends}`, `{sizes}` and `{measured}` are subqueries that `ask_all` puts together out of `TREND_ROWS`,
`NODE_SIZES`, `VM_SIZES` and `MEASURED`.
"""

TREND_ROWS = """
        SELECT entity_kind::VARCHAR AS entity_kind, entity_id::VARCHAR AS entity_id, metric::VARCHAR AS metric, unit,
            status::VARCHAR AS status, reason, window_days, days_used, coverage, level, slope_per_day,
            slope_low_per_day, slope_high_per_day, change_over_window, direction::VARCHAR AS direction,
            change_point_day, change_point_count, {source} AS source
        FROM {table}
        WHERE {days}"""

TRENDS = """(
    SELECT * FROM ({rows}
    )
    QUALIFY row_number() OVER (
        PARTITION BY entity_kind, entity_id, metric ORDER BY status <> 'ok', window_days DESC, source
    ) = 1
)"""
"""Two trend analyzers may look at the same metric: the one with an answer and the longest window counts."""

NODE_SIZES = """
        SELECT 'node' AS entity_kind, node_id::VARCHAR AS entity_id, 'memory_bytes' AS metric,
            median(memory_total_bytes) AS size
        FROM {load}
        WHERE {days}
        GROUP BY node_id"""

VM_SIZES = """
        SELECT 'vm', entity_id::VARCHAR, resource::VARCHAR || '_bytes', physical
        FROM {capacity}
        WHERE {days} AND entity_kind = 'vm' AND resource IN ('memory', 'disk')"""

SIZES = """({rows}
    )"""

MEASURED = """(
    SELECT t.*, CASE WHEN t.metric = 'cpu_percent' THEN 100.0 ELSE s.size END AS most
    FROM {trends} AS t
    LEFT JOIN {sizes} AS s USING (entity_kind, entity_id, metric)
)"""

NODES = """
SELECT
    count(*) AS nodes,
    round(100 * sum(cores) / nullif(sum(cores_total), 0), 2) AS cpu_percent,
    sum(seen)::BIGINT AS samples_seen,
    ({buckets} * sum(expected))::BIGINT AS samples_expected
FROM (
    SELECT
        node_id, sum(cpu_cores_mean::DOUBLE) AS cores, sum(cpu_cores_total::DOUBLE) AS cores_total,
        sum(samples_seen) AS seen, max(samples_expected) AS expected
    FROM {load}
    WHERE {days}
    GROUP BY node_id
)
ORDER BY ALL
"""
"""A node sends as many samples as it has VMs to measure, so what was expected is counted node by node."""

ANSWERS = """
SELECT
    count(*) AS trends,
    count(*) FILTER (status = 'ok') AS answered,
    count(DISTINCT entity_id) FILTER (entity_kind = 'vm') AS vms,
    count(DISTINCT entity_id) FILTER (entity_kind = 'node') AS nodes,
    count(*) FILTER (direction = 'rising') AS rising,
    count(*) FILTER (direction = 'falling') AS falling,
    count(*) FILTER (status = 'ok' AND most > 0) AS with_limit,
    count(*) FILTER (direction = 'rising' AND metric IN ('memory_bytes', 'disk_bytes') AND most IS NULL)
        AS without_limit,
    round(100 * avg(coverage), 1) AS coverage_percent,
    max(window_days) AS window_days
FROM {measured}
ORDER BY ALL
"""

SATURATED = """
SELECT
    node_id, max(scope::VARCHAR) AS scope, count(*) * {minutes} AS minutes, min(ts) AS first_at, max(ts) AS last_at,
    round(max(cpu_percent_mean)::DOUBLE, 2) AS cpu_percent_highest, median(cpu_cores_total)::DOUBLE AS cpus
FROM {load}
WHERE {days} AND cpu_percent_mean >= {busy_percent}
GROUP BY node_id
HAVING count(*) * {minutes} > {busy_minutes}
ORDER BY minutes DESC, node_id
"""

LIMITS = """
WITH _now AS (
    -- The level is the median of a week of days: of what rises, that is the middle of the week.
    SELECT * REPLACE (level + CASE WHEN direction = 'rising' THEN 3.5 * slope_per_day ELSE 0 END AS level)
    FROM {measured}
)
SELECT
    entity_kind, entity_id, metric, unit, level, most, level >= {busy_percent} / 100 * most AS near_limit,
    CASE WHEN direction = 'rising' THEN greatest(most - level, 0) / slope_high_per_day END AS days_conservative,
    CASE WHEN direction = 'rising' THEN greatest(most - level, 0) / slope_per_day END AS days_expected,
    slope_per_day, slope_low_per_day, slope_high_per_day, direction, window_days, days_used
FROM _now
WHERE status = 'ok' AND most > 0
    AND (level >= {busy_percent} / 100 * most
        OR (direction = 'rising' AND (most - level) / slope_high_per_day <= {horizon_days}))
ORDER BY near_limit DESC, days_conservative NULLS LAST, level / most DESC, entity_kind, entity_id, metric
"""

BUSY_VMS = """
SELECT entity_id, unit, demand_p95, physical, utilization_percent, window_days
FROM {capacity}
WHERE {days} AND status = 'ok' AND entity_kind = 'vm' AND resource = 'cpu' AND utilization_percent >= {busy_percent}
ORDER BY utilization_percent DESC, entity_id
"""

LOAD = """
SELECT
    node_id, max(scope::VARCHAR) AS scope, max(vm_count) AS vms, median(cpu_cores_total)::DOUBLE AS cpus,
    round(avg(cpu_percent_mean::DOUBLE), 2) AS cpu_percent_mean,
    round(quantile_cont(cpu_percent_mean::DOUBLE, 0.95), 2) AS cpu_percent_p95,
    round(max(cpu_percent_max)::DOUBLE, 2) AS cpu_percent_peak,
    first(ts ORDER BY cpu_percent_max DESC, ts) FILTER (cpu_percent_max IS NOT NULL) AS cpu_peak_at,
    round(avg(memory_bytes_mean::DOUBLE)) AS memory_bytes_mean,
    max(memory_bytes_max)::DOUBLE AS memory_bytes_peak,
    median(memory_total_bytes) AS memory_bytes_total,
    round(avg(load_average_1m_mean::DOUBLE), 2) AS load_average_1m_mean,
    count(*) AS buckets, {buckets} AS buckets_of_day
FROM {load}
WHERE {days}
GROUP BY node_id
ORDER BY cpu_percent_p95 DESC NULLS LAST, node_id
"""

CHANGES = """
SELECT
    entity_kind, entity_id, metric, unit, direction, level, most, slope_per_day, slope_low_per_day, slope_high_per_day,
    change_over_window, 100 * abs(change_over_window) / nullif(measure, 0) AS change_percent,
    change_point_day, change_point_count, window_days, days_used
FROM (
    SELECT *, coalesce(most, max(level) OVER (PARTITION BY entity_kind, metric)) AS measure FROM {measured}
    WHERE status = 'ok'
)
WHERE direction IN ('rising', 'falling') OR change_point_day IS NOT NULL
ORDER BY direction IN ('rising', 'falling') DESC, change_percent DESC NULLS LAST, entity_kind, entity_id, metric
"""
"""A change is measured by the limit, or by the largest level of that metric: not by the entity's own
level, of which a drift from one packet to two would be a doubling."""

UNKNOWN = """
SELECT status, reason, entity_kind, count(*) AS trends, count(DISTINCT entity_id) AS entities,
    min(entity_id) AS example, string_agg(DISTINCT metric, ', ' ORDER BY metric) AS metrics
FROM {trends}
WHERE status <> 'ok' OR reason IS NOT NULL
GROUP BY status, reason, entity_kind
ORDER BY trends DESC, status, reason, entity_kind
"""

FINDINGS = (
    ("performance.nodes", "Nodes looked at", NODES),
    ("performance.answers", "Trends looked at", ANSWERS),
    ("performance.saturated", "Nodes busy for long on this day", SATURATED),
    ("performance.limits", "What is full or rises to its limit, soonest first", LIMITS),
    ("performance.load", "Load of each node, busiest first", LOAD),
    ("performance.changes", "What rises, falls or jumped, largest first", CHANGES),
)
"""Id, title and SQL of the figures that page one is read from."""

VMS = (("performance.busy_vms", "VMs whose CPU is used up in their busiest hours", BUSY_VMS),)
"""The figures that need a capacity table."""

COVERAGE = (("performance.unknown", "Trends without a whole answer, by reason", UNKNOWN),)
