/** Who issues: key sets. Who may pay: device certificates. Which key is whose: key bindings. */

import { compareBytes, equalBytes, toHex } from "./bytes.js";
import { HOPS_MAX, OBJECT_BYTES_MAX } from "./constants.js";
import type { Signed } from "./cose.js";
import { ProtocolError } from "./errors.js";
import {
  bytes,
  currency,
  exactly,
  key,
  list,
  objectKind,
  optional,
  refuse,
  required,
  text,
  tuple,
  uint,
  type BodyOf,
} from "./fields.js";
import type { PublicKey } from "./keys.js";

/** What a key of a key set is for. */
export const ISSUE = 1;
export const SETTLE = 2;

/** Where the certificate log stood: how many entries, and the head after the last. */
export const logHead = tuple({ size: uint(), head: bytes(32) });

/** The keys of an issuer; signed by its root key, which stays offline. */
export const KEY_SET = objectKind(
  "key-set",
  {
    version: required(1, uint(1)),
    issuer: required(2, text(64)),
    keys: required(
      3,
      list(
        tuple({
          kid: bytes(1, 8),
          key,
          notBefore: uint(),
          notAfter: uint(),
          use: uint(ISSUE, SETTLE),
        }),
        1,
        32,
      ),
    ),
    epochFloor: required(4, uint()),
    time: required(5, uint()),
    previous: optional(6, bytes(32)),
    scales: optional(7, list(tuple({ currency, places: uint(0, 18) }), 1, 64)),
    log: optional(8, logHead),
  },
  {
    bytesMax: OBJECT_BYTES_MAX,
    check: ({ keys, scales }) => {
      const named = new Set(keys.map((one) => `${one.use} ${toHex(one.kid)}`));
      if (named.size < keys.length) refuse("two keys of one use share a kid");
      if (keys.some((one) => one.notAfter < one.notBefore)) refuse("a key that ends before it begins");
      const codes = scales?.map((scale) => scale.currency) ?? [];
      if (codes.some((code, at) => at > 0 && code <= codes[at - 1]!)) refuse("scales out of order");
    },
  },
);

export type KeySet = BodyOf<typeof KEY_SET>;

/** Says that the issuer knows a device, and what it may do. */
export const DEVICE_CERTIFICATE = objectKind(
  "device-certificate",
  {
    type: required(1, exactly(2)),
    kid: required(2, bytes(1, 8)),
    deviceKey: required(3, key),
    validFrom: required(4, uint()),
    validTo: required(5, uint()),
    limits: required(6, tuple({ paymentMax: uint(), balanceMax: uint(), hopsMax: uint(0, HOPS_MAX) })),
    assurance: required(7, uint(1, 2)),
    displayName: optional(8, text(64)),
  },
  {
    bytesMax: OBJECT_BYTES_MAX,
    check: ({ validFrom, validTo }) => {
      if (validTo < validFrom) refuse("valid_to is before valid_from");
    },
  },
);

export type DeviceCertificate = BodyOf<typeof DEVICE_CERTIFICATE>;

/** Says whose a further key of a device is; signed by that further key. */
export const KEY_BINDING = objectKind(
  "key-binding",
  {
    type: required(1, exactly(10)),
    owner: required(2, key),
    bound: required(3, key),
    issuer: required(4, bytes(32)),
  },
  { bytesMax: OBJECT_BYTES_MAX },
);

export type KeyBinding = BodyOf<typeof KEY_BINDING>;

function find(keySet: KeySet, kid: Uint8Array, at: number, use: number): PublicKey | undefined {
  return keySet.keys.find(
    (one) => one.use === use && equalBytes(one.kid, kid) && one.notBefore <= at && at <= one.notAfter,
  )?.key;
}

/** The key with this kid that issued at a time. */
export function issuingKey(keySet: KeySet, kid: Uint8Array, at: number): PublicKey | undefined {
  return find(keySet, kid, at, ISSUE);
}

/**
 * The key with this kid that served a use at a time.
 *
 * @throws ProtocolError 202 when there is none.
 */
export function issuerKey(keySet: KeySet, kid: Uint8Array, at: number, use: number): PublicKey {
  const key = find(keySet, kid, at, use);
  if (key === undefined) throw new ProtocolError(202);
  return key;
}

/** Whether a key settles at a time, so that claims may go to it. */
export function isSettlingKey(keySet: KeySet, candidate: PublicKey, at: number): boolean {
  return keySet.keys.some(
    (one) => one.use === SETTLE && one.key.equals(candidate) && one.notBefore <= at && at <= one.notAfter,
  );
}

/** Whether the issuer deals in this currency. A key set without scales leaves that open. */
export function knowsCurrency(keySet: KeySet, code: string): boolean {
  return keySet.scales === undefined || keySet.scales.some((scale) => scale.currency === code);
}

/**
 * Check a key set that may replace the one in use.
 *
 * @throws ProtocolError 201.
 */
export async function verifyKeySet(
  offered: Signed<KeySet>,
  root: PublicKey,
  inUse?: Signed<KeySet>,
): Promise<void> {
  if (!(await offered.isSignedBy(root))) throw new ProtocolError(201, "the root did not sign it");
  if (inUse === undefined || equalBytes(offered.id, inUse.id)) return;
  const { version, time, previous } = offered.body;
  if (version <= inUse.body.version) throw new ProtocolError(201, "not a higher version");
  if (time < inUse.body.time) throw new ProtocolError(201, "signed earlier than the one in use");
  if (version !== inUse.body.version + 1) return;
  if (previous === undefined || compareBytes(previous, inUse.id) !== 0) {
    throw new ProtocolError(201, "does not follow the one in use");
  }
}
