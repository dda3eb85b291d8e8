/**
 * The two signature algorithms, with exactly the verdicts that the protocol asks for.
 *
 * Ed25519 follows libsodium's `crypto_sign_verify_detached`. Libraries disagree about unusual inputs, and a
 * payee who accepts what the issuer refuses loses money, so nothing here is left to a library's own rules.
 * ESP256 runs in WebCrypto where that is present, and in plain JavaScript where it is not.
 */

import { ed25519 } from "@noble/curves/ed25519";
import { p256 } from "@noble/curves/nist";
import { sha512 } from "@noble/hashes/sha2";

import { compareBytes, concatBytes, equalBytes, fromHex } from "./bytes.js";

/** Numbers of COSE (RFC 9864). */
export const ED25519 = -19;
export const ESP256 = -9;

export type Algorithm = typeof ED25519 | typeof ESP256;

/** Bytes of a signature of either algorithm. */
export const SIGNATURE_BYTES = 64;

type EdwardsPoint = InstanceType<typeof ed25519.Point>;

const ED25519_ORDER = littleEndianBytes(ed25519.Point.CURVE().n);

function littleEndianBytes(number: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, at) => Number((number >> BigInt(8 * at)) & 0xffn));
}

function littleEndianNumber(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
}

/** The point of a canonical encoding, or undefined. */
function edwardsPoint(encoded: Uint8Array): EdwardsPoint | undefined {
  try {
    return ed25519.Point.fromBytes(encoded);
  } catch {
    return undefined;
  }
}

const FIELD_PRIME = ed25519.Point.CURVE().p;

/** The y coordinates of the points of order 1, 2, 4 and 8. */
const SMALL_ORDER_HEIGHTS: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  FIELD_PRIME - 1n,
  littleEndianNumber(fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")),
  littleEndianNumber(fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")),
]);

/** Whether 32 bytes are canonical and not of small order. They may still be off the curve. */
export function isStrongEd25519Key(raw: Uint8Array): boolean {
  const height = littleEndianNumber(raw) & ((1n << 255n) - 1n);
  return height < FIELD_PRIME && !SMALL_ORDER_HEIGHTS.has(height);
}

/** Whether 32 bytes are a point of the prime-order group. As dear as a verification. */
export function isOfPrimeOrder(raw: Uint8Array): boolean {
  return isStrongEd25519Key(raw) && edwardsPoint(raw)?.isTorsionFree() === true;
}

/** Whether 33 bytes are a compressed point (SEC 1, section 2.3.3) of P-256. */
export function isGoodP256Key(raw: Uint8Array): boolean {
  if (raw[0] !== 2 && raw[0] !== 3) return false;
  try {
    p256.Point.fromBytes(raw);
    return true;
  } catch {
    return false;
  }
}

/**
 * What libsodium's `crypto_sign_verify_detached` says.
 *
 * Refused beforehand: S of the group order or more, R of small order, a key that is not canonical, of small
 * order or off the curve. Then the cofactor is not multiplied in, and R is compared as bytes.
 */
export function verifyEd25519(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (key.length !== 32 || signature.length !== SIGNATURE_BYTES) return false;
  const commitment = signature.subarray(0, 32);
  const response = signature.subarray(32);
  if (compareBytes(response.slice().reverse(), ED25519_ORDER.slice().reverse()) >= 0) return false;
  const point = edwardsPoint(key);
  if (point === undefined || point.isSmallOrder()) return false;
  const digest = littleEndianNumber(sha512(concatBytes(commitment, key, message)));
  const challenge = digest % ed25519.Point.CURVE().n;
  const scalar = littleEndianNumber(response);
  // Nothing here is secret, so that the quicker way of multiplying serves.
  const expected = ed25519.Point.BASE.multiplyUnsafe(scalar).subtract(point.multiplyUnsafe(challenge));
  return !expected.isSmallOrder() && equalBytes(expected.toBytes(), commitment);
}

function subtle(): SubtleCrypto | undefined {
  return globalThis.crypto?.subtle;
}

/** ESP256 without WebCrypto. */
export function verifyEsp256Plainly(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false;
  try {
    return p256.verify(signature, message, key, { prehash: true, lowS: false, format: "compact" });
  } catch {
    return false;
  }
}

/** A copy in memory of its own, which is what the types of WebCrypto ask for. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

/**
 * ECDSA on P-256 with SHA-256; the signature is r and s, 32 bytes each, and s may be in either half.
 *
 * A compressed point is unpacked first, for not every WebCrypto takes one.
 */
export async function verifyEsp256(
  key: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const crypto = subtle();
  if (crypto === undefined) return verifyEsp256Plainly(key, message, signature);
  if (signature.length !== SIGNATURE_BYTES || !isGoodP256Key(key)) return false;
  const point = owned(p256.Point.fromBytes(key).toBytes(false));
  const curve = { name: "ECDSA", namedCurve: "P-256" };
  const imported = await crypto.importKey("raw", point, curve, false, ["verify"]);
  const hash = { name: "ECDSA", hash: "SHA-256" };
  return crypto.verify(hash, imported, owned(signature), owned(message));
}

/** Whether the signature over the message is one of this key. The key was checked when it was read. */
export async function verify(
  algorithm: Algorithm,
  key: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  return algorithm === ED25519
    ? verifyEd25519(key, message, signature)
    : verifyEsp256(key, message, signature);
}

/** Deterministic signature (RFC 8032). */
export function signEd25519(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return ed25519.sign(message, seed);
}

/** Deterministic signature (RFC 6979), s in whichever half it comes out. */
export function signEsp256(secret: Uint8Array, message: Uint8Array): Uint8Array {
  return p256.sign(message, secret, { prehash: true, lowS: false }).toBytes("compact");
}

/** Public key of a seed of 32 bytes. */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  return ed25519.getPublicKey(seed);
}

/** Compressed public key of a secret number of 32 bytes. */
export function p256PublicKey(secret: Uint8Array): Uint8Array {
  return p256.getPublicKey(secret, true);
}
