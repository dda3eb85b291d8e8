/** Kinds of case about bytes, keys and single objects. */

import { decode as decodeBase45, encode as encodeBase45 } from "../src/base45.js";
import {
  ACCEPTANCE_POLICY,
  decodeCbor,
  DEVICE_CERTIFICATE,
  encodeCbor,
  KEY_BINDING,
  KEY_SET,
  PAYMENT_REQUEST,
  ProtocolError,
  RECEIPT,
  REVOCATION_DELTA,
  REVOCATION_LIST,
  toHex,
  TRANSFER,
  unseal,
  VOUCHER,
  type Kind,
  type Signed,
} from "../src/index.js";
import { objectFacts, valueFacts } from "./facts.js";
import type { Given } from "./given.js";
import { checkWriting, type Facts, type Judge } from "./judging.js";

const NAMED = new Map(
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

function readObject(given: Given): Signed<object> {
  const kind = NAMED.get(given.text("name"));
  if (kind === undefined) throw new TypeError("an unknown name");
  const signed = unseal(kind, given.bytes("envelope"));
  checkWriting(kind.writePayload(signed.body), signed.payload);
  checkWriting(signed.envelope, given.bytes("envelope"));
  return signed;
}

export const OBJECTS: { readonly [kind: string]: Judge } = {
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
};
