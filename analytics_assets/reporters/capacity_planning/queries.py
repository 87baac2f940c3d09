"""The SQL of the capacity planning report's figures: `{role}` stands for a table, `{days}` for the day.

`{names}` is a subquery over the VMs' names, `{sized}` one over the VMs with what they could give back. A VM is
advised the size that a resize without flavours goes by; nodes, tiers and disks what lasts.
"""

NOTHING_NAMED = "(SELECT NULL::VARCHAR AS vm_id, NULL::VARCHAR AS vm_name WHERE false)"

NAMED = """(
    SELECT vm_id, arg_max(vm_name, valid_from) AS vm_name FROM {inventory} WHERE {days} GROUP BY vm_id
)"""

SUMMARY = """
SELECT
    count(DISTINCT entity_id) FILTER (entity_kind = 'vm') AS vms,
    count(DISTINCT entity_id) FILTER (entity_kind = 'node') AS nodes,
    count(*) AS resources,
    count(*) FILTER (status = 'ok') AS judged,
    count(*) FILTER (level = 'critical') AS critical,
    count(*) FILTER (level = 'immediate') AS immediate,
    count(*) FILTER (level = 'warning') AS warning,
    round(100 * avg(coverage), 1) AS coverage_percent,
    max(window_days) AS window_days,
    min(days_used) AS days_used_least,
    max(days_used) AS days_used_most,
    max(horizon_days) AS horizon_days
FROM {capacity}
WHERE {days} AND scenario = ''
ORDER BY ALL
"""

EXHAUSTION = """
SELECT
    c.entity_kind, c.entity_id, n.vm_name, c.resource, c.unit, c.level,
    c.time_remaining_days_conservative AS days_conservative,
    c.time_remaining_days_expected AS days_expected,
    c.physical, c.usable, c.demand_p95, c.slope_per_day, c.direction,
    coalesce(c.size_needed, c.recommended_total) AS recommended_total,
    c.window_days, c.days_used, c.horizon_days
FROM {capacity} AS c
LEFT JOIN {names} AS n ON c.entity_kind = 'vm' AND n.vm_id = c.entity_id
WHERE {days}
    AND c.scenario = ''
    AND c.status = 'ok'
    AND (c.time_remaining_days_conservative IS NOT NULL OR c.level IN ('critical', 'immediate', 'warning'))
ORDER BY days_conservative NULLS LAST, days_expected NULLS LAST, c.entity_kind, c.entity_id, c.resource
"""

SIZED = """(
SELECT
    entity_id, size_class, min(size_reason) AS size_reason,
    max(coalesce(physical, allocated)) FILTER (resource = 'cpu') AS vcpus,
    max(demand_p95) FILTER (resource = 'cpu') AS vcpus_used,
    max(size_needed) FILTER (resource = 'cpu') AS vcpus_recommended,
    max(coalesce(physical, allocated)) FILTER (resource = 'memory') AS memory_bytes,
    max(demand_p95) FILTER (resource = 'memory') AS memory_bytes_used,
    max(size_needed) FILTER (resource = 'memory') AS memory_bytes_recommended,
    max(coalesce(physical, allocated)) FILTER (resource = 'disk') AS disk_bytes,
    CASE size_class
        WHEN 'oversized' THEN greatest(vcpus - ceil(vcpus_recommended), 0)
        WHEN 'idle' THEN vcpus WHEN 'powered_off' THEN vcpus
    END AS reclaimable_vcpus,
    CASE size_class
        WHEN 'oversized' THEN greatest(memory_bytes - memory_bytes_recommended, 0)
        WHEN 'idle' THEN memory_bytes WHEN 'powered_off' THEN memory_bytes
    END AS reclaimable_memory_bytes,
    CASE WHEN size_class IN ('idle', 'powered_off') THEN disk_bytes END AS reclaimable_disk_bytes
FROM {capacity}
WHERE {days} AND entity_kind = 'vm' AND size_class IS NOT NULL
GROUP BY entity_id, size_class
)"""

