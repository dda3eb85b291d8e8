import assert from "node:assert/strict";
import { test } from "node:test";

import {
  bleToken,
  BleStreamReader,
  crc32,
  encodeFrame,
  fromHex,
  FRAME_KINDS,
  greetingOf,
  keyBefore,
  keyPair,
  PayeeSession,
  PayerSession,
  ProtocolError,
  serviceUuid,
  stepsToLock,
  StreamBroken,
  TalkOrder,
  toBleStream,
  toHex,
  writeFragment,
  writeNews,
} from "../../src/index.js";

const ID = new Uint8Array(16).fill(7);
const filled = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const text = (words: string): Uint8Array => new TextEncoder().encode(words);

function meet(): { payer: PayerSession; payee: PayeeSession } {
  const session = keyPair(filled(1));
  const payee = new PayeeSession(keyPair(filled(2)), session, ID);
  const payer = new PayerSession(keyPair(filled(3)), { requestId: ID, sessionKey: session.public });
  const [first] = payer.take(payee.greeting).write;
  const [second] = payee.take(first!).write;
  assert.deepEqual(payer.take(second!).write, []);
  return { payer, payee };
}

const refused = (number: number) => (error: unknown) =>
  error instanceof ProtocolError && error.number === number;

test("payer and payee meet, see the same digits and say goodbye", () => {
  const { payer, payee } = meet();
  assert.equal(payer.channel!.code, payee.channel!.code);
  assert.match(payer.channel!.code, /^\d{6}$/);
  assert.deepEqual(payee.take(payer.say(text("hello"))).frame, text("hello"));
  assert.equal(payer.take(payee.goodbye()).frame!.length, 0);
  assert.ok(payer.ended);
});

test("a session that has met one wrong message takes no good one", () => {
  const { payer, payee } = meet();
  const good = payer.say(text("one"));
  assert.throws(() => payee.take(good.slice(1)), refused(122));
  assert.throws(() => payee.take(good), refused(122));
});

test("a payee with another key than the promised one is left", () => {
  const session = keyPair(filled(1));
  const payee = new PayeeSession(keyPair(filled(2)), session, ID);
  const payer = new PayerSession(keyPair(filled(3)), { requestId: ID, sessionKey: session.public });
  const [first] = payer.take(greetingOf(keyPair(filled(4)).public)).write;
  const [second] = payee.take(first!).write;
  assert.throws(() => payer.take(second!), refused(121));
});

test("the examples of the specification for Bluetooth", () => {
  const token = bleToken("ble:0011223344556677")!;
  assert.equal(serviceUuid(token), "b5fd0990-1f6d-8694-a433-36198f89a14a");
  assert.equal(toHex(keyBefore(token)), "ed09428fe9d58e88");
  assert.equal(stepsToLock(fromHex("ed09428fe9d58e88"), token), 1);
  assert.equal(stepsToLock(token, token), undefined);
  const resume = { kind: 2, window: 4096, key: fromHex("0001020304050607"), received: 0x01f3a0 } as const;
  assert.equal(toHex(writeFragment(resume)), "020110000001020304050607" + "01f3a0");
  assert.equal(crc32(text("123456789")), 0xcbf4_3926);
});

test("a stream comes together whatever the order of its pieces", () => {
  const stream = toBleStream(text("a message"));
  const reader = new BleStreamReader();
  assert.deepEqual(reader.take(4, stream.slice(4)), { messages: [], gap: true });
  assert.deepEqual(reader.take(4, stream.slice(4)), { messages: [], gap: false });
  assert.deepEqual(reader.take(0, stream.slice(0, 5)), { messages: [], gap: false });
  assert.deepEqual(reader.take(4, stream.slice(4)).messages, [text("a message")]);
  const broken = toBleStream(text("a message"));
  broken[2]! ^= 1;
  assert.throws(() => new BleStreamReader().take(0, broken), StreamBroken);
});

test("a talk sends at most the smaller of both budgets and takes at most its own", () => {
  const news = (budget: number) =>
    encodeFrame({
      kind: FRAME_KINDS.NEWS,
      body: writeNews({ epoch: 0, keySetVersion: 1, policyVersion: 0, budget, proofs: undefined }),
    });
  const talk = new TalkOrder(false, 8_192);
  assert.deepEqual(talk.take(news(600)).due, [FRAME_KINDS.NEWS]);
  assert.equal(talk.limit, 600);
  const gift = (size: number) =>
    encodeFrame({ kind: FRAME_KINDS.POLICY, body: new Uint8Array(size) });
  talk.take(gift(700));
  assert.throws(() => talk.take(gift(7_500)), refused(104));
});
