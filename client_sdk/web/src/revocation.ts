/** Signed lists of what is revoked, the deltas between them, and the log of certificates. */

import { sha256 } from "@noble/hashes/sha2";

import { asciiBytes, compareBytes, concatBytes, equalBytes, toHex } from "./bytes.js";
import { issuingKey, logHead, type KeySet } from "./certificates.js";
import {
  REVOCATION_DELTA_BYTES_MAX,
  REVOCATION_LIST_BYTES_MAX,
  REVOKED_PREFIX_BYTES,
} from "./constants.js";
import { payloadOf, unseal, type Signed } from "./cose.js";
import { ProtocolError } from "./errors.js";
import { bytes, exactly, objectKind, optional, refuse, required, uint, type BodyOf } from "./fields.js";

/** Everything that is revoked at one epoch. */
export const REVOCATION_LIST = objectKind(
  "revocation-list",
  {
    type: required(1, exactly(7)),
    kid: required(2, bytes(1, 8)),
    epoch: required(3, uint(1)),
    time: required(4, uint()),
    entries: required(5, bytes(0, REVOCATION_LIST_BYTES_MAX)),
    log: optional(6, logHead),
  },
  {
    bytesMax: REVOCATION_LIST_BYTES_MAX,
    check: ({ entries }) => void splitEntries(entries),
  },
);

export type RevocationList = BodyOf<typeof REVOCATION_LIST>;

/** What changed from one epoch to a later one. */
export const REVOCATION_DELTA = objectKind(
  "revocation-delta",
  {
    type: required(1, exactly(8)),
    kid: required(2, bytes(1, 8)),
    fromEpoch: required(3, uint()),
    toEpoch: required(4, uint(1)),
    time: required(5, uint()),
    added: required(6, bytes(0, REVOCATION_DELTA_BYTES_MAX)),
    removed: required(7, bytes(0, REVOCATION_DELTA_BYTES_MAX)),
    digest: required(8, bytes(32)),
    log: optional(9, logHead),
  },
  {
    bytesMax: REVOCATION_DELTA_BYTES_MAX,
    check: ({ fromEpoch, toEpoch, added, removed }) => {
      if (toEpoch <= fromEpoch) refuse("to_epoch is not after from_epoch");
      const gone = new Set(splitEntries(removed).map(toHex));
      if (splitEntries(added).some((entry) => gone.has(toHex(entry)))) {
        refuse("an entry both added and removed");
      }
    },
  },
);

export type RevocationDelta = BodyOf<typeof REVOCATION_DELTA>;

/**
 * The prefixes of a list.
 *
 * @throws ProtocolError 102 unless they are 8 bytes each and strictly ascending.
 */
export function splitEntries(joined: Uint8Array): Uint8Array[] {
  if (joined.length % REVOKED_PREFIX_BYTES !== 0) refuse("entries are 8 bytes each");
  const entries: Uint8Array[] = [];
  for (let at = 0; at < joined.length; at += REVOKED_PREFIX_BYTES) {
    const entry = joined.slice(at, at + REVOKED_PREFIX_BYTES);
    if (at > 0 && compareBytes(entries.at(-1)!, entry) >= 0) refuse("entries that do not ascend");
    entries.push(entry);
  }
  return entries;
}

/** What a delta promises of the list to which it leads. */
export function revokedDigest(entries: Uint8Array): Uint8Array {
  return sha256(concatBytes(asciiBytes("tallystick/1/revoked"), entries));
}

/** What a device knows: an epoch and what was revoked at it. Epoch 0 is knowing nothing. */
export interface HeldRevocations {
  readonly epoch: number;
  readonly entries: Uint8Array;
}

/** What a device holds that has never seen a list. */
export const NO_REVOCATIONS: HeldRevocations = { epoch: 0, entries: new Uint8Array() };

async function verifyIssued(
  signed: Signed<{ readonly kid: Uint8Array; readonly time: number }>,
  keySet: KeySet,
): Promise<void> {
  const key = issuingKey(keySet, signed.body.kid, signed.body.time);
  if (key === undefined || !(await signed.isSignedBy(key))) throw new ProtocolError(211);
}

/**
 * Take a list in place of what is held.
 *
 * @throws ProtocolError 211 when the issuer did not sign it, 212 when it is older, or of one epoch and different.
 */
export async function takeRevocationList(
  list: Signed<RevocationList>,
  keySet: KeySet,
  held: HeldRevocations = NO_REVOCATIONS,
): Promise<HeldRevocations> {
  await verifyIssued(list, keySet);
  const { epoch, entries } = list.body;
  if (epoch < held.epoch) throw new ProtocolError(212, "older than what is held");
  if (epoch === held.epoch && !equalBytes(entries, held.entries)) {
    throw new ProtocolError(212, "two lists of one epoch differ");
  }
  return { epoch, entries };
}

/**
 * Apply a delta to what is held.
 *
 * @throws ProtocolError 211 when the issuer did not sign it, 212 when it is for another state.
 */
export async function applyRevocationDelta(
  delta: Signed<RevocationDelta>,
  keySet: KeySet,
  held: HeldRevocations,
): Promise<HeldRevocations> {
  await verifyIssued(delta, keySet);
  const { fromEpoch, toEpoch, added, removed, digest } = delta.body;
  if (fromEpoch !== held.epoch) throw new ProtocolError(212, "begins at another epoch");
  const have = new Map(splitEntries(held.entries).map((entry) => [toHex(entry), entry]));
  for (const entry of splitEntries(removed)) {
    if (!have.delete(toHex(entry))) throw new ProtocolError(212, "removes what is not held");
  }
  for (const entry of splitEntries(added)) {
    if (have.has(toHex(entry))) throw new ProtocolError(212, "adds what is held");
    have.set(toHex(entry), entry);
  }
  const entries = concatBytes(...[...have.values()].sort(compareBytes));
  if (!equalBytes(revokedDigest(entries), digest)) throw new ProtocolError(212, "another digest");
  return { epoch: toEpoch, entries };
}

/** Head of a certificate log without entries. */
export const EMPTY_LOG_HEAD: Uint8Array = sha256(asciiBytes("tallystick/1/log"));

/** Head of a certificate log after one more certificate. */
export function nextLogHead(head: Uint8Array, certificateId: Uint8Array): Uint8Array {
  return sha256(concatBytes(asciiBytes("tallystick/1/log/entry"), head, certificateId));
}

/**
 * Take the body of a REVOCATION frame, a list or a delta, whatever epoch is held.
 *
 * A delta from epoch 0 counts as a list: its end is known whatever is held, and the epoch never falls.
 *
 * @throws ProtocolError 101 to 103 when it cannot be read, 211 when the issuer did not sign it, 212 when it is
 * older than what is held, of its epoch with other entries, or does not lead on from it.
 */
export async function takeRevocation(
  envelope: Uint8Array,
  keySet: KeySet,
  held: HeldRevocations,
): Promise<HeldRevocations> {
  const [, field, type] = payloadOf(envelope);
  if (field === 1 && type === 7) return takeRevocationList(unseal(REVOCATION_LIST, envelope), keySet, held);
  const delta = unseal(REVOCATION_DELTA, envelope);
  if (delta.body.fromEpoch !== 0) return applyRevocationDelta(delta, keySet, held);
  const taken = await applyRevocationDelta(delta, keySet, NO_REVOCATIONS);
  if (taken.epoch < held.epoch) throw new ProtocolError(212, "older than what is held");
  if (taken.epoch === held.epoch && !equalBytes(taken.entries, held.entries)) {
    throw new ProtocolError(212, "two sets of one epoch differ");
  }
  return taken;
}
