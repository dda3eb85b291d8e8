"""What there is to be compared with: a Litestar endpoint that touches nothing.

It reads the same body and gives an answer of the same shape as a transfer does, on the same HTTP
server with the same settings. `bare_server PORT_FILE`
"""

import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import uvicorn
from litestar import Litestar, post
from litestar.params import JSONBody

from server.payments.transfers.schemas import PersonView, TransferCreate, TransferView

_NOW = datetime(2030, 1, 1, tzinfo=UTC)
_ID = UUID(int=1)


@post("/v1/transfers")
async def create_transfer(data: JSONBody[TransferCreate]) -> TransferView:
    return TransferView(
        id=_ID,
        direction="sent",
        state="completed",
        amount=data.amount,
        currency=data.currency,
        received_amount=data.amount,
        received_currency=data.currency,
        counterpart=PersonView(user_id=_ID, username=data.to, name=data.to, address=None),
        note=data.note,
        refunded=0,
        refund_of=None,
        request_id=None,
        schedule_id=None,
        created_at=_NOW,
        settled_at=_NOW,
    )


def main(port_file: Path) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app = Litestar([create_transfer], openapi_config=None, logging_config=None)
    config = uvicorn.Config(app, log_config=None, access_log=False, http="h11", ws="none")
    port_file.write_text(str(listener.getsockname()[1]))
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