SIZES = """
SELECT s.*, n.vm_name
FROM {sized} AS s
LEFT JOIN {names} AS n ON n.vm_id = s.entity_id
WHERE s.size_class IN ('undersized', 'oversized', 'idle', 'powered_off')
ORDER BY list_position(['undersized', 'oversized', 'idle', 'powered_off'], s.size_class::VARCHAR),
    s.reclaimable_vcpus DESC NULLS LAST, s.reclaimable_memory_bytes DESC NULLS LAST, s.entity_id
"""

CLASSES = """
SELECT
    size_class, count(*) AS vms,
    round(sum(reclaimable_vcpus), 2) AS reclaimable_vcpus,
    round(sum(reclaimable_memory_bytes)) AS reclaimable_memory_bytes,
    round(sum(reclaimable_disk_bytes)) AS reclaimable_disk_bytes,
    min(size_reason) AS example_reason
FROM {sized}
GROUP BY size_class
ORDER BY size_class
"""

TOTALS = """
SELECT
    entity_id, resource, unit, status, reason, allocated, demand_mean, demand_p95, demand_peak,
    capacity_remaining, slope_per_day, direction, projected_30d, projected_30d_high, window_days, days_used
FROM {capacity}
WHERE {days} AND scenario = '' AND entity_kind = 'tenant'
ORDER BY entity_id, resource
"""

NODES = """
SELECT
    resource, unit, count(*) AS nodes, sum(physical) AS physical, sum(usable) AS usable,
    round(sum(demand_mean), 3) AS demand_mean, round(sum(capacity_remaining), 3) AS capacity_remaining
FROM {capacity}
WHERE {days} AND scenario = '' AND entity_kind = 'node' AND status = 'ok'
GROUP BY resource, unit
ORDER BY resource, unit
"""

USE = """
SELECT
    c.entity_kind, c.entity_id, n.vm_name, c.resource, c.unit, c.level, c.physical, c.usable, c.demand_mean,
    c.demand_p95, c.demand_peak, c.utilization_percent, c.capacity_remaining
FROM {capacity} AS c
LEFT JOIN {names} AS n ON c.entity_kind = 'vm' AND n.vm_id = c.entity_id
WHERE {days} AND c.scenario = '' AND c.status = 'ok' AND c.entity_kind <> 'tenant'
ORDER BY c.utilization_percent DESC NULLS LAST, c.entity_kind, c.entity_id, c.resource
"""

UNKNOWN = """
SELECT status, entity_kind, reason, count(*) AS resources, count(DISTINCT entity_id) AS entities,
    min(entity_id) AS example, list(DISTINCT resource::VARCHAR ORDER BY resource::VARCHAR) AS without_answer
FROM {capacity}
WHERE {days} AND scenario = '' AND status <> 'ok'
GROUP BY status, entity_kind, reason
ORDER BY resources DESC, status, entity_kind, reason
"""

STATES = """
SELECT state, count(*) AS vms, sum(vcpus) AS vcpus,
    sum(memory_bytes)::DOUBLE AS memory_bytes, sum(disk_bytes)::DOUBLE AS disk_bytes
FROM (
    SELECT * FROM {inventory} WHERE {days}
    QUALIFY row_number() OVER (PARTITION BY vm_id ORDER BY valid_from DESC) = 1
)
GROUP BY state
ORDER BY state
"""

FINDINGS = (
    ("capacity.summary", "Resources looked at", SUMMARY),
    ("capacity.exhaustion", "What runs out, soonest first", EXHAUSTION),
    ("capacity.classes", "VMs by size class", CLASSES),
    ("capacity.sizes", "VMs of the wrong size", SIZES),
    ("capacity.totals", "Allocated against used, all VMs together", TOTALS),
    ("capacity.nodes", "What all nodes together have", NODES),
)
"""Id, title and SQL of the figures that page one is read from."""

EVIDENCE = (("capacity.use", "Every resource, fullest first", USE),)

INVENTORY = ("inventory.states", "VMs by state at the day's end", STATES)

COVERAGE = (("capacity.unknown", "Resources without an answer, by reason", UNKNOWN),)
