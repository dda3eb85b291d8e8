/**
 * Reading and writing the payload of an object: a map from field numbers to values.
 *
 * A kind of object is described once, by its table of fields; reading, writing and the type of its body follow
 * from that.
 */

import { decode, encode, type Value } from "./cbor.js";
import { UINT_MAX } from "./constants.js";
import { ProtocolError } from "./errors.js";
import { PublicKey } from "./keys.js";

/** How one value stands on the wire. */
export interface Field<T> {
  /** @throws ProtocolError 102 (for keys also 112) when the value is not allowed. */
  read(value: Value): T;
  write(value: T): Value;
}

/** A field with its number in the map. */
export interface Entry<T> {
  readonly number: number;
  readonly field: Field<T>;
  readonly optional: boolean;
}

export type Entries = Readonly<Record<string, Entry<unknown>>>;

/** The body that a table of fields describes. */
export type Body<E> = { readonly [P in keyof E]: E[P] extends Entry<infer T> ? T : never };

/** What every kind of object is. */
export interface Kind<B> {
  /** Domain of its signatures and ids. */
  readonly name: string;
  /** Largest envelope. */
  readonly bytesMax: number;
  readonly entries: Entries;
  /** @throws ProtocolError 101, 102 or 112. */
  readPayload(payload: Uint8Array): B;
  /** @throws ProtocolError 101, 102 or 112 when the body could not be read again. */
  writePayload(body: B): Uint8Array;
}

/** The body of a kind of object. */
export type BodyOf<K> = K extends Kind<infer B> ? B : never;

export function refuse(detail: string): never {
  throw new ProtocolError(102, detail);
}

function field<T>(isValid: (value: Value) => value is Value & T, what: string): Field<T> {
  return {
    read: (value) => (isValid(value) ? value : refuse(`not ${what}`)),
    write: (value) => value as Value,
  };
}

/** The one integer that the field must have. */
export function exactly<N extends number>(number: N): Field<N> {
  return field<N>((value): value is N => value === number, `${number}`);
}

/** An integer of the range, both ends included. */
export function uint(min = 0, max = UINT_MAX): Field<number> {
  return field<number>(
    (value): value is number => typeof value === "number" && value >= min && value <= max,
    `an integer of ${min} to ${max}`,
  );
}

/** Bytes of a length in the range. */
export function bytes(min: number, max = min): Field<Uint8Array> {
  return field<Uint8Array>(
    (value): value is Uint8Array =>
      value instanceof Uint8Array && value.length >= min && value.length <= max,
    `${min} to ${max} bytes`,
  );
}

const UNSHOWABLE = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u;

/** Text for people: of 1 to so many bytes in UTF-8, without control characters and direction marks. */
export function text(max: number): Field<string> {
  return field<string>(
    (value): value is string =>
      typeof value === "string" &&
      value.length > 0 &&
      new TextEncoder().encode(value).length <= max &&
      !UNSHOWABLE.test(value),
    `text of 1 to ${max} bytes`,
  );
}

/** An ISO 4217 code or one of its like. */
export const currency: Field<string> = field<string>(
  (value): value is string => typeof value === "string" && /^[A-Z][A-Z0-9]{2,7}$/.test(value),
  "a currency code",
);

export const key: Field<PublicKey> = {
  read: (value) => (value instanceof Uint8Array ? PublicKey.decode(value) : refuse("not a key")),
  write: (value) => value.raw,
};

/** An array of so many items. */
export function list<T>(item: Field<T>, min: number, max: number): Field<readonly T[]> {
  return {
    read: (value) =>
      Array.isArray(value) && value.length >= min && value.length <= max
        ? value.map((inner) => item.read(inner as Value))
        : refuse(`not an array of ${min} to ${max}`),
    write: (values) => values.map((inner) => item.write(inner)),
  };
}

/** An array with one item for each field, read as an object with these properties in this order. */
export function tuple<F extends Record<string, Field<unknown>>>(
  fields: F,
): Field<{ readonly [P in keyof F]: F[P] extends Field<infer T> ? T : never }> {
  type Read = { readonly [P in keyof F]: F[P] extends Field<infer T> ? T : never };
  const named = Object.entries(fields);
  return {
    read: (value) => {
      if (!Array.isArray(value) || value.length !== named.length) refuse("not such an array");
      const items = value as readonly Value[];
      return Object.fromEntries(named.map(([name, inner], at) => [name, inner.read(items[at]!)])) as Read;
    },
    write: (read) => named.map(([name, inner]) => inner.write(read[name])),
  };
}

/** A field that must be there. */
export function required<T>(number: number, inner: Field<T>): Entry<T> {
  return { number, field: inner as Field<unknown> as Field<T>, optional: false };
}

/** A field whose key is left out where there is nothing to say. */
export function optional<T>(number: number, inner: Field<T>): Entry<T | undefined> {
  return { number, field: inner as Field<T | undefined>, optional: true };
}

/** Describe a kind of object. `check` looks at what no single field can say. */
export function objectKind<const E extends Entries>(
  name: string,
  entries: E,
  options: { bytesMax: number; check?: (body: Body<E>) => void },
): Kind<Body<E>> {
  const table = Object.entries(entries) as unknown as [string, Entry<unknown>][];
  const numbers = new Set(table.map(([, entry]) => entry.number));

  function readPayload(payload: Uint8Array): Body<E> {
    const map = decode(payload, options.bytesMax);
    if (!(map instanceof Map)) return refuse("not a map");
    for (const number of map.keys()) if (!numbers.has(number)) refuse(`unknown field ${number}`);
    const body: Record<string, unknown> = {};
    for (const [property, entry] of table) {
      const value = map.get(entry.number) as Value | undefined;
      if (value === undefined && !entry.optional) refuse(`${property} is missing`);
      body[property] = value === undefined ? undefined : entry.field.read(value);
    }
    const read = body as Body<E>;
    options.check?.(read);
    return read;
  }

  function writePayload(body: Body<E>): Uint8Array {
    const map = new Map<number, Value>();
    for (const [property, entry] of table) {
      const value = body[property as keyof E] as unknown;
      if (value !== undefined) map.set(entry.number, entry.field.write(value));
    }
    const payload = encode(map);
    readPayload(payload);
    return payload;
  }

  return {
    name,
    bytesMax: options.bytesMax,
    entries: entries as unknown as Entries,
    readPayload,
    writePayload,
  };
}
