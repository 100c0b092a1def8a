"""What Go's net/url says against the host of an URL, for the words that are Docker's."""

import re

from wharf.spec.quote import go_quote

_ESCAPE = re.compile(r"%(?!25|[89a-fA-F][0-9a-fA-F]).{0,2}", re.DOTALL)
"""In a host only what is not ASCII may be escaped, and the percent sign (RFC 6874)."""
_IN_HOSTS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!$&'()*+,;=:[]<>\"%")


def host_fault(host: str) -> str:
    """The end of a parse error for `name[:port]`, "" where there is none (validOptionalPort, shouldEscape)."""
    wrong = next((char for char in host if char not in _IN_HOSTS and char < "\x80"), "")
    if wrong:
        return f"invalid character {go_quote(wrong)} in host name"
    if escape := _ESCAPE.search(host):
        return f"invalid URL escape {go_quote(escape[0])}"
    if host.count(":") > 1 and "]" not in host:  # Go finds this when it connects (net.SplitHostPort)
        return "too many colons in address"
    _, colon, port = host.rpartition(":")
    if colon and "]" not in port and port and not (port.isascii() and port.isdigit()):
        return f"invalid port {go_quote(':' + port)} after host"
    if colon and port.isdigit() and int(port) > 65535:
        return "invalid port"
    return ""
