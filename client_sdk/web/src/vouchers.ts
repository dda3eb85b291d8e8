/** Value that the issuer put on a device: the interval `[0, value)` under one root. */

import { HOPS_MAX, OBJECT_BYTES_MAX } from "./constants.js";
import {
  bytes,
  currency,
  exactly,
  key,
  objectKind,
  refuse,
  required,
  tuple,
  uint,
  type BodyOf,
} from "./fields.js";

export const VOUCHER = objectKind(
  "voucher",
  {
    type: required(1, exactly(3)),
    kid: required(2, bytes(1, 8)),
    serial: required(3, bytes(16)),
    currency: required(4, currency),
    value: required(5, uint(1)),
    holder: required(6, key),
    issuedAt: required(7, uint()),
    spendBy: required(8, uint()),
    limits: required(9, tuple({ hopsMax: uint(1, HOPS_MAX), paymentMax: uint() })),
    claimBy: required(10, uint()),
  },
  {
    bytesMax: OBJECT_BYTES_MAX,
    check: ({ issuedAt, spendBy, claimBy }) => {
      if (spendBy < issuedAt || claimBy < spendBy) refuse("times out of order");
    },
  },
);

export type Voucher = BodyOf<typeof VOUCHER>;
