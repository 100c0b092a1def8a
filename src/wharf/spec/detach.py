"""Finding the keys that detach a client in what is typed; used by the edge and by the command line."""


class DetachFilter:
    """Looks for the keys in a stream, holding back a beginning of them until it is known to be none."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """The bytes to pass on, and whether the keys were seen."""
        if self._matched == 0 and self._keys[0] not in data:
            return data, False
        out = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(out), True
                continue
            out += self._keys[: self._matched]
            self._matched = 0
            if byte == self._keys[0]:
                self._matched = 1
            else:
                out.append(byte)
        return bytes(out), False
