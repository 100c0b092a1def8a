"""Rows shown as docker's formatter shows them: a table, a table of one's own, JSON lines or a Go template."""

from __future__ import annotations

from wharf.cli.session import Session
from wharf.cli.table import align
from wharf.client import jsontext
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Column:
    """A column of the default table: the field's name in templates and its header."""

    __slots__ = ("header", "name")

    def __init__(self, name: str, header: str) -> None:
        self.name = name
        self.header = header


class Listing:
    """How a kind of thing is listed: default columns, the headers of all fields, the field that `-q` shows."""

    __slots__ = ("columns", "headers", "quiet_field")

    def __init__(self, columns: list[Column], headers: dict[str, str], quiet_field: str) -> None:
        self.columns = columns
        self.headers = headers
        self.quiet_field = quiet_field


def filter_flag(text: str) -> str:
    """The check of a `--filter` flag; raises ValueError for one without `=`."""
    if "=" not in text:
        raise ValueError("bad format of filter (expected name=value)")
    return text


def add_filters(given: list[str]) -> dict[str, dict[str, bool]] | None:
    """`--filter key=value` flags as the API's map form."""
    filters: dict[str, dict[str, bool]] = {}
    for text in given:
        key, _, value = text.partition("=")
        filters.setdefault(key.strip().lower(), {})[value.strip()] = True
    return filters or None


def show(session: Session, listing: Listing, rows: list[dict[str, Any]], form: str, quiet: bool = False) -> None:
    """Writes the rows in the form that `--format` names; `-q` shows one field only."""
    if quiet and (not form or form == "table"):
        session.write("".join(f"{row[listing.quiet_field]}\n" for row in rows))
    elif not form or form == "table":
        lines = [[column.header for column in listing.columns]]
        lines += [[str(row[column.name]) for column in listing.columns] for row in rows]
        session.write(align(lines))
    elif form == "json":
        for row in rows:
            plain = {key: value for key, value in row.items() if not callable(value)}
            session.line(jsontext.dumps(plain, sort_keys=True, escape_html=True))
    else:
        _show_template(session, listing, rows, form)


def _show_template(session: Session, listing: Listing, rows: list[dict[str, Any]], form: str) -> None:
    from wharf.cli.template import Template
    from wharf.cli.template_functions import TemplateError

    table = form.startswith("table")
    body = form[len("table") :].strip() if table else form
    body = body.replace("\\t", "\t").replace("\\n", "\n")
    try:
        template = Template(body)
    except TemplateError as error:
        raise Invalid(f"failed to parse template: template: {error.message}") from None
    texts = []
    try:
        if table:
            texts.append(template.execute({**listing.headers, "Label": _label_header}, _unknown))
        texts += [template.execute(row, _unknown) for row in rows]
    except TemplateError as error:
        raise Invalid(f"failed to execute template: template: {error.message}") from None
    if table:
        session.write(align([line.split("\t") for text in texts for line in text.split("\n")]))
    else:
        session.write("".join(text + "\n" for text in texts))


def _label_header(name: str) -> str:
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


def _unknown(path: tuple[str, ...]) -> Any:
    from wharf.cli.template_functions import TemplateError

    raise TemplateError(
        f':1:2: executing "" at <.{".".join(path)}>: can\'t evaluate field {path[-1]} in type *formatter.Context'
    )
