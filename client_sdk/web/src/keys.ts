/** Public keys, their ids, and what signs. */

import { sha256 } from "@noble/hashes/sha2";

import {
  ED25519,
  ESP256,
  ed25519PublicKey,
  isOfPrimeOrder,
  isStrongEd25519Key,
  isGoodP256Key,
  p256PublicKey,
  signEd25519,
  signEsp256,
  verify,
  type Algorithm,
} from "./algorithms.js";
import { asciiBytes, concatBytes, equalBytes } from "./bytes.js";
import { ProtocolError } from "./errors.js";

const KEY_ID_PREFIX = asciiBytes("tallystick/1/id/key");

const ALGORITHM_OF_LENGTH: ReadonlyMap<number, Algorithm> = new Map<number, Algorithm>([
  [32, ED25519],
  [33, ESP256],
]);

/** A public key: 32 bytes of Ed25519, or 33 of a compressed point of P-256. */
export class PublicKey {
  #id: Uint8Array | undefined;

  private constructor(
    /** COSE number of the algorithm that the length pins. */
    readonly algorithm: Algorithm,
    /** The key as it travels. */
    readonly raw: Uint8Array,
  ) {}

  /**
   * Read a key.
   *
   * @throws ProtocolError 102 for another length, 112 for a point that is not accepted.
   */
  static decode(raw: Uint8Array): PublicKey {
    const algorithm = ALGORITHM_OF_LENGTH.get(raw.length);
    if (algorithm === undefined) throw new ProtocolError(102, "a key is 32 or 33 bytes");
    const good = algorithm === ED25519 ? isStrongEd25519Key(raw) : isGoodP256Key(raw);
    if (!good) throw new ProtocolError(112);
    return new PublicKey(algorithm, raw.slice());
  }

  /** SHA-256 over the raw bytes in a domain of its own. */
  get id(): Uint8Array {
    this.#id ??= sha256(concatBytes(KEY_ID_PREFIX, this.raw));
    return this.#id;
  }

  /**
   * Whether every verifier agrees about this key. Issuers ask before they certify it; readers need not, since
   * the rule for signatures leaves room for one verdict only.
   */
  get isOfPrimeOrder(): boolean {
    return this.algorithm === ESP256 || isOfPrimeOrder(this.raw);
  }

  /** Whether both are the same key. */
  equals(other: PublicKey): boolean {
    return equalBytes(this.raw, other.raw);
  }

  /** Whether the signature over the message is one of this key. */
  verifies(message: Uint8Array, signature: Uint8Array): Promise<boolean> {
    return verify(this.algorithm, this.raw, message, signature);
  }
}

/** What holds a secret key: software, a secure element, or the key store of a browser. */
export interface Signer {
  readonly publicKey: PublicKey;
  /** 64 bytes over the message. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** A key in memory. */
export class SoftwareSigner implements Signer {
  readonly publicKey: PublicKey;
  readonly #secret: Uint8Array;

  /** @param secret the seed of Ed25519, or the big-endian secret number of P-256; 32 bytes. */
  constructor(secret: Uint8Array, algorithm: Algorithm = ED25519) {
    this.#secret = secret.slice();
    this.publicKey = PublicKey.decode(
      algorithm === ED25519 ? ed25519PublicKey(secret) : p256PublicKey(secret),
    );
  }

  async sign(message: Uint8Array): Promise<Uint8Array> {
    return this.publicKey.algorithm === ED25519
      ? signEd25519(this.#secret, message)
      : signEsp256(this.#secret, message);
  }
}
