"""All tags of a repository, page by page (distribution specification, end-8)."""

from wharf.errors import Invalid, WharfError
from wharf.registry.client.errors import Misbehaves, for_pull
from wharf.registry.client.paging import MAX_PAGES, next_page
from wharf.registry.client.repository import Repository
from wharf.spec.image import load_json
from wharf.spec.reference import Reference, is_tag

MAX_PAGE = 4 << 20
MAX_TAGS = 100_000


def list_tags(repository: Repository, reference: Reference) -> list[str]:
    """The tags, each once, as the registry orders them. Raises as a pull; Misbehaves when there is no end to them."""
    tags: dict[str, None] = {}
    path = f"/v2/{repository.path}/tags/list"
    try:
        for _ in range(MAX_PAGES):
            data, link = repository.listing(path, MAX_PAGE)
            listed = load_json(data, "list of tags", MAX_PAGE).get("tags") or []
            if not isinstance(listed, list):
                raise Invalid("invalid list of tags: not a list")
            for tag in listed:  # it becomes a part of URLs and names
                if not isinstance(tag, str) or not is_tag(tag):
                    raise Invalid(f"invalid list of tags: {str(tag)[:200]!r} is none")
            tags.update(dict.fromkeys(listed))
            path = next_page(link)
            if not path:
                return list(tags)
            if len(tags) > MAX_TAGS:
                break
    except WharfError as error:
        raise for_pull(error, reference) from None
    raise Misbehaves(f"the list of tags of {reference.familiar_name} has no end")
