/** Frames: what one message between devices is, and its text form for QR codes. */

import { decode as fromBase45, encode as toBase45 } from "./base45.js";
import { concatBytes } from "./bytes.js";
import { FRAME_BYTES_MAX, OBJECT_BYTES_MAX, VERSION } from "./constants.js";
import { ProtocolError } from "./errors.js";
import { objectKind, required, text, uint, type BodyOf } from "./fields.js";

/** Kinds of frame. */
export const FRAME_KINDS = {
  REQUEST: 1,
  PAYMENT: 2,
  RECEIPT: 3,
  RETURN: 4,
  FRAUD_PROOF: 5,
  CLONE_ALARM: 6,
  REFUSAL: 7,
  NEWS: 8,
  REVOCATION: 9,
  TAGS: 10,
  WANT: 11,
  RECORDS: 12,
  KEY_SET: 13,
  POLICY: 14,
} as const;

export type FrameKind = (typeof FRAME_KINDS)[keyof typeof FRAME_KINDS];

const KINDS: ReadonlySet<number> = new Set(Object.values(FRAME_KINDS));

export interface Frame {
  readonly kind: FrameKind;
  readonly body: Uint8Array;
}

/** Bytes of a frame. */
export function encodeFrame({ kind, body }: Frame): Uint8Array {
  return concatBytes(Uint8Array.of(VERSION, kind), body);
}

/** @throws ProtocolError 104 for another version, an unknown kind, or too many bytes. */
export function decodeFrame(data: Uint8Array): Frame {
  if (data.length > FRAME_BYTES_MAX) throw new ProtocolError(104, "too long");
  const [version, kind] = data;
  if (version !== VERSION) throw new ProtocolError(104, "another version");
  if (kind === undefined || !KINDS.has(kind)) throw new ProtocolError(104, "an unknown kind");
  return { kind: kind as FrameKind, body: data.slice(2) };
}

/** What the text of a whole frame begins with. */
export const TEXT_PREFIX = "TALLY1:";

/** Text of a frame for a QR code in its alphanumeric mode. */
export function toText(frame: Frame): string {
  return TEXT_PREFIX + toBase45(encodeFrame(frame));
}

/** @throws ProtocolError 104. */
export function fromText(text: string): Frame {
  return decodeFrame(frameBytes(text));
}

/** The bytes in a text, which may still be no frame. @throws ProtocolError 104. */
export function frameBytes(text: string): Uint8Array {
  if (!text.startsWith(TEXT_PREFIX)) throw new ProtocolError(104, "not a text of this protocol");
  if (text.length > 2 * FRAME_BYTES_MAX) throw new ProtocolError(104, "too long");
  return fromBase45(text.slice(TEXT_PREFIX.length));
}

const REFUSAL = objectKind(
  "refusal",
  { number: required(1, uint()), code: required(2, text(64)) },
  { bytesMax: OBJECT_BYTES_MAX },
);

/** Why the other side did not take what it was given. Unsigned: it decides nothing. */
export type Refusal = BodyOf<typeof REFUSAL>;

/** @throws ProtocolError 101 or 102. */
export function readRefusal(body: Uint8Array): Refusal {
  return REFUSAL.readPayload(body);
}

const LENGTH_BYTES = 4;

/** A message with its length before it, for TCP and other streams. */
export function toStream(message: Uint8Array): Uint8Array {
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setUint32(0, message.length);
  return concatBytes(length, message);
}

/** Cuts a stream of bytes into messages. Holds one unfinished message at most. */
export class StreamReader {
  #held = new Uint8Array();

  constructor(private readonly bytesMax: number = FRAME_BYTES_MAX) {}

  /**
   * Take what arrived; give the messages that are complete.
   *
   * @throws ProtocolError 104 when a message announces too much; the connection has to be closed.
   */
  feed(data: Uint8Array): Uint8Array[] {
    let held = concatBytes(this.#held, data);
    const messages: Uint8Array[] = [];
    while (held.length >= LENGTH_BYTES) {
      const length = new DataView(held.buffer, held.byteOffset).getUint32(0);
      if (length > this.bytesMax) throw new ProtocolError(104, "a message that is too long");
      if (held.length < LENGTH_BYTES + length) break;
      messages.push(held.slice(LENGTH_BYTES, LENGTH_BYTES + length));
      held = held.slice(LENGTH_BYTES + length);
    }
    this.#held = new Uint8Array(held);
    return messages;
  }
}
