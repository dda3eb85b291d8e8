"""Messages as QR codes, still and animated: drawn with segno, read with zxing-cpp.

A code holds the text form of a frame, or of a part of one, in the alphanumeric mode, so that any
scanner's result can be pasted. It costs a thirtieth more than raw bytes. A frame that fits a code
of version 25 stays one still code; a longer one becomes a series of parts (`docs/protocol.md`).
"""

from client_sdk.transports.qr.animate import Speed, write_gif, write_pictures
from client_sdk.transports.qr.draw import Series, still
from client_sdk.transports.qr.read import (
    CodeReader,
    Picture,
    Progress,
    read_images,
    read_live,
)
from client_sdk.transports.qr.screen import Screen
from client_sdk.transports.qr.webcam import webcam

__all__ = [
    "CodeReader",
    "Picture",
    "Progress",
    "Screen",
    "Series",
    "Speed",
    "read_images",
    "read_live",
    "still",
    "webcam",
    "write_gif",
    "write_pictures",
]
