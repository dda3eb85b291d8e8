/** Kinds of case about carriers: the wire of a session, and Bluetooth LE. */

import {
  BleStreamReader,
  bleToken,
  CLOSE,
  fromHex,
  keyPair,
  PayeeSession,
  PayerSession,
  readFragment,
  serviceUuid,
  stepsToLock,
  StreamBroken,
  toHex,
  writeFragment,
} from "../src/index.js";
import { bodyFacts, type Json } from "./facts.js";
import type { Given } from "./given.js";
import { checkWriting, type Facts, type Judge } from "./judging.js";

function payer(given: Given): PayerSession {
  const ephemeral = keyPair(given.bytes("ephemeral"));
  if (!given.has("request_id")) return new PayerSession(ephemeral);
  const peer = { requestId: given.bytes("request_id"), sessionKey: given.bytes("session_key") };
  return new PayerSession(ephemeral, peer);
}

function payee(given: Given): PayeeSession {
  const offered = given.has("offered") ? given.bytes("offered") : undefined;
  const session = keyPair(given.bytes("session_secret"));
  return new PayeeSession(keyPair(given.bytes("ephemeral")), session, given.bytes("request_id"), offered);
}

function converse(given: Given): Facts {
  const session = given.text("role") === "payer" ? payer(given) : payee(given);
  const written = session instanceof PayeeSession ? [session.greeting] : [];
  const frames: string[] = [];
  for (const message of given.texts("received").map(fromHex)) {
    if (session.ended) break;
    const wasOpen = session.channel !== undefined;
    const { write, frame } = session.take(message);
    written.push(...write);
    if (frame !== undefined && frame.length > 0) frames.push(toHex(frame));
    if (!wasOpen && session.channel !== undefined) {
      written.push(...given.texts("says").map((said) => session.say(fromHex(said))));
    }
  }
  return {
    written: written.map(toHex),
    code: session.channel?.code ?? null,
    frames,
    end: session.ended ? "goodbye" : "open",
  };
}

function readStream(given: Given): Facts {
  const reader = new BleStreamReader();
  const steps: Json[] = [];
  for (const value of given.texts("values")) {
    const fragment = readFragment(fromHex(value));
    if (typeof fragment !== "object" || fragment.kind !== 4) throw new TypeError("the case holds DATA only");
    try {
      const { messages, gap } = reader.take(fragment.position, fragment.data);
      steps.push({ received: reader.received, messages: messages.map(toHex), gap });
    } catch (error) {
      if (!(error instanceof StreamBroken)) throw error;
      steps.push({ close: CLOSE.BROKEN });
      break;
    }
  }
  return { steps };
}

export const CARRIERS: { readonly [kind: string]: Judge } = {
  wire: converse,

  ble_address: (given) => {
    const token = bleToken(given.text("text"));
    return {
      token: token === undefined ? null : toHex(token),
      service: token === undefined ? null : serviceUuid(token),
    };
  },

  ble_resume: (given) => ({ steps: stepsToLock(given.bytes("lock"), given.bytes("key")) ?? null }),

  ble_fragment: (given) => {
    const value = given.bytes("value");
    const fragment = readFragment(value);
    if (fragment === undefined) return { fragment: null, answer: null };
    if (fragment === "other version") {
      return { fragment: null, answer: toHex(writeFragment({ kind: 7, reason: CLOSE.VERSION })) };
    }
    if (fragment.kind !== 7) checkWriting(writeFragment(fragment), value);
    return { fragment: bodyFacts(fragment), answer: null };
  },

  ble_stream: readStream,
};
