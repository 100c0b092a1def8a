"""`did you mean …?`: the closest known word, at a distance of at most two edits."""

from collections.abc import Iterable

FARTHEST = 2


def closest(word: str, known: Iterable[str], *, any_case: bool = False) -> str:
    """The first of the nearest known words; empty where none is near, or where the word itself is known.

    With `any_case`, case does not count and the answer takes the case the word has, if that is all one case.
    """
    wanted = word.lower() if any_case else word
    best, best_distance = "", FARTHEST + 1
    for option in known:
        have = option.lower() if any_case else option
        if have == wanted:
            return ""
        distance = _distance(wanted, have, best_distance)
        if distance < best_distance:
            best, best_distance = have, distance
    if any_case and word.isupper():
        return best.upper()
    return best


def hint(word: str, known: Iterable[str], *, any_case: bool = False) -> str:
    """` (did you mean X?)`, or nothing."""
    match = closest(word, known, any_case=any_case)
    return f" (did you mean {match}?)" if match else ""


def _distance(one: str, other: str, limit: int) -> int:
    """Levenshtein's distance; anything that reaches `limit` is told as `limit`."""
    if abs(len(one) - len(other)) >= limit:
        return limit
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return min(row[-1], limit)
