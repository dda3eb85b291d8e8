/**
 * The strict subset of CBOR (RFC 8949) in which every value has exactly one form.
 *
 * Unsigned integers up to 2^53-1, byte strings, text in NFC, arrays and maps with small integer keys. Heads
 * are the shortest ones and lengths definite. The reader looks at a length before it takes memory for it, and
 * its work grows with the length of the input only.
 */

import { DEPTH_MAX, OBJECT_BYTES_MAX, UINT_MAX } from "./constants.js";
import { ProtocolError } from "./errors.js";

/** What can be written and read. Integers are `number`, for none is above 2^53-1. */
export type Value = number | Uint8Array | string | readonly Value[] | ValueMap;

/** A map; its keys are 1..23 or -24..-1. */
export type ValueMap = ReadonlyMap<number, Value>;

/** Major types (RFC 8949, section 3.1). */
export const UINT = 0;
const NEGATIVE = 1;
export const BYTES = 2;
const TEXT = 3;
export const ARRAY = 4;
export const MAP = 5;

const utf8 = new TextEncoder();
// Without ignoreBOM a leading byte order mark would be dropped, and two inputs would read alike.
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The only form of a value.
 *
 * @throws ProtocolError 101 when the value is outside the subset.
 */
export function encode(value: Value): Uint8Array {
  const out: number[] = [];
  write(out, value, 0);
  return Uint8Array.from(out);
}

/**
 * The value of the bytes.
 *
 * @throws ProtocolError 101 for anything but the one form of one value.
 */
export function decode(data: Uint8Array, bytesMax: number = OBJECT_BYTES_MAX): Value {
  if (data.length > bytesMax) throw malformed("too long");
  const reader = new Reader(data);
  const value = reader.value(0);
  if (!reader.atEnd) throw malformed("bytes after the value");
  return value;
}

/** The first bytes of a value: its type, and its length, count or number. */
export function head(major: number, argument: number): Uint8Array {
  const out: number[] = [];
  writeHead(out, major, argument);
  return Uint8Array.from(out);
}

/**
 * The argument of the head that begins at a place, and the place behind it.
 *
 * @throws ProtocolError 101 for no head of the strict form, 102 for that of another type.
 */
export function readHead(data: Uint8Array, at: number, major: number): [argument: number, end: number] {
  const reader = new Reader(data, at);
  const [found, argument] = reader.head();
  if (found !== major) throw new ProtocolError(102, "a value of another type");
  return [argument, reader.at];
}

function malformed(detail: string): ProtocolError {
  return new ProtocolError(101, detail);
}

function writeHead(out: number[], major: number, argument: number): void {
  const kind = major << 5;
  const high = Math.floor(argument / 2 ** 32);
  const low = argument >>> 0;
  if (argument < 24) out.push(kind | argument);
  else if (argument < 2 ** 8) out.push(kind | 24, argument);
  else if (argument < 2 ** 16) out.push(kind | 25, argument >> 8, argument & 0xff);
  else if (argument < 2 ** 32) out.push(kind | 26, ...fourBytes(low));
  else out.push(kind | 27, ...fourBytes(high), ...fourBytes(low));
}

function fourBytes(word: number): number[] {
  return [(word >>> 24) & 0xff, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff];
}

function writeString(out: number[], major: number, bytes: Uint8Array): void {
  writeHead(out, major, bytes.length);
  for (const byte of bytes) out.push(byte);
}

function write(out: number[], value: Value, depth: number): void {
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value) || value < 0) throw malformed("not an integer of 0 to 2^53-1");
    writeHead(out, UINT, value);
  } else if (typeof value === "string") {
    if (/\p{Surrogate}/u.test(value)) throw malformed("not Unicode text");
    if (value.normalize("NFC") !== value) throw malformed("text that is not in NFC");
    writeString(out, TEXT, utf8.encode(value));
  } else if (value instanceof Uint8Array) {
    writeString(out, BYTES, value);
  } else {
    if (depth === DEPTH_MAX) throw malformed("nested too deeply");
    if (value instanceof Map) writeMap(out, value, depth + 1);
    else if (Array.isArray(value)) {
      writeHead(out, ARRAY, value.length);
      for (const item of value) write(out, item as Value, depth + 1);
    } else throw malformed("a type outside the subset");
  }
}

