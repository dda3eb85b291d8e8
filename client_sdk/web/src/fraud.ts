/**
 * Evidence against a key: two transfers of it that contradict each other.
 *
 * Evidence is checked alone, with the key set. Nobody can make any without the key, so that it is safe to take
 * it from strangers.
 */

import { compareBytes, concatBytes, equalBytes } from "./bytes.js";
import { head, MAP, readHead, UINT } from "./cbor.js";
import { DEVICE_CERTIFICATE, issuingKey, type DeviceCertificate, type KeySet } from "./certificates.js";
import { PAYMENT_BYTES_MAX } from "./constants.js";
import { unsealAt, type Signed } from "./cose.js";
import { ProtocolError } from "./errors.js";
import { refuse } from "./fields.js";
import type { PublicKey } from "./keys.js";
import { overlap, TRANSFER, type Interval, type Transfer } from "./transfers.js";
import { VOUCHER, type Voucher } from "./vouchers.js";

/** Where the issuer names the key: in a certificate, or in a voucher as its holder. */
export type Naming =
  | { readonly certificate: Signed<DeviceCertificate>; readonly voucher?: never }
  | { readonly voucher: Signed<Voucher>; readonly certificate?: never };

/** What a fraud proof and a clone alarm look like; `verify...` says which of them it is. */
export class Evidence {
  constructor(
    readonly first: Signed<Transfer>,
    readonly second: Signed<Transfer>,
    readonly naming: Naming,
  ) {
    if (compareBytes(first.id, second.id) >= 0) refuse("transfers that do not ascend by id");
  }

  /**
   * Put two transfers, in whichever order they come, into evidence.
   *
   * @throws ProtocolError 102 when both are the same transfer.
   */
  static of(left: Signed<Transfer>, right: Signed<Transfer>, naming: Naming): Evidence {
    return compareBytes(left.id, right.id) < 0
      ? new Evidence(left, right, naming)
      : new Evidence(right, left, naming);
  }

  /** @throws ProtocolError 101, 102, 103, 111 or 112. */
  static decode(data: Uint8Array): Evidence {
    if (data.length > PAYMENT_BYTES_MAX) throw new ProtocolError(101, "too long");
    const [count, firstAt] = readHead(data, 0, MAP);
    if (count !== 3) refuse("evidence has three parts");
    const [first, secondAt] = unsealAt(TRANSFER, data, skipKey(data, firstAt, [1])[1]);
    const [second, namingAt] = unsealAt(TRANSFER, data, skipKey(data, secondAt, [2])[1]);
    const [number, namedAt] = skipKey(data, namingAt, [3, 4]);
    const [naming, end] = readNaming(number, data, namedAt);
    if (end !== data.length) throw new ProtocolError(101, "bytes after the value");
    return new Evidence(first, second, naming);
  }

  encode(): Uint8Array {
    const { certificate, voucher } = this.naming;
    const number = certificate !== undefined ? 3 : 4;
    return concatBytes(
      head(MAP, 3),
      ...[head(UINT, 1), this.first.envelope],
      ...[head(UINT, 2), this.second.envelope],
      ...[head(UINT, number), (certificate ?? voucher!).envelope],
    );
  }

  /** The key that is accused. */
  get accused(): PublicKey {
    const { certificate, voucher } = this.naming;
    return certificate !== undefined ? certificate.body.deviceKey : voucher.body.holder;
  }

  get isOfOneParent(): boolean {
    return equalBytes(this.first.body.parent, this.second.body.parent);
  }

  get overlaps(): boolean {
    return overlap(this.first.body, this.second.body);
  }
}

function skipKey(data: Uint8Array, at: number, allowed: number[]): [key: number, end: number] {
  const [key, end] = readHead(data, at, UINT);
  if (!allowed.includes(key)) refuse(`part ${key} in the place of ${allowed.join(" or ")}`);
  return [key, end];
}

function readNaming(number: number, data: Uint8Array, at: number): [naming: Naming, end: number] {
  if (number === 3) {
    const [certificate, end] = unsealAt(DEVICE_CERTIFICATE, data, at);
    return [{ certificate }, end];
  }
  const [voucher, end] = unsealAt(VOUCHER, data, at);
  return [{ voucher }, end];
}

/** Who signed one thing twice. */
export interface Conviction {
  readonly key: PublicKey;
  readonly parent: Uint8Array;
  /** The units that were signed away twice. */
  readonly units: Interval;
}

/**
 * Check a fraud proof.
 *
 * @throws ProtocolError 701 to 705.
 */
export async function verifyFraudProof(proof: Evidence, keySet: KeySet): Promise<Conviction> {
  if (!proof.isOfOneParent) throw new ProtocolError(701);
  if (!proof.overlaps) throw new ProtocolError(702);
  await verifySigned(proof, keySet);
  const [first, second] = [proof.first.body, proof.second.body];
  return {
    key: proof.accused,
    parent: first.parent,
    units: { lo: Math.max(first.lo, second.lo), hi: Math.min(first.hi, second.hi) },
  };
}

/**
 * Check a clone alarm: the state of the device was copied or set back.
 *
 * @throws ProtocolError 703 to 707.
 */
export async function verifyCloneAlarm(alarm: Evidence, keySet: KeySet): Promise<PublicKey> {
  if (alarm.first.body.sequence !== alarm.second.body.sequence) throw new ProtocolError(706);
  if (alarm.isOfOneParent && alarm.overlaps) throw new ProtocolError(707);
  await verifySigned(alarm, keySet);
  return alarm.accused;
}

async function verifySigned(evidence: Evidence, keySet: KeySet): Promise<void> {
  const { certificate, voucher } = evidence.naming;
  const named = certificate ?? voucher;
  const at = certificate !== undefined ? certificate.body.validFrom : voucher!.body.issuedAt;
  const issuer = issuingKey(keySet, named!.body.kid, at);
  if (issuer === undefined) throw new ProtocolError(703);
  if (!(await named!.isSignedBy(issuer))) throw new ProtocolError(704);
  const signed = [evidence.first, evidence.second].map((one) => one.isSignedBy(evidence.accused));
  if ((await Promise.all(signed)).includes(false)) throw new ProtocolError(705);
}
