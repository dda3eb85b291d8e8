import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import {
  decodeCbor,
  encodeCbor,
  fromHex,
  ProtocolError,
  PublicKey,
  RECEIPT,
  unseal,
} from "../../src/index.js";

interface Case {
  name: string;
  does: "key" | "enrol" | "verify" | "cbor" | "envelope";
  key: string;
  message: string;
  signature: string;
  bytes: string;
  verdict: number;
}

interface Trap {
  trap: string;
  why: string;
  cases: Case[];
}

const file =
  process.env["TRAPS"] ?? join(process.cwd(), "..", "..", "tests", "unit", "published", "traps.json");
const traps = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Trap[]) : [];

const DOES: { readonly [does in Case["does"]]: (given: Case) => void | Promise<void> } = {
  key: ({ key }) => void PublicKey.decode(fromHex(key)),
  enrol: ({ key }) => {
    if (!PublicKey.decode(fromHex(key)).isOfPrimeOrder) throw new ProtocolError(112);
  },
  verify: async ({ key, message, signature }) => {
    const good = await PublicKey.decode(fromHex(key)).verifies(fromHex(message), fromHex(signature));
    if (!good) throw new ProtocolError(113);
  },
  cbor: ({ bytes }) => assert.deepEqual(encodeCbor(decodeCbor(fromHex(bytes))), fromHex(bytes)),
  envelope: ({ bytes, key }) => unseal(RECEIPT, fromHex(bytes)).verify(PublicKey.decode(fromHex(key))),
};

async function verdict(given: Case): Promise<number> {
  try {
    await DOES[given.does](given);
  } catch (error) {
    if (error instanceof ProtocolError) return error.number;
    throw error;
  }
  return 0;
}

test(
  "the traps are there",
  { skip: existsSync(file) ? false : "the repository is not around this package" },
  () => {
    assert.ok(traps.length > 20);
  },
);

for (const { trap, why, cases } of traps) {
  test(`trap ${trap}: ${why}`, async () => {
    for (const given of cases) assert.equal(await verdict(given), given.verdict, given.name);
  });
}
