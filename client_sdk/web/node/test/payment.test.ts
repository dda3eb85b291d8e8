import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Chain,
  DEVICE_CERTIFICATE,
  ESP256,
  Evidence,
  Fountain,
  FRAME_KINDS,
  fromText,
  Initiator,
  ISSUE,
  KEY_SET,
  keyPair,
  PartCollector,
  partToText,
  Payment,
  PAYMENT_REQUEST,
  ProtocolError,
  RECEIPT,
  requestId,
  respond,
  seal,
  SETTLE,
  SoftwareSigner,
  toText,
  TRANSFER,
  TrustContext,
  unseal,
  verifyFraudProof,
  verifyPayment,
  verifyReceipt,
  verifyRequest,
  VOUCHER,
  type KeySet,
  type PublicKey,
  type Signed,
  type Signer,
} from "../../src/index.js";

const NOW = 1_800_000_000;
const DAY = 86_400;

function seed(number: number): Uint8Array {
  return new Uint8Array(32).fill(number);
}

const root = new SoftwareSigner(seed(1));
const issuing = new SoftwareSigner(seed(2));
const settling = new SoftwareSigner(seed(3));
const payer = new SoftwareSigner(seed(4), ESP256);
const shop = new SoftwareSigner(seed(5));

function kid(key: PublicKey): Uint8Array {
  return key.id.slice(0, 4);
}

async function trusted(): Promise<Signed<KeySet>> {
  const entry = (key: PublicKey, use: number) => ({
    kid: kid(key),
    key,
    notBefore: NOW - DAY,
    notAfter: NOW + DAY,
    use,
  });
  return seal(
    KEY_SET,
    {
      version: 1,
      issuer: "Bank",
      keys: [entry(issuing.publicKey, ISSUE), entry(settling.publicKey, SETTLE)],
      epochFloor: 0,
      time: NOW,
      previous: undefined,
      scales: [{ currency: "EUR", places: 2 }],
      log: undefined,
    },
    root,
  );
}

function certify(key: PublicKey) {
  return seal(
    DEVICE_CERTIFICATE,
    {
      type: 2,
      kid: kid(issuing.publicKey),
      deviceKey: key,
      validFrom: NOW - DAY,
      validTo: NOW + DAY,
      limits: { paymentMax: 50_000, balanceMax: 100_000, hopsMax: 4 },
      assurance: 2,
      displayName: undefined,
    },
    issuing,
  );
}

async function ask(amount: number) {
  const certificate = await certify(shop.publicKey);
  return seal(
    PAYMENT_REQUEST,
    {
      type: 4,
      nonce: new Uint8Array(16).fill(9),
      payee: shop.publicKey,
      currency: "EUR",
      amount,
      expiresAt: NOW + 300,
      sessionKey: keyPair(seed(6)).public,
      epoch: 0,
      memo: "bread",
      transports: ["qr"],
      certificate: certificate.envelope,
    },
    shop,
  );
}

function issue(holder: PublicKey) {
  return seal(
    VOUCHER,
    {
      type: 3,
      kid: kid(issuing.publicKey),
      serial: new Uint8Array(16).fill(7),
      currency: "EUR",
      value: 20_000,
      holder,
      issuedAt: NOW - 60,
      spendBy: NOW + DAY,
      limits: { hopsMax: 4, paymentMax: 20_000 },
      claimBy: NOW + 2 * DAY,
    },
    issuing,
  );
}

function transfer(
  by: Signer,
  parent: Uint8Array,
  lo: number,
  hi: number,
  request: Uint8Array,
  sequence: number,
) {
  return seal(
    TRANSFER,
    {
      type: 5,
      parent,
      lo,
      hi,
      payee: shop.publicKey,
      requestId: request,
      sequence,
      time: NOW,
      kind: undefined,
    },
    by,
  );
}

test("a payment made here is read, verified and receipted", async () => {
  const context = new TrustContext((await trusted()).body, NOW);
  const request = await ask(1_250);
  await verifyRequest(request, context);
  const voucher = await issue(payer.publicKey);
  const paid = await transfer(payer, voucher.id, 0, 1_250, requestId(request), 1);
  const sent = new Payment([new Chain(voucher, [{ transfer: paid, certificate: undefined }])]);

  const frame = fromText(toText({ kind: FRAME_KINDS.PAYMENT, body: sent.encode() }));
  const received = Payment.decode(frame.body);
  await verifyPayment(received, request, context);
  assert.equal(received.amount, 1_250n);

  const receipt = await seal(
    RECEIPT,
    { type: 6, transferIds: [paid.id], requestId: requestId(request), amount: 1_250, time: NOW },
    shop,
  );
  await verifyReceipt(unseal(RECEIPT, receipt.envelope), request, sent);
  await assert.rejects(
    verifyPayment(received, await ask(1_251), context),
    (error) => error instanceof ProtocolError && error.code === "payment_names_request",
  );
});

test("two transfers of one unit are a fraud proof in either order", async () => {
  const { body } = await trusted();
  const voucher = await issue(payer.publicKey);
  const one = await transfer(payer, voucher.id, 0, 100, new Uint8Array(16), 1);
  const two = await transfer(payer, voucher.id, 99, 200, new Uint8Array(16), 2);
  const proofs = [Evidence.of(one, two, { voucher }), Evidence.of(two, one, { voucher })];
  assert.deepEqual(proofs[0]!.encode(), proofs[1]!.encode());
  const conviction = await verifyFraudProof(Evidence.decode(proofs[0]!.encode()), body);
  assert.ok(conviction.key.equals(payer.publicKey));
  assert.deepEqual(conviction.units, { lo: 99, hi: 100 });
  assert.throws(() => Evidence.of(one, one, { voucher }), ProtocolError);
});

test("a body that could not be read again is not signed", async () => {
  const voucher = await issue(payer.publicKey);
  await assert.rejects(transfer(payer, voucher.id, 5, 5, new Uint8Array(16), 1), ProtocolError);
  await assert.rejects(transfer(payer, voucher.id, 0, 2 ** 53, new Uint8Array(16), 1), ProtocolError);
  await assert.rejects(transfer(payer, voucher.id, 0, 1, new Uint8Array(15), 1), ProtocolError);
});

test("both ends of a channel have one code and read each other", () => {
  const id = new Uint8Array(16).fill(1);
  const session = keyPair(seed(6));
  const initiator = new Initiator(id, session.public, keyPair(seed(7)));
  const { answer, channel } = respond(id, session, keyPair(seed(8)), initiator.message);
  const other = initiator.finish(answer);
  assert.equal(other.code, channel.code);
  assert.match(channel.code, /^[0-9]{6}$/);
  const message = Uint8Array.of(1, 2, 3);
  assert.deepEqual(channel.open(other.seal(message)), message);
  assert.deepEqual(other.open(channel.seal(message)), message);
  const sealed = other.seal(message);
  assert.throws(() => other.open(sealed), ProtocolError);
  assert.deepEqual(channel.open(sealed), message);
  assert.throws(() => channel.open(sealed), ProtocolError);
});

test("a frame comes out of its parts although every third is lost", () => {
  const frame = Uint8Array.from({ length: 1_000 }, (_, at) => (at * 7) & 0xff);
  const fountain = new Fountain(frame, 120);
  const collector = new PartCollector();
  let read: Uint8Array | undefined;
  for (let number = 1; read === undefined && number < 200; number++) {
    if (number % 3 !== 0) read = collector.add(partToText(fountain.part(number)));
  }
  assert.deepEqual(read, frame);
});