/** Place of a key in a map: 1..23 are one byte 01..17, -1..-24 one byte 20..37. */
function keyByte(key: number): number {
  return key > 0 ? key : (NEGATIVE << 5) | (-1 - key);
}

function writeMap(out: number[], map: ValueMap, depth: number): void {
  writeHead(out, MAP, map.size);
  for (const key of [...map.keys()].sort((left, right) => keyByte(left) - keyByte(right))) {
    if (!Number.isInteger(key) || key === 0 || key < -24 || key > 23) throw malformed("a map key");
    out.push(keyByte(key));
    write(out, map.get(key)!, depth);
  }
}

/** One pass over the bytes. */
class Reader {
  #at: number;
  readonly #data: Uint8Array;

  constructor(data: Uint8Array, at = 0) {
    this.#data = data;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }

  get atEnd(): boolean {
    return this.#at === this.#data.length;
  }

  value(depth: number): Value {
    const [major, argument] = this.head();
    switch (major) {
      case UINT:
        // Above 2^53 the sum was rounded, but never down to 2^53-1 or less.
        if (argument > UINT_MAX) throw malformed("an integer above 2^53-1");
        return argument;
      case BYTES:
        return this.#take(argument).slice();
      case TEXT:
        return this.#text(argument);
      case ARRAY:
        return this.#array(argument, depth);
      case MAP:
        return this.#map(argument, depth);
      default:
        throw malformed("a type outside the subset");
    }
  }

  #take(length: number): Uint8Array {
    if (length > this.#data.length - this.#at) throw malformed("ends too early");
    this.#at += length;
    return this.#data.subarray(this.#at - length, this.#at);
  }

  head(): [major: number, argument: number] {
    const first = this.#take(1)[0]!;
    const major = first >> 5;
    const short = first & 0x1f;
    if (short < 24) return [major, short];
    if (short > 27) throw malformed("an indefinite length or a reserved head");
    const width = 2 ** (short - 24);
    let argument = 0;
    for (const byte of this.#take(width)) argument = argument * 256 + byte;
    const least = width === 1 ? 24 : 2 ** (4 * width);
    if (argument < least) throw malformed("a head that is longer than it need be");
    return [major, argument];
  }

  #text(length: number): string {
    let text: string;
    try {
      text = strictUtf8.decode(this.#take(length));
    } catch (error) {
      if (error instanceof ProtocolError) throw error;
      throw malformed("text that is not UTF-8");
    }
    if (text.normalize("NFC") !== text) throw malformed("text that is not in NFC");
    return text;
  }

  #enter(items: number, depth: number): number {
    if (depth === DEPTH_MAX) throw malformed("nested too deeply");
    // Each item takes a byte at least.
    if (items > this.#data.length - this.#at) throw malformed("ends too early");
    return depth + 1;
  }

  #array(length: number, depth: number): Value[] {
    const inside = this.#enter(length, depth);
    return Array.from({ length }, () => this.value(inside));
  }

  #map(length: number, depth: number): Map<number, Value> {
    const inside = this.#enter(2 * length, depth);
    const map = new Map<number, Value>();
    let last = -1;
    for (let entry = 0; entry < length; entry++) {
      const [major, argument] = this.head();
      if ((major !== UINT || argument === 0) && major !== NEGATIVE) throw malformed("a map key");
      if (argument > 23) throw malformed("a map key");
      const key = major === UINT ? argument : -1 - argument;
      if (keyByte(key) <= last) throw malformed("map keys out of order or doubled");
      last = keyByte(key);
      map.set(key, this.value(inside));
    }
    return map;
  }
}
