"""When a container that ended starts again, and how soon. Pure."""

from wharf.spec.container import ContainerRecord

FIRST_DELAY = 0.1
"""Seconds; doubled at each restart."""
LONGEST_DELAY = 60.0
GOOD_RUN = 10.0
"""Seconds after which a run counts as good and the delay begins anew."""


def should_restart(record: ContainerRecord, exit_code: int) -> bool:
    """Whether the policy wants it, at the end of a run."""
    policy = record.host_config.restart_policy
    if record.manually_stopped:
        return False
    if policy.name in ("always", "unless-stopped"):
        return True
    if policy.name == "on-failure" and exit_code != 0:
        return policy.maximum_retry_count == 0 or record.restart_count < policy.maximum_retry_count
    return False


def restarts_with_daemon(record: ContainerRecord) -> bool:
    """Whether a container that is not running starts when the daemon does."""
    policy = record.host_config.restart_policy.name
    return policy == "always" or (policy == "unless-stopped" and not record.manually_stopped)


def next_delay(previous: float, ran_seconds: float) -> float:
    """Seconds until the next start; `previous` 0 for the first."""
    if previous == 0.0 or ran_seconds >= GOOD_RUN:
        return FIRST_DELAY
    return min(previous * 2, LONGEST_DELAY)
