"""XML from outside, read so that it can do no harm.

No DTD, so no entities of its own making, neither external ones nor those that grow; no network; a
limit on bytes, on depth (libxml2's 256) and on the number of elements. Only encodings in which
markup is ASCII, so that nothing hides from the checks.
"""

from typing import Final

from lxml import etree

from server.payments.banks.errors import StatementInvalid

XML_BYTES_MAX: Final = 20_000_000
ELEMENTS_MAX: Final = 2_000_000
_ENCODINGS: Final = frozenset({"UTF-8", "ASCII", "US-ASCII", "ISO-8859-1"})


def read_xml(data: bytes, *, root: str) -> etree._Element:
    """Return the root's only child, whatever ISO 20022 namespace the document has.

    Raises:
        StatementInvalid: it is no XML, is too large, has a DTD, or its root is another.
    """
    if len(data) > XML_BYTES_MAX:
        raise StatementInvalid(f"The file has more than {XML_BYTES_MAX} bytes.")
    if b"\x00" in data or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise StatementInvalid(
            "The file has a document type, or is not in an encoding based on ASCII.",
            fix="Ask the bank for plain ISO 20022 in UTF-8.",
        )
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        document = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise StatementInvalid("The file is not well-formed XML.") from error
    info = document.getroottree().docinfo
    if info.internalDTD is not None or (info.encoding or "UTF-8").upper() not in _ENCODINGS:
        raise StatementInvalid("The file has a document type or an unusual encoding.")
    if sum(1 for _ in document.iter()) > ELEMENTS_MAX:
        raise StatementInvalid(f"The file has more than {ELEMENTS_MAX} elements.")
    found = [child for child in document if isinstance(child.tag, str)]
    if _name(document) != "Document" or len(found) != 1 or _name(found[0]) != root:
        raise StatementInvalid(f"The file is not an ISO 20022 document with {root}.")
    return found[0]


def text_at(element: etree._Element, path: str) -> str | None:
    """Return the text at a path of element names, whatever their namespace; None if not there."""
    found = element.find("/".join(f"{{*}}{name}" for name in path.split("/")))
    if found is None or found.text is None:
        return None
    return found.text.strip() or None


def all_at(element: etree._Element, path: str) -> list[etree._Element]:
    found: list[etree._Element] = element.findall(
        "/".join(f"{{*}}{name}" for name in path.split("/"))
    )
    return found


def _name(element: etree._Element) -> str:
    return str(etree.QName(element).localname)
