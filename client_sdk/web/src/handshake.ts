/**
 * An encrypted channel between payer and payee: `Noise_NK_25519_ChaChaPoly_SHA256`.
 *
 * The payer begins and knows the payee's session key from the request; the prologue is the request id. The
 * channel gives privacy. That money is safe never rests on it.
 */

import { chacha20poly1305 } from "@noble/ciphers/chacha";
import { x25519 } from "@noble/curves/ed25519";
import { extract, expand } from "@noble/hashes/hkdf";
import { sha256 } from "@noble/hashes/sha2";

import { asciiBytes, concatBytes } from "./bytes.js";
import { ProtocolError, type ErrorNumber } from "./errors.js";

const PROTOCOL_NAME = asciiBytes("Noise_NK_25519_ChaChaPoly_SHA256");
const KEY_BYTES = 32;
const TAG_BYTES = 16;
const NOTHING = new Uint8Array();

/** Bytes of each of the two handshake messages: a public key, and the tag of an empty payload. */
export const HANDSHAKE_MESSAGE_BYTES = KEY_BYTES + TAG_BYTES;

/** Largest message of a channel, its tag included. */
export const CHANNEL_MESSAGE_BYTES_MAX = 65_535;

/** One direction: a key and a counter. */
class CipherState {
  #key: Uint8Array;
  #counter = 0;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  #cipher(additional: Uint8Array): ReturnType<typeof chacha20poly1305> {
    const nonce = new Uint8Array(12);
    new DataView(nonce.buffer).setBigUint64(4, BigInt(this.#counter), true);
    return chacha20poly1305(this.#key, nonce, additional);
  }

  encrypt(plain: Uint8Array, additional: Uint8Array = NOTHING): Uint8Array {
    const sealed = this.#cipher(additional).encrypt(plain);
    this.#counter += 1;
    return sealed;
  }

  /** @throws ProtocolError with the given number; the counter stays then. */
  decrypt(sealed: Uint8Array, broken: ErrorNumber, additional: Uint8Array = NOTHING): Uint8Array {
    if (sealed.length < TAG_BYTES) throw new ProtocolError(broken, "too short");
    let plain: Uint8Array;
    try {
      plain = this.#cipher(additional).decrypt(sealed);
    } catch {
      throw new ProtocolError(broken);
    }
    this.#counter += 1;
    return plain;
  }
}

/** The running hash and keys of a handshake (Noise, section 5.2). */
class SymmetricState {
  hash = PROTOCOL_NAME;
  #chaining = PROTOCOL_NAME;
  #cipher: CipherState | undefined;

  mixHash(data: Uint8Array): void {
    this.hash = sha256(concatBytes(this.hash, data));
  }

  #derive(input: Uint8Array): [Uint8Array, Uint8Array] {
    const both = expand(sha256, extract(sha256, input, this.#chaining), NOTHING, 2 * KEY_BYTES);
    return [both.slice(0, KEY_BYTES), both.slice(KEY_BYTES)];
  }

  mixKey(shared: Uint8Array): void {
    const [chaining, key] = this.#derive(shared);
    this.#chaining = chaining;
    this.#cipher = new CipherState(key);
  }

  sealNothing(): Uint8Array {
    const sealed = this.#cipher!.encrypt(NOTHING, this.hash);
    this.mixHash(sealed);
    return sealed;
  }

  openNothing(sealed: Uint8Array): void {
    this.#cipher!.decrypt(sealed, 121, this.hash);
    this.mixHash(sealed);
  }

  split(): [CipherState, CipherState] {
    const [first, second] = this.#derive(NOTHING);
    return [new CipherState(first), new CipherState(second)];
  }
}

/** An X25519 key pair; each handshake takes a fresh one. */
export interface KeyPair {
  readonly secret: Uint8Array;
  readonly public: Uint8Array;
}

/** The pair of a secret of 32 bytes. */
export function keyPair(secret: Uint8Array): KeyPair {
  return { secret, public: x25519.getPublicKey(secret) };
}

function agree(secret: Uint8Array, peer: Uint8Array): Uint8Array {
  try {
    return x25519.getSharedSecret(secret, peer);
  } catch {
    throw new ProtocolError(121, "a key of small order");
  }
}

/** Begin as payer or as payee. */
function begin(requestId: Uint8Array, sessionKey: Uint8Array): SymmetricState {
  const state = new SymmetricState();
  state.mixHash(requestId);
  state.mixHash(sessionKey);
  return state;
}

function splitMessage(message: Uint8Array): [key: Uint8Array, rest: Uint8Array] {
  if (message.length !== HANDSHAKE_MESSAGE_BYTES) throw new ProtocolError(121, "another length");
  return [message.slice(0, KEY_BYTES), message.slice(KEY_BYTES)];
}

/** The payer's side. */
export class Initiator {
  readonly #state: SymmetricState;
  readonly #ephemeral: KeyPair;
  /** What goes to the payee first. */
  readonly message: Uint8Array;

  /** @throws ProtocolError 121 when the session key of the request cannot be used. */
  constructor(requestId: Uint8Array, sessionKey: Uint8Array, ephemeral: KeyPair) {
    this.#ephemeral = ephemeral;
    this.#state = begin(requestId, sessionKey);
    this.#state.mixHash(ephemeral.public);
    this.#state.mixKey(agree(ephemeral.secret, sessionKey));
    this.message = concatBytes(ephemeral.public, this.#state.sealNothing());
  }

  /** Take the payee's answer. @throws ProtocolError 121. */
  finish(answer: Uint8Array): Channel {
    const [peer, sealed] = splitMessage(answer);
    this.#state.mixHash(peer);
    this.#state.mixKey(agree(this.#ephemeral.secret, peer));
    this.#state.openNothing(sealed);
    const [toPayee, toPayer] = this.#state.split();
    return new Channel(toPayee, toPayer, this.#state.hash);
  }
}

/**
 * The payee's side: take the payer's message, and give the answer with the channel.
 *
 * @throws ProtocolError 121.
 */
export function respond(
  requestId: Uint8Array,
  session: KeyPair,
  ephemeral: KeyPair,
  message: Uint8Array,
): { answer: Uint8Array; channel: Channel } {
  const state = begin(requestId, session.public);
  const [peer, sealed] = splitMessage(message);
  state.mixHash(peer);
  state.mixKey(agree(session.secret, peer));
  state.openNothing(sealed);
  state.mixHash(ephemeral.public);
  state.mixKey(agree(ephemeral.secret, peer));
  const answer = concatBytes(ephemeral.public, state.sealNothing());
  const [toPayee, toPayer] = state.split();
  return { answer, channel: new Channel(toPayer, toPayee, state.hash) };
}

/** Both directions after the handshake. */
export class Channel {
  readonly #sending: CipherState;
  readonly #receiving: CipherState;

  constructor(
    sending: CipherState,
    receiving: CipherState,
    /** The same on both sides, and different for every handshake. */
    readonly hash: Uint8Array,
  ) {
    this.#sending = sending;
    this.#receiving = receiving;
  }

  /** Six digits that two people may compare. */
  get code(): string {
    const digest = sha256(concatBytes(asciiBytes("tallystick/1/code"), this.hash));
    const number = digest.reduce((rest, byte) => (rest * 256 + byte) % 1_000_000, 0);
    return String(number).padStart(6, "0");
  }

  /** @throws ProtocolError 122 when the message is too long. */
  seal(plain: Uint8Array): Uint8Array {
    if (plain.length > CHANNEL_MESSAGE_BYTES_MAX - TAG_BYTES) throw new ProtocolError(122, "too long");
    return this.#sending.encrypt(plain);
  }

  /**
   * Open the next message. One that is refused uses up no number, and its caller ends the channel.
   *
   * @throws ProtocolError 122 for what is forged, doubled, lost, out of order or too long.
   */
  open(sealed: Uint8Array): Uint8Array {
    if (sealed.length > CHANNEL_MESSAGE_BYTES_MAX) throw new ProtocolError(122, "too long");
    return this.#receiving.decrypt(sealed, 122);
  }
}
