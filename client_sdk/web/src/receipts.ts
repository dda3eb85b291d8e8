/** What a payee signs once a payment is stored. */

import { compareBytes } from "./bytes.js";
import { CHAINS_MAX, OBJECT_BYTES_MAX } from "./constants.js";
import { bytes, exactly, list, objectKind, refuse, required, uint, type BodyOf } from "./fields.js";

export const RECEIPT = objectKind(
  "receipt",
  {
    type: required(1, exactly(6)),
    transferIds: required(2, list(bytes(32), 1, CHAINS_MAX)),
    requestId: required(3, bytes(16)),
    amount: required(4, uint(1)),
    time: required(5, uint()),
  },
  {
    bytesMax: OBJECT_BYTES_MAX,
    check: ({ transferIds }) => {
      const ascending = transferIds.every(
        (id, at) => at === 0 || compareBytes(transferIds[at - 1]!, id) < 0,
      );
      if (!ascending) refuse("transfer ids that do not ascend");
    },
  },
);

export type Receipt = BodyOf<typeof RECEIPT>;
