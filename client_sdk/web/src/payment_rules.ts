/** Rules 501 to 604: payments, what comes back of them, and receipts. */

import { compareBytes, equalBytes, toHex } from "./bytes.js";
import { issuingKey } from "./certificates.js";
import { paymentLimit, transferSubjects, verifyChain, type TransferSubject } from "./chain_rules.js";
import { type Payment } from "./chains.js";
import { SLACK_S } from "./constants.js";
import type { Signed } from "./cose.js";
import type { Receipt } from "./receipts.js";
import { requestId, type PaymentRequest } from "./requests.js";
import { walk, type Rule, type TrustContext } from "./rules.js";
import { isPayment, overlap, RETURN } from "./transfers.js";

interface PaymentSubject {
  readonly payment: Payment;
  readonly request: Signed<PaymentRequest>;
  readonly context: TrustContext;
  /** Every transfer of every chain in its place. */
  readonly transfers: readonly TransferSubject[];
  /** The last one of each chain. */
  readonly last: readonly TransferSubject[];
}

/** Whether no two of the items clash. */
function noTwo<T>(items: readonly T[], clash: (left: T, right: T) => boolean): boolean {
  return items.every((left, at) => items.slice(at + 1).every((right) => !clash(left, right)));
}

function isOther(left: TransferSubject, right: TransferSubject): boolean {
  return !equalBytes(left.transfer.id, right.transfer.id);
}

export const PAYMENT_RULES: readonly Rule<PaymentSubject>[] = [
  { number: 501, holds: ({ last }) => last.every(({ transfer }) => isPayment(transfer)) },
  {
    number: 502,
    holds: ({ last, request }) =>
      last.every(({ transfer }) => transfer.body.payee.equals(request.body.payee)),
  },
  {
    number: 503,
    holds: ({ last, request }) =>
      last.every(({ transfer }) => equalBytes(transfer.body.requestId, requestId(request))),
  },
  {
    number: 504,
    holds: ({ last, request }) =>
      last.every(({ voucher }) => voucher.body.currency === request.body.currency),
  },
  {
    number: 505,
    holds: ({ last }) =>
      noTwo(
        last,
        (left, right) =>
          equalBytes(left.voucher.id, right.voucher.id) && overlap(left.transfer.body, right.transfer.body),
      ),
  },
  {
    number: 506,
    holds: ({ transfers }) =>
      noTwo(
        transfers,
        (left, right) =>
          equalBytes(left.parentId, right.parentId) &&
          overlap(left.transfer.body, right.transfer.body) &&
          isOther(left, right),
      ),
  },
  {
    number: 507,
    holds: ({ transfers }) =>
      noTwo(
        transfers,
        (left, right) =>
          left.transfer.body.sequence === right.transfer.body.sequence &&
          left.signer.equals(right.signer) &&
          isOther(left, right),
      ),
  },
  {
    number: 508,
    holds: ({ payment, request }) =>
      request.body.amount === 0 || payment.amount === BigInt(request.body.amount),
  },
  {
    number: 509,
    holds: ({ payment, last }) =>
      last.every((subject) => {
        const limit = paymentLimit(subject);
        return limit === Infinity || payment.amount <= BigInt(limit);
      }),
  },
  {
    number: 510,
    holds: ({ last, context }) => last.every(({ transfer }) => !context.isAhead(transfer.body.time)),
  },
  {
    number: 511,
    holds: ({ last, request }) =>
      last.every(({ transfer }) => transfer.body.time - request.body.expiresAt <= SLACK_S),
  },
  {
    number: 512,
    holds: ({ last, context }) => last.every(({ voucher }) => !context.hasPassed(voucher.body.spendBy)),
  },
  {
    number: 513,
    holds: ({ last, context }) =>
      last.every(
        ({ certificate }) =>
          certificate === undefined ||
          (!context.isAhead(certificate.body.validFrom) && !context.hasPassed(certificate.body.validTo)),
      ),
  },
  { number: 514, holds: ({ transfers, context }) => !transfers.some((one) => isRevoked(one, context)) },
];

function isRevoked(subject: TransferSubject, { keySet, revoked }: TrustContext): boolean {
  const { voucher, certificate, signer } = subject;
  const issuers = [issuingKey(keySet, voucher.body.kid, voucher.body.issuedAt)!];
  if (certificate !== undefined) {
    issuers.push(issuingKey(keySet, certificate.body.kid, certificate.body.validFrom)!);
  }
  return [voucher.id, signer.id, ...issuers.map((key) => key.id)].some((id) => revoked.has(id));
}

/**
 * Check a payment against the request that it answers.
 *
 * @throws ProtocolError 401 to 428 of the first chain that breaks a rule, else 501 to 514.
 */
export async function verifyPayment(
  payment: Payment,
  request: Signed<PaymentRequest>,
  context: TrustContext,
): Promise<void> {
  for (const chain of payment.chains) await verifyChain(chain, context.keySet);
  const places = payment.chains.map((chain) => [...transferSubjects(chain, context.keySet)]);
  await walk(PAYMENT_RULES, {
    payment,
    request,
    context,
    transfers: places.flat(),
    last: places.map((subjects) => subjects.at(-1)!),
  });
}

interface ReturnSubject {
  readonly payment: Payment;
  readonly sent: ReadonlySet<string>;
}

export const RETURN_RULES: readonly Rule<ReturnSubject>[] = [
  {
    number: 551,
    holds: ({ payment }) => payment.lastHops.every(({ transfer }) => transfer.body.kind === RETURN),
  },
  {
    number: 552,
    holds: ({ payment, sent }) => {
      const parents = payment.lastHops.map(({ transfer }) => toHex(transfer.body.parent));
      return new Set(parents).size === parents.length && parents.every((id) => sent.has(id));
    },
  },
];

/**
 * Check what comes back of our payments.
 *
 * @param sent ids of the transfers that we made.
 * @throws ProtocolError 401 to 428, 551 or 552.
 */
export async function verifyReturn(
  payment: Payment,
  sent: Iterable<Uint8Array>,
  context: TrustContext,
): Promise<void> {
  for (const chain of payment.chains) await verifyChain(chain, context.keySet);
  await walk(RETURN_RULES, { payment, sent: new Set(Array.from(sent, toHex)) });
}

/** What a payer has sent. */
export type Sent = Pick<Payment, "lastHops" | "amount">;

interface ReceiptSubject {
  readonly receipt: Signed<Receipt>;
  readonly request: Signed<PaymentRequest>;
  readonly payment: Sent;
}

export const RECEIPT_RULES: readonly Rule<ReceiptSubject>[] = [
  {
    number: 601,
    holds: ({ receipt, request }) => equalBytes(receipt.body.requestId, requestId(request)),
  },
  {
    number: 602,
    holds: ({ receipt, payment }) => {
      const paid = payment.lastHops.map(({ transfer }) => transfer.id).sort(compareBytes);
      const named = receipt.body.transferIds;
      return paid.length === named.length && paid.every((id, at) => equalBytes(id, named[at]!));
    },
  },
  {
    number: 603,
    holds: ({ receipt, payment }) => BigInt(receipt.body.amount) === payment.amount,
  },
  { number: 604, holds: ({ receipt, request }) => receipt.isSignedBy(request.body.payee) },
];

/**
 * Check the receipt for a payment that we made.
 *
 * @throws ProtocolError 601 to 604.
 */
export async function verifyReceipt(
  receipt: Signed<Receipt>,
  request: Signed<PaymentRequest>,
  payment: Sent,
): Promise<void> {
  await walk(RECEIPT_RULES, { receipt, request, payment });
}
