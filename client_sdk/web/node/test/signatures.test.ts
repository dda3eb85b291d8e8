import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { test } from "node:test";

import { p256 } from "@noble/curves/nist";

import { verifyEd25519, verifyEsp256, verifyEsp256Plainly } from "../../src/algorithms.js";
import { ESP256, fromHex, ProtocolError, PublicKey, SoftwareSigner } from "../../src/index.js";
import { missing, published } from "./published.js";

const text = new TextEncoder();

interface EdgeCase {
  number: number;
  key: string;
  sig: string;
  msg: string;
  flags: string[] | null;
}

// What libsodium refuses, by the flags of the C2SP/CCTV project.
const REFUSED_BY_LIBSODIUM = new Set([
  "low_order_A",
  "low_order_R",
  "low_order_residue",
  "non_canonical_A",
  "non_canonical_R",
]);

const EDGE_CASES = ["cctv-ed25519", "ed25519vectors.json"];

test(
  "of the edge cases of Ed25519 those are accepted that libsodium accepts",
  { skip: missing(...EDGE_CASES) },
  () => {
    const cases = published(...EDGE_CASES) as EdgeCase[];
    const accepted = cases.filter(({ key, sig, msg }) =>
      verifyEd25519(fromHex(key), text.encode(msg), fromHex(sig)),
    );
    const expected = cases.filter(({ flags }) => !flags?.some((flag) => REFUSED_BY_LIBSODIUM.has(flag)));
    assert.equal(cases.length, 914);
    assert.equal(accepted.length, 43);
    assert.deepEqual(
      accepted.map(({ number }) => number),
      expected.map(({ number }) => number),
    );
  },
);

interface Wycheproof {
  testGroups: {
    publicKey: { pk?: string; uncompressed?: string };
    tests: { tcId: number; msg: string; sig: string; result: string }[];
  }[];
}

const ED25519_FILE = ["wycheproof", "ed25519_test.json"];

test("the verdicts of Wycheproof on Ed25519 are ours", { skip: missing(...ED25519_FILE) }, () => {
  const { testGroups } = published(...ED25519_FILE) as Wycheproof;
  for (const { publicKey, tests } of testGroups) {
    for (const { tcId, msg, sig, result } of tests) {
      const good = verifyEd25519(fromHex(publicKey.pk!), fromHex(msg), fromHex(sig));
      assert.equal(good, result === "valid", `case ${tcId}`);
    }
  }
});

const P256_FILE = ["wycheproof", "ecdsa_secp256r1_sha256_p1363_test.json"];

/** Node 18 keeps WebCrypto in a module; there the library falls back to plain JavaScript by itself. */
async function withWebCrypto<T>(act: () => Promise<T>): Promise<T> {
  if ("crypto" in globalThis) return act();
  Object.defineProperty(globalThis, "crypto", { value: webcrypto, configurable: true });
  try {
    return await act();
  } finally {
    Reflect.deleteProperty(globalThis, "crypto");
  }
}

test(
  "the verdicts of Wycheproof on P-256 are ours, with WebCrypto and without",
  { skip: missing(...P256_FILE) },
  async () => {
    const { testGroups } = published(...P256_FILE) as Wycheproof;
    let seen = 0;
    for (const { publicKey, tests } of testGroups) {
      const point = p256.Point.fromHex(publicKey.uncompressed!).toBytes(true);
      for (const { tcId, msg, sig, result } of tests) {
        const [message, signature] = [fromHex(msg), fromHex(sig)];
        const wanted = result === "valid";
        assert.equal(verifyEsp256Plainly(point, message, signature), wanted, `case ${tcId}, plainly`);
        const good = await withWebCrypto(() => verifyEsp256(point, message, signature));
        assert.equal(good, wanted, `case ${tcId}, with WebCrypto`);
        seen += 1;
      }
    }
    assert.ok(seen > 200);
  },
);

for (const [name, signer] of [
  ["Ed25519", new SoftwareSigner(fromHex("07".repeat(32)))],
  ["P-256", new SoftwareSigner(fromHex("07".repeat(32)), ESP256)],
] as const) {
  test(`${name}: what a key signs it verifies, and nothing else`, async () => {
    const message = text.encode("pay 12.50");
    const signature = await signer.sign(message);
    assert.equal(await signer.publicKey.verifies(message, signature), true);
    assert.equal(await signer.publicKey.verifies(text.encode("pay 12.51"), signature), false);
    for (let at = 0; at < signature.length; at++) {
      const turned = signature.map((byte, place) => (place === at ? byte ^ 1 : byte));
      assert.equal(await signer.publicKey.verifies(message, turned), false, `byte ${at}`);
    }
    assert.equal(await signer.publicKey.verifies(message, signature.slice(1)), false);
    assert.deepEqual(await signer.sign(message), signature);
  });
}

test("a key of another length is malformed, one of small order is weak", () => {
  assert.throws(
    () => PublicKey.decode(new Uint8Array(31)),
    (error) => error instanceof ProtocolError && error.number === 102,
  );
  assert.throws(
    () => PublicKey.decode(new Uint8Array(32)),
    (error) => error instanceof ProtocolError && error.number === 112,
  );
  assert.throws(
    () => PublicKey.decode(new Uint8Array(33)),
    (error) => error instanceof ProtocolError && error.number === 112,
  );
});
