"""Which metrics a table of samples measures, by the columns that hold their means."""

from collections.abc import Sequence

from resources.errors import InvalidInput
from resources.lake.table import Table


def measured_metrics(table: Table, wanted: Sequence[str] = ()) -> dict[str, str]:
    """Return the metrics that `table` measures (stem -> unit), or those `wanted` of them.

    Raises:
        InvalidInput: a wanted metric is not measured; the message names those that are.
    """
    measured = {
        column.name.removesuffix("_mean"): column.unit for column in table.columns if column.name.endswith("_mean")
    }
    for name in wanted:
        if name not in measured:
            raise InvalidInput(
                f"metric {name!r} is not measured by table {table.name}. Metrics there: {', '.join(measured)}."
            )
    return {name: measured[name] for name in wanted or measured}
