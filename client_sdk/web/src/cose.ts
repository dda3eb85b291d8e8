/**
 * The envelope: COSE_Sign1 (RFC 9052) without a tag, and ids.
 *
 * The kind of object is bound by the external data of the signature, which does not travel: a signature over
 * one kind never counts for another.
 */

import { sha256 } from "@noble/hashes/sha2";

import { ED25519, ESP256, SIGNATURE_BYTES, type Algorithm } from "./algorithms.js";
import { asciiBytes, concatBytes, equalBytes } from "./bytes.js";
import { BYTES, encode, readHead } from "./cbor.js";
import { ProtocolError } from "./errors.js";
import type { Kind } from "./fields.js";
import type { PublicKey, Signer } from "./keys.js";

const ALGORITHMS: readonly Algorithm[] = [ED25519, ESP256];
const HEAD_BYTES = 6;
const SIGNATURE_HEAD = Uint8Array.of(0x58, SIGNATURE_BYTES);

/** An object with the signature over it, not yet verified. */
export class Signed<B> {
  #id: Uint8Array | undefined;

  constructor(
    readonly kind: Kind<B>,
    readonly body: B,
    /** What the header says; `verify` compares it with the key. */
    readonly algorithm: Algorithm,
    readonly payload: Uint8Array,
    readonly signature: Uint8Array,
  ) {}

  /** The same content signed again has the same id. */
  get id(): Uint8Array {
    this.#id ??= objectId(this.kind.name, this.payload);
    return this.#id;
  }

  /** The bytes that carry it. */
  get envelope(): Uint8Array {
    const head = envelopeHead(this.algorithm);
    return concatBytes(head, encode(this.payload), SIGNATURE_HEAD, this.signature);
  }

  /** Whether the key signed this. A header of another algorithm than the key's says no. */
  async isSignedBy(key: PublicKey): Promise<boolean> {
    if (key.algorithm !== this.algorithm) return false;
    const message = toBeSigned(this.kind.name, this.algorithm, this.payload);
    return key.verifies(message, this.signature);
  }

  /** @throws ProtocolError 113 when the key did not sign this. */
  async verify(key: PublicKey): Promise<void> {
    if (!(await this.isSignedBy(key))) throw new ProtocolError(113);
  }
}

/** SHA-256 over the name of a kind and a payload: the id of that object. */
export function objectId(name: string, payload: Uint8Array): Uint8Array {
  return sha256(concatBytes(asciiBytes(`tallystick/1/id/${name}`), payload));
}

function protectedHeader(algorithm: Algorithm): Uint8Array {
  return Uint8Array.of(0xa1, 0x01, 0x20 | (-1 - algorithm));
}

function toBeSigned(name: string, algorithm: Algorithm, payload: Uint8Array): Uint8Array {
  const domain = asciiBytes(`tallystick/1/${name}`);
  return encode(["Signature1", protectedHeader(algorithm), domain, payload]);
}

/** Array of four, protected header, empty unprotected one: the beginning of every envelope. */
function envelopeHead(algorithm: Algorithm): Uint8Array {
  return concatBytes(Uint8Array.of(0x84, 0x43), protectedHeader(algorithm), Uint8Array.of(0xa0));
}

/** Sign a body. The same body gives the same id, whatever the signature. */
export async function seal<B>(kind: Kind<B>, body: B, signer: Signer): Promise<Signed<B>> {
  const payload = kind.writePayload(body);
  const { algorithm } = signer.publicKey;
  const signature = await signer.sign(toBeSigned(kind.name, algorithm, payload));
  return new Signed(kind, kind.readPayload(payload), algorithm, payload, signature);
}

/**
 * Read an envelope. The signature is not looked at.
 *
 * @throws ProtocolError 103 or 111 for the envelope, 101, 102 or 112 for what is in it.
 */
export function unseal<B>(kind: Kind<B>, envelope: Uint8Array): Signed<B> {
  const [signed, end] = unsealAt(kind, envelope, 0);
  if (end !== envelope.length) throw new ProtocolError(103, "bytes after the object");
  return signed;
}

/** Read the envelope that begins at a place; gives the place behind it, too. */
export function unsealAt<B>(kind: Kind<B>, data: Uint8Array, at: number): [signed: Signed<B>, end: number] {
  const { algorithm, payload, signature, end } = openAt(data, at);
  if (end - at > kind.bytesMax) throw new ProtocolError(103, "too long");
  return [new Signed(kind, kind.readPayload(payload), algorithm, payload, signature), end];
}

/**
 * The payload of an envelope, to see of which kind it is before it is read as that.
 *
 * @throws ProtocolError 103 or 111.
 */
export function payloadOf(envelope: Uint8Array): Uint8Array {
  const { payload, end } = openAt(envelope, 0);
  if (end !== envelope.length) throw new ProtocolError(103, "bytes after the object");
  return payload;
}

interface Opened {
  readonly algorithm: Algorithm;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  readonly end: number;
}

function openAt(data: Uint8Array, at: number): Opened {
  const algorithm = readHeader(data.subarray(at, at + HEAD_BYTES));
  const [length, payloadAt] = payloadHead(data, at + HEAD_BYTES);
  const signatureAt = payloadAt + length + SIGNATURE_HEAD.length;
  const end = signatureAt + SIGNATURE_BYTES;
  const signatureHead = data.subarray(payloadAt + length, signatureAt);
  if (end > data.length || !equalBytes(signatureHead, SIGNATURE_HEAD)) {
    throw new ProtocolError(103, "no signature of 64 bytes after the payload");
  }
  const payload = data.slice(payloadAt, payloadAt + length);
  return { algorithm, payload, signature: data.slice(signatureAt, end), end };
}

function readHeader(found: Uint8Array): Algorithm {
  const algorithm = ALGORITHMS.find((number) => equalBytes(found, envelopeHead(number)));
  if (algorithm !== undefined) return algorithm;
  const known = envelopeHead(ED25519);
  const isOtherAlgorithm =
    found.length === HEAD_BYTES && found.every((byte, at) => at === 4 || byte === known[at]);
  throw new ProtocolError(isOtherAlgorithm ? 111 : 103);
}

function payloadHead(data: Uint8Array, at: number): [length: number, end: number] {
  try {
    return readHead(data, at, BYTES);
  } catch (error) {
    if (error instanceof ProtocolError) throw new ProtocolError(103, error.message);
    throw error;
  }
}
