/** One change of owner: units `[lo, hi)` of the parent now belong to the payee. */

import { OBJECT_BYTES_MAX } from "./constants.js";
import type { Signed } from "./cose.js";
import {
  bytes,
  exactly,
  key,
  objectKind,
  optional,
  refuse,
  required,
  uint,
  type BodyOf,
} from "./fields.js";

/** Kinds of transfer; a payment has none in its payload. */
export const RETURN = 1;
export const CLAIM = 2;

export const TRANSFER = objectKind(
  "transfer",
  {
    type: required(1, exactly(5)),
    parent: required(2, bytes(32)),
    lo: required(3, uint()),
    hi: required(4, uint()),
    payee: required(5, key),
    requestId: required(6, bytes(16)),
    sequence: required(7, uint()),
    time: required(8, uint()),
    kind: optional(9, uint(RETURN, CLAIM)),
  },
  {
    bytesMax: OBJECT_BYTES_MAX,
    check: ({ lo, hi }) => {
      if (hi <= lo) refuse("an interval without units");
    },
  },
);

export type Transfer = BodyOf<typeof TRANSFER>;

/** Whether a transfer pays, and is neither a return nor a claim. */
export function isPayment(transfer: Signed<Transfer>): boolean {
  return transfer.body.kind === undefined;
}

/** Whether two half-open intervals share a unit. */
export function overlap(left: Interval, right: Interval): boolean {
  return left.lo < right.hi && right.lo < left.hi;
}

/** Units from `lo`, which is one of them, to `hi`, which is not. */
export interface Interval {
  readonly lo: number;
  readonly hi: number;
}
