/**
 * One side of a wire: greeting, handshake, encrypted frames and goodbye (section 6 of the specification).
 *
 * The payee speaks first and commits itself to its ephemeral key. Messages go in, messages to write come out; an
 * error ends the session, and nothing more is to be taken from its wire.
 */

import { sha256 } from "@noble/hashes/sha2";

import { asciiBytes, concatBytes, equalBytes } from "./bytes.js";
import { unseal } from "./cose.js";
import { ProtocolError } from "./errors.js";
import { decodeFrame } from "./frames.js";
import { Initiator, respond, type Channel, type KeyPair } from "./handshake.js";
import { PAYMENT_REQUEST, requestId } from "./requests.js";

const VERSION = 1;
const GREETING_BYTES = 33;
const KEY_BYTES = 32;
const ASK = Uint8Array.of(2);
const GOODBYE = new Uint8Array();

/** The payee's first message: the version, and what commits it to a public ephemeral key. */
export function greetingOf(ephemeralKey: Uint8Array): Uint8Array {
  const commitment = sha256(concatBytes(asciiBytes("tallystick/1/ephemeral"), ephemeralKey));
  return concatBytes(Uint8Array.of(VERSION), commitment);
}

/** What a message made: what to write now, and the frame that came, empty for goodbye. */
export interface Heard {
  readonly write: readonly Uint8Array[];
  readonly frame?: Uint8Array;
}

abstract class Session {
  #channel: Channel | undefined;
  #ended = false;

  /** The open channel; undefined until both have shaken hands. */
  get channel(): Channel | undefined {
    return this.#channel;
  }

  /** Whether the other side has said goodbye. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Take the next message of the wire.
   *
   * @throws ProtocolError 121 before the channel is open, 122 after it.
   */
  take(message: Uint8Array): Heard {
    if (this.#ended) throw new ProtocolError(122, "the session has ended");
    try {
      if (this.#channel === undefined) return { write: this.shake(message) };
      const frame = this.#channel.open(message);
      this.#ended = frame.length === 0;
      return { write: [], frame };
    } catch (error) {
      this.#ended = true;
      throw error;
    }
  }

  /** A frame as a message of the wire. */
  say(frame: Uint8Array): Uint8Array {
    if (this.#channel === undefined) throw new RangeError("nobody has shaken hands");
    return this.#channel.seal(frame);
  }

  goodbye(): Uint8Array {
    return this.say(GOODBYE);
  }

  protected open(channel: Channel): void {
    this.#channel = channel;
  }

  protected abstract shake(message: Uint8Array): Uint8Array[];
}

/** What a payer knows of the payee that it wants to meet. */
export interface Peer {
  readonly requestId: Uint8Array;
  readonly sessionKey: Uint8Array;
}

/** The payer's side. Without a peer it asks for the request; whose that is the six digits have to tell. */
export class PayerSession extends Session {
  #greeting: Uint8Array | undefined;
  #handshake: Initiator | undefined;

  constructor(
    private readonly ephemeral: KeyPair,
    private readonly peer?: Peer,
  ) {
    super();
  }

  protected override shake(message: Uint8Array): Uint8Array[] {
    if (this.#greeting === undefined) {
      if (message.length !== GREETING_BYTES || message[0] !== VERSION) {
        throw new ProtocolError(121, "no greeting of this version");
      }
      this.#greeting = message;
      return this.peer === undefined ? [ASK] : [this.#begin(this.peer)];
    }
    if (this.#handshake === undefined) return [this.#begin(readOffer(message))];
    const channel = this.#handshake.finish(message);
    if (!equalBytes(greetingOf(message.slice(0, KEY_BYTES)), this.#greeting)) {
      throw new ProtocolError(121, "not the key that was promised");
    }
    this.open(channel);
    return [];
  }

  #begin({ requestId: id, sessionKey }: Peer): Uint8Array {
    this.#handshake = new Initiator(id, sessionKey, this.ephemeral);
    return this.#handshake.message;
  }
}

function readOffer(message: Uint8Array): Peer {
  const request = unseal(PAYMENT_REQUEST, decodeFrame(message).body);
  return { requestId: requestId(request), sessionKey: request.body.sessionKey };
}

/** The payee's side; `greeting` is the first message of the wire. */
export class PayeeSession extends Session {
  #asked = false;
  readonly greeting: Uint8Array;

  /** @param offered the REQUEST frame for payers who ask; without one they are left. */
  constructor(
    private readonly ephemeral: KeyPair,
    private readonly session: KeyPair,
    private readonly id: Uint8Array,
    private readonly offered?: Uint8Array,
  ) {
    super();
    this.greeting = greetingOf(ephemeral.public);
  }

  protected override shake(message: Uint8Array): Uint8Array[] {
    if (this.offered !== undefined && !this.#asked && equalBytes(message, ASK)) {
      this.#asked = true;
      return [this.offered];
    }
    const { answer, channel } = respond(this.id, this.session, this.ephemeral, message);
    this.open(channel);
    return [answer];
  }
}
