"""What can be set about suspects, with units and defaults."""

from pydantic import Field

from analytics_assets.components import Parameters


class SuspectsParameters(Parameters):
    """Which incidents are looked into, and against how much history."""

    history_days: int = Field(
        2, ge=1, le=14, description="Days, the incident's own among them, whose samples tell what is usual."
    )
    maximum_incidents: int = Field(
        50,
        ge=1,
        le=1000,
        description="Incidents of a day that are looked into; of more, those with the highest score. For the platform, "
        "so many of its nodes and so many of the tenants' VMs.",
    )
    suspects_per_incident: int = Field(5, ge=1, le=50, description="Suspects that are shown of an incident.")
    minimum_window_minutes: int = Field(
        15, ge=1, le=1440, description="A shorter incident is looked at for so long from its start, in minutes."
    )
    lead_minutes: int = Field(
        15,
        ge=0,
        le=1440,
        description="Time before an incident that belongs to its course, at most half of it, in minutes.",
    )
