/** What judges of several kinds of case share. */

import { equalBytes, Payment, toHex } from "../src/index.js";
import type { Json } from "./facts.js";
import type { Given } from "./given.js";

/** What a good case gives. */
export type Facts = { [name: string]: Json };

/** What was read and is written again has to be the same bytes. */
export function checkWriting(written: Uint8Array, read: Uint8Array): void {
  if (!equalBytes(written, read)) throw new Error("writing gives other bytes than were read");
}

export function readPayment(given: Given): Payment {
  const data = given.bytes("payment");
  const payment = Payment.decode(data);
  checkWriting(payment.encode(), data);
  return payment;
}

/** Ids of the last transfers of a payment's chains. */
export function lastIds(payment: Payment): string[] {
  return payment.lastHops.map(({ transfer }) => toHex(transfer.id)).sort();
}

/** Judges a case of one kind: facts, or a thrown ProtocolError. */
export type Judge = (given: Given) => Facts | Promise<Facts>;
