"""Columns as Go's tabwriter lays them out with docker's settings: at least ten wide, three blanks between."""

MIN_WIDTH, PADDING = 10, 3


def align(lines: list[list[str]], minimum: int = MIN_WIDTH, padding: int = PADDING) -> str:
    """Lines of cells as text, each line ended. A cell that ends its line counts for no column's width.

    As in Go a column is a run of consecutive lines that have that cell; its width is its widest cell.
    """
    widths: list[list[int]] = [[0] * len(line) for line in lines]
    columns = max((len(line) for line in lines), default=0)
    for column in range(columns):
        start = 0
        while start < len(lines):
            if len(lines[start]) <= column + 1:
                start += 1
                continue
            end, width = start, 0
            while end < len(lines) and len(lines[end]) > column + 1:
                width = max(width, len(lines[end][column]))
                end += 1
            for row in range(start, end):
                widths[row][column] = max(width + padding, minimum)
            start = end
    out = []
    for line, wide in zip(lines, widths, strict=True):
        cells = [cell + " " * (wide[index] - len(cell)) for index, cell in enumerate(line[:-1])]
        out.append("".join(cells) + (line[-1] if line else "") + "\n")
    return "".join(out)


def ellipsis(text: str, width: int) -> str:
    """The text cut to `width` characters, the last of them `…` when something was cut."""
    return text if len(text) <= width else text[: width - 1] + "…"
