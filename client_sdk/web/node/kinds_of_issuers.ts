/** Kinds of case about what an issuer publishes. */

import {
  ACCEPTANCE_POLICY,
  applyRevocationDelta,
  EMPTY_LOG_HEAD,
  fromHex,
  issuerKey,
  judge,
  KEY_SET,
  nextLogHead,
  NO_REVOCATIONS,
  paymentFacts,
  REVOCATION_DELTA,
  REVOCATION_LIST,
  takeRevocation,
  takeRevocationList,
  toHex,
  unseal,
  verifyAcceptancePolicy,
  verifyKeySet,
} from "../src/index.js";
import { bodyFacts, placesOf } from "./facts.js";
import { readPayment, type Judge } from "./judging.js";

export const ISSUERS: { readonly [kind: string]: Judge } = {
  issuer_key: (given) => {
    const key = issuerKey(given.keySet, given.bytes("kid"), given.number("at"), given.number("use"));
    return { key: toHex(key.raw) };
  },

  key_set: async (given) => {
    const offered = unseal(KEY_SET, given.bytes("offered"));
    const inUse = given.has("in_use") ? unseal(KEY_SET, given.bytes("in_use")) : undefined;
    await verifyKeySet(offered, given.key("root_key"), inUse);
    return { id: toHex(offered.id), version: offered.body.version };
  },

  revocation_list: async (given) => {
    const list = unseal(REVOCATION_LIST, given.bytes("list"));
    const held = given.has("held") ? given.held : NO_REVOCATIONS;
    const { epoch, entries } = await takeRevocationList(list, given.keySet, held);
    return { epoch, entries: toHex(entries) };
  },

  revocation_delta: async (given) => {
    const delta = unseal(REVOCATION_DELTA, given.bytes("delta"));
    const { epoch, entries } = await applyRevocationDelta(delta, given.keySet, given.held);
    return { epoch, entries: toHex(entries) };
  },

  revocation_piece: async (given) => {
    const { epoch, entries } = await takeRevocation(given.bytes("piece"), given.keySet, given.held);
    return { epoch, entries: toHex(entries) };
  },

  policy: async (given) => {
    const offered = unseal(ACCEPTANCE_POLICY, given.bytes("offered"));
    const inUse = given.has("in_use") ? unseal(ACCEPTANCE_POLICY, given.bytes("in_use")) : undefined;
    await verifyAcceptancePolicy(offered, given.keySet, inUse);
    return { id: toHex(offered.id), version: offered.body.version };
  },

  acceptance: (given) => {
    const { rules } = unseal(ACCEPTANCE_POLICY, given.bytes("policy")).body;
    const facts = paymentFacts(readPayment(given), given.number("now"), given.number("revocation_time"));
    const { verdict, applying } = judge(facts, rules);
    const { amount, ...others } = facts;
    return {
      facts: { ...bodyFacts(others), amount: String(amount) },
      verdict,
      applying: placesOf(applying, rules),
    };
  },

  certificate_log: (given) => {
    const ids = given.texts("certificate_ids").map(fromHex);
    const begin = given.has("head") ? given.bytes("head") : EMPTY_LOG_HEAD;
    const size = given.has("size") ? given.number("size") : 0;
    return { size: size + ids.length, head: toHex(ids.reduce(nextLogHead, begin)) };
  },
};
