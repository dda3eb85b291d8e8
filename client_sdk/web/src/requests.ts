/** What a payee asks for. */

import { OBJECT_BYTES_MAX } from "./constants.js";
import type { Signed } from "./cose.js";
import {
  bytes,
  currency,
  exactly,
  key,
  list,
  objectKind,
  optional,
  required,
  text,
  uint,
  type BodyOf,
} from "./fields.js";

export const PAYMENT_REQUEST = objectKind(
  "payment-request",
  {
    type: required(1, exactly(4)),
    nonce: required(2, bytes(16)),
    payee: required(3, key),
    currency: required(4, currency),
    amount: required(5, uint()),
    expiresAt: required(6, uint()),
    sessionKey: required(7, bytes(32)),
    epoch: required(8, uint()),
    memo: optional(9, text(280)),
    transports: optional(10, list(text(128), 1, 8)),
    certificate: required(11, bytes(1, OBJECT_BYTES_MAX)),
  },
  { bytesMax: OBJECT_BYTES_MAX },
);

export type PaymentRequest = BodyOf<typeof PAYMENT_REQUEST>;

/** The 16 bytes by which a payment names a request. */
export function requestId(request: Signed<PaymentRequest>): Uint8Array {
  return request.id.slice(0, 16);
}
