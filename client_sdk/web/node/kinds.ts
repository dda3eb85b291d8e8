/** What is done for each kind of conformance case. */

import { decode as decodeBase45, encode as encodeBase45 } from "../src/base45.js";
import {
  ACCEPTANCE_POLICY,
  applyRevocationDelta,
  Chain,
  decodeCbor,
  decodeFrame,
  DEVICE_CERTIFICATE,
  EMPTY_LOG_HEAD,
  encodeCbor,
  encodeFrame,
  equalBytes,
  Evidence,
  Fountain,
  fromHex,
  fromText,
  Initiator,
  issuerKey,
  judge,
  KEY_BINDING,
  KEY_SET,
  keyPair,
  nextLogHead,
  NO_REVOCATIONS,
  Payment,
  PAYMENT_REQUEST,
  paymentFacts,
  PartCollector,
  partToText,
  ProtocolError,
  readRefusal,
  RECEIPT,
  requestId,
  respond,
  REVOCATION_DELTA,
  REVOCATION_LIST,
  settle,
  StreamReader,
  takeRevocationList,
  toHex,
  toText,
  TRANSFER,
  unseal,
  verifyAcceptancePolicy,
  verifyChain,
  verifyCloneAlarm,
  verifyFraudProof,
  verifyKeySet,
  verifyPayment,
  verifyReceipt,
  verifyRequest,
  verifyReturn,
  VOUCHER,
  type Channel,
  type Kind,
  type Signed,
} from "../src/index.js";
import { bodyFacts, objectFacts, placesOf, settlementFacts, valueFacts, type Json } from "./facts.js";
import { Given } from "./given.js";

type Facts = { [name: string]: Json };

const OBJECTS = new Map(
  [
    ACCEPTANCE_POLICY,
    DEVICE_CERTIFICATE,
    KEY_BINDING,
    KEY_SET,
    PAYMENT_REQUEST,
    RECEIPT,
    REVOCATION_DELTA,
    REVOCATION_LIST,
    TRANSFER,
    VOUCHER,
  ].map((kind) => [kind.name, kind as unknown as Kind<object>]),
);

/** What was read and is written again has to be the same bytes. */
function checkWriting(written: Uint8Array, read: Uint8Array): void {
  if (!equalBytes(written, read)) throw new Error("writing gives other bytes than were read");
}

function readObject(given: Given): Signed<object> {
  const kind = OBJECTS.get(given.text("name"));
  if (kind === undefined) throw new TypeError("an unknown name");
  const signed = unseal(kind, given.bytes("envelope"));
  checkWriting(kind.writePayload(signed.body), signed.payload);
  checkWriting(signed.envelope, given.bytes("envelope"));
  return signed;
}

function readPayment(given: Given): Payment {
  const data = given.bytes("payment");
  const payment = Payment.decode(data);
  checkWriting(payment.encode(), data);
  return payment;
}

function readEvidence(data: Uint8Array): Evidence {
  const evidence = Evidence.decode(data);
  checkWriting(evidence.encode(), data);
  return evidence;
}

function lastIds(payment: Payment): string[] {
  return payment.lastHops.map(({ transfer }) => toHex(transfer.id)).sort();
}

/** Do one thing after the other; a refusal is the result of its step and does not end the others. */
function stepwise<T>(steps: readonly T[], act: (step: T) => Json): Json[] {
  return steps.map((step) => {
    try {
      return act(step);
    } catch (error) {
      if (error instanceof ProtocolError) return { error: error.number };
      throw error;
    }
  });
}

function useChannel(channel: Channel, given: Given): Facts {
  const steps = stepwise(given.list("steps"), (step) => {
    const one = new Given(step as Facts);
    return toHex(one.has("seal") ? channel.seal(one.bytes("seal")) : channel.open(one.bytes("open")));
  });
  return { hash: toHex(channel.hash), code: channel.code, steps };
}

function openSession(given: Given): Facts {
  const ephemeral = keyPair(given.bytes("ephemeral"));
  const id = given.bytes("request_id");
  if (given.text("role") === "payer") {
    const initiator = new Initiator(id, given.bytes("session_key"), ephemeral);
    const message = toHex(initiator.message);
    return { message, ...useChannel(initiator.finish(given.bytes("received")), given) };
  }
  const session = keyPair(given.bytes("session_secret"));
  const { answer, channel } = respond(id, session, ephemeral, given.bytes("received"));
  return { message: toHex(answer), ...useChannel(channel, given) };
}

/** By the name of the kind: facts, or a ProtocolError. */
export const KINDS: { readonly [kind: string]: (given: Given) => Facts | Promise<Facts> } = {
  cbor: (given) => {
    const value = decodeCbor(given.bytes("data"));
    checkWriting(encodeCbor(value), given.bytes("data"));
    return { value: valueFacts(value) };
  },

  base45: (given) => {
    const data = decodeBase45(given.text("text"));
    if (encodeBase45(data) !== given.text("text")) throw new Error("base45 is written differently");
    return { data: toHex(data) };
  },

  key: (given) => {
    const key = given.key("raw");
    return { id: toHex(key.id), algorithm: key.algorithm, prime_order: key.isOfPrimeOrder };
  },

  signature: async (given) => {
    const good = await given.key("key").verifies(given.bytes("message"), given.bytes("signature"));
    if (!good) throw new ProtocolError(113);
    return {};
  },

  object: (given) => objectFacts(readObject(given)) as Facts,

  signed: async (given) => {
    const signed = readObject(given);
    await signed.verify(given.key("key"));
    return { id: toHex(signed.id) };
  },

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

  frame: (given) => {
    const frame = decodeFrame(given.bytes("data"));
    checkWriting(encodeFrame(frame), given.bytes("data"));
    return { kind: frame.kind, body: toHex(frame.body) };
  },

  refusal: (given) => bodyFacts(readRefusal(given.bytes("data"))),

  text: (given) => {
    const frame = fromText(given.text("text"));
    if (toText(frame) !== given.text("text")) throw new Error("the text is written differently");
    return { frame: toHex(encodeFrame(frame)) };
  },

  fountain: (given) => {
    const fountain = new Fountain(given.bytes("frame"), given.number("characters_max"));
    const texts = given.list("numbers").map((number) => partToText(fountain.part(Number(number))));
    return { count: fountain.count, texts };
  },

  parts: (given) => {
    const collector = new PartCollector();
    const steps = stepwise(given.texts("texts"), (text) => {
      const frame = collector.add(text);
      return frame === undefined ? null : toHex(frame);
    });
    return { steps };
  },

  stream: (given) => {
    const reader = new StreamReader();
    return { messages: given.texts("chunks").flatMap((chunk) => reader.feed(fromHex(chunk)).map(toHex)) };
  },

  session: openSession,

  settlement: (given) => ({ roots: settlementFacts(settle(given.roots, given.policy)) }),
};

