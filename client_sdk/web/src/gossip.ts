/**
 * Bodies of the frames in which two devices exchange evidence after a payment.
 *
 * A tag says "these units of a parent whose id begins like this were signed away, and I have seen it". It is not
 * signed: it can be a reason to ask, never one to convict or to refuse. A spend is the signed transfer behind a
 * tag; two of them that contradict each other are a fraud proof.
 */

import { compareBytes, concatBytes, equalBytes, toHex } from "./bytes.js";
import { ARRAY, decode, encode, head, MAP, readHead, UINT } from "./cbor.js";
import { DEVICE_CERTIFICATE, type KeySet } from "./certificates.js";
import type { Chain } from "./chains.js";
import { OBJECT_BYTES_MAX, PAYMENT_BYTES_MAX } from "./constants.js";
import { unsealAt, type Signed } from "./cose.js";
import { ProtocolError } from "./errors.js";
import { bytes, list, objectKind, optional, refuse, required, tuple, uint, type BodyOf } from "./fields.js";
import { Evidence, verifyFraudProof, type Naming } from "./fraud.js";
import type { PublicKey } from "./keys.js";
import { overlap, TRANSFER, type Interval, type Transfer } from "./transfers.js";
import { VOUCHER } from "./vouchers.js";

const PREFIX_BYTES = 8;
export const TAGS_MAX = 256;
export const WANTS_MAX = 16;
const SPENDS_MAX = 32;
const PROOFS_MAX = 32;

const NEWS = objectKind(
  "news",
  {
    epoch: required(1, uint()),
    keySetVersion: required(2, uint()),
    policyVersion: required(3, uint()),
    budget: required(4, uint()),
    proofs: optional(5, bytes(PREFIX_BYTES, PREFIX_BYTES * PROOFS_MAX)),
  },
  {
    bytesMax: OBJECT_BYTES_MAX,
    check: ({ proofs }) => {
      const prefixes = splitPrefixes(proofs ?? new Uint8Array());
      const ascending = prefixes.every((one, at) => at === 0 || compareBytes(prefixes[at - 1]!, one) < 0);
      if (!ascending) refuse("proofs that do not ascend");
    },
  },
);

function splitPrefixes(joined: Uint8Array): Uint8Array[] {
  if (joined.length % PREFIX_BYTES !== 0) refuse("proofs are prefixes of 8 bytes");
  return Array.from({ length: joined.length / PREFIX_BYTES }, (_, at) =>
    joined.slice(at * PREFIX_BYTES, (at + 1) * PREFIX_BYTES),
  );
}

/** How much a device knows, and how many bytes it takes in this meeting. `proofs` are prefixes, one after another. */
export type News = BodyOf<typeof NEWS>;

/** @throws ProtocolError 101 or 102. */
export function readNews(body: Uint8Array): News {
  return NEWS.readPayload(body);
}

/** Body of a NEWS frame. */
export function writeNews(news: News): Uint8Array {
  return NEWS.writePayload(news);
}

/** Units of a parent whose id begins with the prefix were signed away. */
export interface Tag extends Interval {
  readonly prefix: Uint8Array;
}

/** The tag of a transfer. */
export function tagOf({ parent, lo, hi }: Transfer): Tag {
  return { prefix: parent.slice(0, PREFIX_BYTES), lo, hi };
}

/** Whether two tags share a unit, as far as their prefixes tell. */
export function tagsOverlap(left: Tag, right: Tag): boolean {
  return equalBytes(left.prefix, right.prefix) && overlap(left, right);
}

const tag = tuple({ prefix: bytes(PREFIX_BYTES), lo: uint(), hi: uint() });

/**
 * Read the body of a TAGS frame (at most 256) or of a WANT frame (16).
 *
 * @throws ProtocolError 101 or 102.
 */
export function readTags(body: Uint8Array, most: number): readonly Tag[] {
  const tags = list(tag, 0, most).read(decode(body, PAYMENT_BYTES_MAX));
  if (tags.some(({ lo, hi }) => hi <= lo)) refuse("a tag without units");
  const named = new Set(tags.map(({ prefix, lo, hi }) => `${toHex(prefix)} ${lo} ${hi}`));
  if (named.size < tags.length) refuse("a tag twice");
  return tags;
}

/** Body of a TAGS or a WANT frame. */
export function writeTags(tags: readonly Tag[]): Uint8Array {
  return encode(list(tag, 0, TAGS_MAX).write(tags));
}

/** A signed transfer, and where the issuer names its signer. */
export class Spend {
  constructor(
    readonly transfer: Signed<Transfer>,
    readonly naming: Naming,
  ) {}

  get signer(): PublicKey {
    const { certificate, voucher } = this.naming;
    return certificate !== undefined ? certificate.body.deviceKey : voucher.body.holder;
  }

  encode(): Uint8Array {
    const { certificate, voucher } = this.naming;
    const number = certificate !== undefined ? 3 : 4;
    return concatBytes(
      ...[head(MAP, 2), head(UINT, 1), this.transfer.envelope],
      ...[head(UINT, number), (certificate ?? voucher!).envelope],
    );
  }

  /** The fraud proof that the two make, verified, or undefined when they are no contradiction. */
  async provesAgainst(other: Spend, keySet: KeySet): Promise<Evidence | undefined> {
    if (equalBytes(this.transfer.id, other.transfer.id)) return undefined;
    const proof = Evidence.of(this.transfer, other.transfer, this.naming);
    try {
      await verifyFraudProof(proof, keySet);
    } catch (error) {
      if (error instanceof ProtocolError) return undefined;
      throw error;
    }
    return proof;
  }
}

/** Every transfer of a verified chain, with what names its signer. */
export function spendsOf({ voucher, hops }: Chain): Spend[] {
  return hops.map(
    ({ transfer, certificate }) =>
      new Spend(transfer, certificate === undefined ? { voucher } : { certificate }),
  );
}

/** Body of a RECORDS frame. */
export function writeSpends(spends: readonly Spend[]): Uint8Array {
  return concatBytes(head(ARRAY, spends.length), ...spends.map((spend) => spend.encode()));
}

/**
 * Read the body of a RECORDS frame. Nothing is verified.
 *
 * @throws ProtocolError 101, 102, 103, 111 or 112.
 */
export function readSpends(body: Uint8Array): Spend[] {
  if (body.length > PAYMENT_BYTES_MAX) throw new ProtocolError(101, "too long");
  const [count, firstAt] = readHead(body, 0, ARRAY);
  if (count > SPENDS_MAX) refuse("too many records");
  const spends: Spend[] = [];
  let at = firstAt;
  while (spends.length < count) {
    const [spend, end] = readSpend(body, at);
    spends.push(spend);
    at = end;
  }
  if (at !== body.length) throw new ProtocolError(101, "bytes after the value");
  return spends;
}

function readSpend(data: Uint8Array, at: number): [spend: Spend, end: number] {
  const [parts, firstAt] = readHead(data, at, MAP);
  if (parts !== 2) refuse("a record has two parts");
  const [first, transferAt] = readHead(data, firstAt, UINT);
  if (first !== 1) refuse("a record begins with a transfer");
  const [transfer, secondAt] = unsealAt(TRANSFER, data, transferAt);
  const [second, namedAt] = readHead(data, secondAt, UINT);
  if (second === 3) {
    const [certificate, end] = unsealAt(DEVICE_CERTIFICATE, data, namedAt);
    return [new Spend(transfer, { certificate }), end];
  }
  if (second !== 4) refuse("a record names its signer");
  const [voucher, end] = unsealAt(VOUCHER, data, namedAt);
  return [new Spend(transfer, { voucher }), end];
}
