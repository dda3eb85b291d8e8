/**
 * Base45 (RFC 9285): bytes in the 45 characters that a QR code packs tightest.
 */

import { ProtocolError } from "./errors.js";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/** Text of the bytes: three characters for each two bytes, two for a single last one. */
export function encode(data: Uint8Array): string {
  let text = "";
  for (let at = 0; at < data.length; at += 2) {
    const pair = at + 1 < data.length;
    let rest = pair ? data[at]! * 256 + data[at + 1]! : data[at]!;
    for (let digit = 0; digit < (pair ? 3 : 2); digit++) {
      text += ALPHABET[rest % 45];
      rest = Math.floor(rest / 45);
    }
  }
  return text;
}

/**
 * Bytes of the text.
 *
 * @throws ProtocolError 104 for other characters, an impossible length or a group above its range.
 */
export function decode(text: string): Uint8Array {
  if (text.length % 3 === 1) throw new ProtocolError(104, "base45 of an impossible length");
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at += 3) {
    const group = [...text.slice(at, at + 3)].map((character) => ALPHABET.indexOf(character));
    if (group.includes(-1)) throw new ProtocolError(104, "not a character of base45");
    const sum = group.reduceRight((total, digit) => total * 45 + digit, 0);
    if (sum > (group.length === 3 ? 0xffff : 0xff)) {
      throw new ProtocolError(104, "a base45 group above its range");
    }
    if (group.length === 3) bytes.push(sum >> 8);
    bytes.push(sum & 0xff);
  }
  return Uint8Array.from(bytes);
}
