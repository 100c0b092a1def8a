"""What steps of builds may be given beyond the usual, by BuildKit's names."""

ENTITLEMENTS = ("network.host", "security.insecure")
DEFAULT_ENTITLEMENTS = frozenset({"network.host"})
"""Those that dockerd grants where daemon.json is silent."""
