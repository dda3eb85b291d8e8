/**
 * Rules 401 to 428: vouchers and transfers.
 *
 * They look at signed content and the key set only, so that the payee today and the issuer weeks later come to
 * the same verdict.
 */

import { equalBytes } from "./bytes.js";
import {
  isSettlingKey,
  issuingKey,
  knowsCurrency,
  type DeviceCertificate,
  type KeySet,
} from "./certificates.js";
import type { Chain, Hop } from "./chains.js";
import { SLACK_S } from "./constants.js";
import type { Signed } from "./cose.js";
import type { PublicKey } from "./keys.js";
import { walk, type Rule } from "./rules.js";
import { CLAIM, isPayment, RETURN, type Interval, type Transfer } from "./transfers.js";
import type { Voucher } from "./vouchers.js";

export interface VoucherSubject {
  readonly keySet: KeySet;
  readonly voucher: Signed<Voucher>;
}

/** A transfer in its place. */
export interface TransferSubject extends VoucherSubject, Hop {
  /** Owner of the parent. */
  readonly signer: PublicKey;
  /** Whole id of the voucher or of the transfer before. */
  readonly parentId: Uint8Array;
  readonly parentInterval: Interval;
  /** The transfer before, with its signer; nothing for the first. */
  readonly previous: { transfer: Signed<Transfer>; signer: PublicKey } | undefined;
  /** Payments up to and including this transfer. */
  readonly hops: number;
}

const NO_REQUEST = new Uint8Array(16);

async function isIssued(
  object: Signed<{ readonly kid: Uint8Array }>,
  keySet: KeySet,
  at: number,
): Promise<boolean> {
  const key = issuingKey(keySet, object.body.kid, at);
  return key !== undefined && object.isSignedBy(key);
}

/** Whether a key of the key set issued this certificate. */
export function isCertificateIssued(
  certificate: Signed<DeviceCertificate>,
  keySet: KeySet,
): Promise<boolean> {
  return isIssued(certificate, keySet, certificate.body.validFrom);
}

/** Whether a key of the key set issued this voucher. */
export function isVoucherIssued(voucher: Signed<Voucher>, keySet: KeySet): Promise<boolean> {
  return isIssued(voucher, keySet, voucher.body.issuedAt);
}

export const VOUCHER_RULES: readonly Rule<VoucherSubject>[] = [
  {
    number: 401,
    holds: ({ keySet, voucher: { body } }) => issuingKey(keySet, body.kid, body.issuedAt) !== undefined,
  },
  { number: 402, holds: ({ keySet, voucher }) => isVoucherIssued(voucher, keySet) },
  { number: 403, holds: ({ keySet, voucher }) => knowsCurrency(keySet, voucher.body.currency) },
];

export const TRANSFER_RULES: readonly Rule<TransferSubject>[] = [
  { number: 411, holds: ({ transfer, parentId }) => equalBytes(transfer.body.parent, parentId) },
  {
    number: 412,
    holds: ({ transfer: { body }, parentInterval }) =>
      parentInterval.lo <= body.lo && body.hi <= parentInterval.hi,
  },
  { number: 413, holds: ({ previous }) => previous?.transfer.body.kind !== CLAIM },
  { number: 414, holds: returnsWhole },
  { number: 415, holds: claimsAtIssuer },
  { number: 416, holds: ({ hops, voucher }) => hops <= voucher.body.limits.hopsMax },
  {
    number: 421,
    holds: (subject) => subject.certificate !== undefined || isHolder(subject),
  },
  {
    number: 422,
    holds: ({ certificate, signer }) => certificate?.body.deviceKey.equals(signer) ?? true,
  },
  {
    number: 423,
    holds: ({ certificate, keySet }) =>
      certificate === undefined || isCertificateIssued(certificate, keySet),
  },
  { number: 424, holds: isWithinCertificate },
  {
    number: 425,
    holds: ({ transfer, certificate, hops }) =>
      certificate === undefined || !isPayment(transfer) || hops <= certificate.body.limits.hopsMax,
  },
  {
    number: 426,
    holds: (subject) =>
      !isPayment(subject.transfer) ||
      subject.transfer.body.hi - subject.transfer.body.lo <= paymentLimit(subject),
  },
  { number: 427, holds: isInTime },
  { number: 428, holds: ({ transfer, signer }) => transfer.isSignedBy(signer) },
];

function isHolder({ voucher, signer }: TransferSubject): boolean {
  return signer.equals(voucher.body.holder);
}

/** Minor units that the signer may pay at once. */
export function paymentLimit(subject: TransferSubject): number {
  const { certificate, voucher } = subject;
  return Math.min(
    certificate?.body.limits.paymentMax ?? Infinity,
    isHolder(subject) ? voucher.body.limits.paymentMax : Infinity,
  );
}

function returnsWhole({ transfer: { body }, previous }: TransferSubject): boolean {
  if (body.kind !== RETURN) return true;
  if (previous === undefined || !isPayment(previous.transfer)) return false;
  const paid = previous.transfer.body;
  return (
    body.lo === paid.lo &&
    body.hi === paid.hi &&
    body.payee.equals(previous.signer) &&
    equalBytes(body.requestId, paid.requestId)
  );
}

function claimsAtIssuer({ transfer: { body }, keySet }: TransferSubject): boolean {
  const toIssuer = isSettlingKey(keySet, body.payee, body.time);
  if (body.kind !== CLAIM) return !toIssuer;
  return toIssuer && equalBytes(body.requestId, NO_REQUEST);
}

function isWithinCertificate({ transfer, certificate }: TransferSubject): boolean {
  if (certificate === undefined || !isPayment(transfer)) return true;
  const { validFrom, validTo } = certificate.body;
  const { time } = transfer.body;
  return validFrom - time <= SLACK_S && time <= validTo;
}

function isInTime({ transfer, voucher: { body } }: TransferSubject): boolean {
  const { time } = transfer.body;
  const last = isPayment(transfer) ? body.spendBy : body.claimBy;
  return body.issuedAt - time <= SLACK_S && time <= last;
}

/** The transfers of a chain, each in its place. */
export function* transferSubjects(chain: Chain, keySet: KeySet): Generator<TransferSubject> {
  const { voucher } = chain;
  let parentId = voucher.id;
  let parentInterval: Interval = { lo: 0, hi: voucher.body.value };
  let signer = voucher.body.holder;
  let previous: TransferSubject["previous"];
  let hops = 0;
  for (const { transfer, certificate } of chain.hops) {
    if (isPayment(transfer)) hops += 1;
    yield { keySet, voucher, transfer, certificate, signer, parentId, parentInterval, previous, hops };
    previous = { transfer, signer };
    parentId = transfer.id;
    parentInterval = transfer.body;
    signer = transfer.body.payee;
  }
}

/**
 * Check a chain from the voucher to its present owner.
 *
 * @throws ProtocolError 401 to 428.
 */
export async function verifyChain(chain: Chain, keySet: KeySet): Promise<void> {
  await walk(VOUCHER_RULES, { keySet, voucher: chain.voucher });
  for (const subject of transferSubjects(chain, keySet)) await walk(TRANSFER_RULES, subject);
}
