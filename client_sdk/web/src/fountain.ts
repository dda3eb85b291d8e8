/**
 * A frame that is too long for one code, as a stream of parts without end: a fountain code.
 *
 * The frame is cut into pieces of one length. The first parts are the pieces themselves, every later one is
 * the sum (exclusive or) of some of them. About as many parts as there are pieces are needed, no matter which.
 */

import { sha256 } from "@noble/hashes/sha2";

import { decode as fromBase45, encode as toBase45 } from "./base45.js";
import { asciiBytes, concatBytes, fromHex, toHex } from "./bytes.js";
import { FRAME_BYTES_MAX } from "./constants.js";
import { ProtocolError } from "./errors.js";

const PREFIX = "TALLY1/";
const PIECES_MAX = 256;
const NUMBER_MAX = 65_535;
/** Characters before the data, at most. */
const HEAD_CHARACTERS = "TALLY1/256-32770-65535-0123456789ABCDEF:".length;
const PIECE_BYTES_LEAST = 30;

/** One part of a frame. */
export interface Part {
  /** Pieces of the frame, 2 or more. */
  readonly count: number;
  /** Bytes of the frame. */
  readonly length: number;
  /** From 1 on. */
  readonly number: number;
  /** Eight bytes that name the frame. */
  readonly check: Uint8Array;
  /** Sum of the pieces that are in this part. */
  readonly data: Uint8Array;
}

/** No frame, or no part of one. */
export function malformed(detail: string): ProtocolError {
  return new ProtocolError(104, detail);
}

/** Eight bytes that name a frame, so that parts of different frames are never mixed. */
export function checkOf(frame: Uint8Array): Uint8Array {
  return sha256(concatBytes(asciiBytes("tallystick/1/parts/check"), frame)).slice(0, 8);
}

/** The pieces in a part, as a number whose bit i stands for piece i. */
export function piecesIn(number: number, count: number, check: Uint8Array): bigint {
  const every = (1n << BigInt(count)) - 1n;
  if (number <= count) return 1n << BigInt(number - 1);
  if (number === count + 1) return every;
  const numbered = Uint8Array.of(number >> 8, number & 0xff);
  const digest = sha256(concatBytes(asciiBytes("tallystick/1/parts/subset"), check, numbered));
  const drawn = digest.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n) & every;
  return drawn === 0n ? every : drawn;
}

/** Add (exclusive or) one piece to a sum. */
export function addTo(sum: Uint8Array, other: Uint8Array): void {
  for (let at = 0; at < sum.length; at++) sum[at]! ^= other[at]!;
}

/** All parts of one frame. */
export class Fountain {
  readonly #pieces: readonly Uint8Array[];
  readonly #length: number;
  readonly #check: Uint8Array;

  /**
   * Cut a frame for codes that hold so many characters.
   *
   * @throws ProtocolError 104 when the codes are too small for the frame.
   */
  constructor(frame: Uint8Array, charactersMax: number) {
    const fitting = Math.floor((charactersMax - HEAD_CHARACTERS) / 3) * 2;
    const least = fitting < PIECE_BYTES_LEAST ? Infinity : Math.ceil(frame.length / fitting);
    if (least > PIECES_MAX || frame.length < 2 || frame.length > FRAME_BYTES_MAX) {
      throw malformed("the codes are too small");
    }
    const count = Math.max(least, 2);
    const size = Math.ceil(frame.length / count);
    this.#pieces = Array.from({ length: count }, (_, at) => {
      const piece = new Uint8Array(size);
      piece.set(frame.subarray(at * size, (at + 1) * size));
      return piece;
    });
    this.#length = frame.length;
    this.#check = checkOf(frame);
  }

  /** Pieces, and so the least number of parts from which the frame is read. */
  get count(): number {
    return this.#pieces.length;
  }

  /** The part with this number, from 1. */
  part(number: number): Part {
    const pieces = piecesIn(number, this.count, this.#check);
    const data = new Uint8Array(this.#pieces[0]!.length);
    for (const [at, piece] of this.#pieces.entries()) {
      if ((pieces >> BigInt(at)) & 1n) addTo(data, piece);
    }
    return { count: this.count, length: this.#length, number, check: this.#check, data };
  }
}

/** Text of a part for one code. */
export function partToText({ count, length, number, check, data }: Part): string {
  return `${PREFIX}${count}-${length}-${number}-${toHex(check).toUpperCase()}:${toBase45(data)}`;
}

/** @throws ProtocolError 104 when the text is no part in its one form. */
export function partFromText(text: string): Part {
  const form = /^TALLY1\/([1-9][0-9]*)-([1-9][0-9]*)-([1-9][0-9]*)-([0-9A-F]{16}):([^]*)$/.exec(text);
  if (form === null) throw malformed("neither a frame nor a part of one");
  const [count, length, number] = form.slice(1, 4).map(Number) as [number, number, number];
  if (count < 2 || count > PIECES_MAX) throw malformed("a count out of range");
  if (length < count || length > FRAME_BYTES_MAX) throw malformed("a length out of range");
  if (number > NUMBER_MAX) throw malformed("a number out of range");
  const size = Math.ceil(length / count);
  if ((count - 1) * size >= length) throw malformed("more pieces than the frame fills");
  const body = form[5]!;
  if (body.length !== (size >> 1) * 3 + (size & 1) * 2) throw malformed("data of another length");
  return { count, length, number, check: fromHex(form[4]!), data: fromBase45(body) };
}
