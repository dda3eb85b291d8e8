/** Bluetooth LE (section 8 of the specification): names, keys, fragments, and messages out of a stream. No radio. */

import { sha256 } from "@noble/hashes/sha2";

import { asciiBytes, concatBytes, equalBytes, fromHex, toHex } from "./bytes.js";
import { FRAME_BYTES_MAX } from "./constants.js";

const VERSION = 1;
const KEY_BYTES = 8;
const RESUMES_MAX = 8;
const VALUE_BYTES_MAX = 512;
const POSITION_BYTES = 3;
const DATA_HEAD_BYTES = 1 + POSITION_BYTES;
const MESSAGE_HEAD_BYTES = 6;

/** Largest message of a wire: the largest frame, encrypted. */
export const WIRE_MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + 16;

/** The token of a transport text, or undefined for another text. */
export function bleToken(text: string): Uint8Array | undefined {
  const digits = /^ble:([0-9a-f]{16})$/.exec(text)?.[1];
  return digits === undefined ? undefined : fromHex(digits);
}

/** The service that the payee with this token advertises: a UUID of version 8 (RFC 9562). */
export function serviceUuid(token: Uint8Array): string {
  const uuid = sha256(concatBytes(asciiBytes("tallystick/1/ble/service"), token)).slice(0, 16);
  uuid[6] = (uuid[6]! & 0x0f) | 0x80;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return toHex(uuid).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The key before a key in a payer's chain: what opens is never what was heard. */
export function keyBefore(key: Uint8Array): Uint8Array {
  return sha256(concatBytes(asciiBytes("tallystick/1/ble/resume"), key)).slice(0, KEY_BYTES);
}

/** After how many steps, 1 to 8, a session's lock follows from a key; undefined when the key opens nothing. */
export function stepsToLock(lock: Uint8Array, key: Uint8Array): number | undefined {
  let followed = key;
  for (let steps = 1; steps <= RESUMES_MAX; steps++) {
    followed = keyBefore(followed);
    if (equalBytes(followed, lock)) return steps;
  }
  return undefined;
}

/** What one GATT value says. */
export type Fragment =
  | { readonly kind: 1; readonly window: number; readonly lock: Uint8Array }
  | { readonly kind: 2; readonly window: number; readonly key: Uint8Array; readonly received: number }
  | { readonly kind: 3; readonly window: number; readonly received: number }
  | { readonly kind: 4; readonly position: number; readonly data: Uint8Array }
  | { readonly kind: 5 | 6; readonly received: number }
  | { readonly kind: 7; readonly reason: number };

/** CLOSE for the reasons that the protocol names. */
export const CLOSE = { DONE: 0, UNKNOWN_SESSION: 1, FULL: 2, VERSION: 3, BROKEN: 4 } as const;

const LENGTHS: { readonly [kind: number]: number } = { 1: 12, 2: 15, 3: 7, 5: 4, 6: 4, 7: 2 };

function uintAt(data: Uint8Array, at: number, bytes: number): number {
  return data.subarray(at, at + bytes).reduce((value, byte) => value * 256 + byte, 0);
}

function uintBytes(value: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => Math.floor(value / 256 ** (bytes - 1 - at)) % 256);
}

/**
 * Read one GATT value.
 *
 * @returns undefined for what is to be passed over as if it were lost, `"other version"` for an OPEN, RESUME or
 * WELCOME that is to be answered with CLOSE 3. A reason of CLOSE that is not known is read as 0.
 */
