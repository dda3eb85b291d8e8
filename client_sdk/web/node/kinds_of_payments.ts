/** Kinds of case about chains, requests, payments, evidence and settlement. */

import {
  Chain,
  Evidence,
  fromHex,
  PAYMENT_REQUEST,
  RECEIPT,
  requestId,
  settle,
  toHex,
  unseal,
  verifyChain,
  verifyCloneAlarm,
  verifyFraudProof,
  verifyPayment,
  verifyReceipt,
  verifyRequest,
  verifyReturn,
} from "../src/index.js";
import { settlementFacts } from "./facts.js";
import { checkWriting, lastIds, readPayment, type Judge } from "./judging.js";

function readEvidence(data: Uint8Array): Evidence {
  const evidence = Evidence.decode(data);
  checkWriting(evidence.encode(), data);
  return evidence;
}

export const PAYMENTS: { readonly [kind: string]: Judge } = {
  chain: async (given) => {
    const chain = Chain.decode(given.bytes("chain"));
    checkWriting(chain.encode(), given.bytes("chain"));
    await verifyChain(chain, given.keySet);
    return {
      tip_id: toHex(chain.tip.id),
      owner: toHex(chain.owner.raw),
      lo: chain.lo,
      hi: chain.hi,
      hops_used: chain.hopsUsed,
      currency: chain.voucher.body.currency,
      voucher_id: toHex(chain.voucher.id),
    };
  },

  request: async (given) => {
    const request = unseal(PAYMENT_REQUEST, given.bytes("request"));
    const certificate = await verifyRequest(request, given.context);
    return {
      request_id: toHex(requestId(request)),
      payee: toHex(request.body.payee.raw),
      display_name: certificate.body.displayName ?? null,
    };
  },

  payment: async (given) => {
    const payment = readPayment(given);
    const request = unseal(PAYMENT_REQUEST, given.bytes("request"));
    await verifyPayment(payment, request, given.context);
    return { amount: String(payment.amount), transfer_ids: lastIds(payment) };
  },

  return: async (given) => {
    const payment = readPayment(given);
    await verifyReturn(payment, given.texts("sent").map(fromHex), given.context);
    return { amount: String(payment.amount), transfer_ids: lastIds(payment) };
  },

  receipt: async (given) => {
    const receipt = unseal(RECEIPT, given.bytes("receipt"));
    const request = unseal(PAYMENT_REQUEST, given.bytes("request"));
    await verifyReceipt(receipt, request, readPayment(given));
    return { id: toHex(receipt.id) };
  },

  fraud_proof: async (given) => {
    const conviction = await verifyFraudProof(readEvidence(given.bytes("proof")), given.keySet);
    const { key, parent, units } = conviction;
    return { key: toHex(key.raw), parent: toHex(parent), lo: units.lo, hi: units.hi };
  },

  clone_alarm: async (given) => {
    const key = await verifyCloneAlarm(readEvidence(given.bytes("alarm")), given.keySet);
    return { key: toHex(key.raw) };
  },

  settlement: (given) => ({ roots: settlementFacts(settle(given.roots, given.policy)) }),
};
