import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeCbor, encodeCbor, fromHex, ProtocolError, toHex, type Value } from "../../src/index.js";
import { missing, published } from "./published.js";

function isMalformed(error: unknown): boolean {
  return error instanceof ProtocolError && error.number === 101;
}

test("map keys are written in the order of their bytes, however they were put in", () => {
  const map = new Map<number, Value>([
    [-24, 1],
    [23, 2],
    [-1, 3],
    [1, 4],
  ]);
  assert.equal(toHex(encodeCbor(map)), "a401041702200337" + "01");
});

test("nothing outside the subset is written", () => {
  const wrong: unknown[] = [
    -1,
    1.5,
    2 ** 53,
    Number.NaN,
    true,
    null,
    undefined,
    "e\u0301",
    "\ud800",
    new Map([[0, 1]]),
    new Map([[24, 1]]),
    new Map([[-25, 1]]),
    [[[[[[[]]]]]]],
    {},
  ];
  for (const value of wrong) assert.throws(() => encodeCbor(value as Value), isMalformed, String(value));
});

test("what is read does not change when the input does", () => {
  const data = fromHex("4401020304");
  const value = decodeCbor(data) as Uint8Array;
  data.fill(0);
  assert.equal(toHex(value), "01020304");
});

test("an input that claims far more than it holds is refused", () => {
  const data = new Uint8Array(4096).fill(0x9b);
  assert.throws(() => decodeCbor(data), isMalformed);
});

interface Example {
  hex: string;
  roundtrip: boolean;
  decoded?: unknown;
}

const EXAMPLES = ["cbor-rfc8949-appendix-a", "appendix_a.json"];
// Map keys that are no small integers, types and numbers that the profile leaves out.
const IN_PROFILE = new Set([
  ..."00 01 0a 17 1818 1819 1864 1903e8 1a000f4240 1b000000e8d4a51000 40 4401020304 60 6161 6449455446".split(
    " ",
  ),
  ..."62225c 62c3bc 63e6b0b4 64f0908591 80 83010203 8301820203820405 a0 a201020304".split(" "),
  "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
]);

test(
  "of the examples of RFC 8949 those of the profile are read, and no other",
  { skip: missing(...EXAMPLES) },
  () => {
    const examples = published(...EXAMPLES) as Example[];
    for (const { hex } of examples) {
      if (IN_PROFILE.has(hex)) assert.equal(toHex(encodeCbor(decodeCbor(fromHex(hex)))), hex);
      else assert.throws(() => decodeCbor(fromHex(hex)), isMalformed, hex);
    }
    const seen = new Set(examples.map(({ hex }) => hex));
    assert.deepEqual(
      [...IN_PROFILE].filter((hex) => !seen.has(hex)),
      [],
    );
  },
);