export function readFragment(value: Uint8Array): Fragment | "other version" | undefined {
  if (value.length < 2 || value.length > VALUE_BYTES_MAX) return undefined;
  const kind = value[0]!;
  if (kind >= 1 && kind <= 3 && value[1] !== VERSION) return "other version";
  if (kind === 4) {
    if (value.length <= DATA_HEAD_BYTES) return undefined;
    return { kind, position: uintAt(value, 1, POSITION_BYTES), data: value.slice(DATA_HEAD_BYTES) };
  }
  if (LENGTHS[kind] !== value.length) return undefined;
  switch (kind) {
    case 1:
      return { kind, window: uintAt(value, 2, 2), lock: value.slice(4) };
    case 2:
      return {
        kind,
        window: uintAt(value, 2, 2),
        key: value.slice(4, 4 + KEY_BYTES),
        received: uintAt(value, 4 + KEY_BYTES, POSITION_BYTES),
      };
    case 3:
      return { kind, window: uintAt(value, 2, 2), received: uintAt(value, 4, POSITION_BYTES) };
    case 5:
    case 6:
      return { kind, received: uintAt(value, 1, POSITION_BYTES) };
    default:
      return { kind: 7, reason: value[1]! <= CLOSE.BROKEN ? value[1]! : CLOSE.DONE };
  }
}

/** A fragment as a GATT value. */
export function writeFragment(fragment: Fragment): Uint8Array {
  const { kind } = fragment;
  switch (kind) {
    case 1:
      return concatBytes(Uint8Array.of(kind, VERSION), uintBytes(fragment.window, 2), fragment.lock);
    case 2:
      return concatBytes(
        ...[Uint8Array.of(kind, VERSION), uintBytes(fragment.window, 2)],
        ...[fragment.key, uintBytes(fragment.received, POSITION_BYTES)],
      );
    case 3:
      return concatBytes(
        ...[Uint8Array.of(kind, VERSION), uintBytes(fragment.window, 2)],
        uintBytes(fragment.received, POSITION_BYTES),
      );
    case 4:
      return concatBytes(
        ...[Uint8Array.of(kind), uintBytes(fragment.position, POSITION_BYTES), fragment.data],
      );
    case 5:
    case 6:
      return concatBytes(Uint8Array.of(kind), uintBytes(fragment.received, POSITION_BYTES));
    default:
      return Uint8Array.of(kind, fragment.reason);
  }
}

/** CRC-32 as in zlib and IEEE 802.3. */
export function crc32(data: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
  }
  return ~crc >>> 0;
}

/** A message with its length and its CRC-32 before it. */
export function toBleStream(message: Uint8Array): Uint8Array {
  return concatBytes(uintBytes(message.length, 2), uintBytes(crc32(message), 4), message);
}

/** The other side has broken the rules: the session ends with CLOSE 4. */
export class StreamBroken extends Error {}

/** Puts the bytes of one direction together in order, whatever is doubled, lost or reordered on the way. */
export class BleStreamReader {
  #held = new Uint8Array();
  #received = 0;
  #gapTold = false;

  /** Position up to which everything has arrived. */
  get received(): number {
    return this.#received;
  }

  /**
   * Take DATA.
   *
   * @returns the messages that are complete now, and whether to tell a GAP: once until something new has come.
   * @throws StreamBroken for a message that is too long or has another CRC.
   */
  take(position: number, data: Uint8Array): { messages: Uint8Array[]; gap: boolean } {
    if (position > this.#received) {
      const gap = !this.#gapTold;
      this.#gapTold = true;
      return { messages: [], gap };
    }
    const fresh = data.subarray(this.#received - position);
    if (fresh.length === 0) return { messages: [], gap: false };
    this.#received += fresh.length;
    this.#gapTold = false;
    this.#held = new Uint8Array(concatBytes(this.#held, fresh));
    return { messages: this.#complete(), gap: false };
  }

  #complete(): Uint8Array[] {
    const messages: Uint8Array[] = [];
    while (this.#held.length >= MESSAGE_HEAD_BYTES) {
      const length = uintAt(this.#held, 0, 2);
      if (length > WIRE_MESSAGE_BYTES_MAX) throw new StreamBroken("a message that is too long");
      const end = MESSAGE_HEAD_BYTES + length;
      if (this.#held.length < end) break;
      const message = this.#held.slice(MESSAGE_HEAD_BYTES, end);
      if (crc32(message) !== uintAt(this.#held, 2, 4)) throw new StreamBroken("a message that was changed");
      messages.push(message);
      this.#held = this.#held.slice(end);
    }
    return messages;
  }
}
