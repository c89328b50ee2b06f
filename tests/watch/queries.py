"""What tests ask a state file directly."""

from collections import Counter


def pending_alerts(state):
    """The alerts that nobody has been given yet, oldest first."""
    return state.rows(
        "SELECT alerts.alert_key, sites.name AS site, alerts.status, alerts.text, alerts.made_utc FROM alerts"
        " JOIN sites ON sites.fid = alerts.site_id WHERE alerts.delivered_utc IS NULL ORDER BY alerts.fid"
    )


def unfinished_passes(state):
    """The passes that have begun and not ended, oldest first."""
    return state.rows(
        "SELECT runs.fid AS run_id, sites.name AS site, runs.started_utc, runs.host, runs.pid FROM runs"
        " JOIN sites ON sites.fid = runs.site_id WHERE runs.status = 'running' ORDER BY runs.fid"
    )


def list_sites(state):
    """The sites with the numbers of their runs and objects, by name."""
    runs = Counter(row["site_id"] for row in state.rows("SELECT site_id FROM runs"))
    objects = Counter(row["site_id"] for row in state.rows("SELECT site_id FROM objects"))
    return [
        {"site": row["name"], "folder": row["folder"], "added_utc": row["added_utc"],
         "runs": runs[row["fid"]], "objects": objects[row["fid"]]}
        for row in state.rows("SELECT fid, name, folder, added_utc FROM sites ORDER BY name")
    ]  # fmt: skip
