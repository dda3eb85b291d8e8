/** What the conformance cases call facts: results as plain JSON, the same in every language. */

import {
  PublicKey,
  toHex,
  type AcceptanceRule,
  type RootSettlement,
  type Signed,
  type Value,
} from "../src/index.js";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** `validFrom` as `valid_from`: the names of the specification. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A CBOR value; byte strings and maps are marked, since JSON has no such thing. */
export function valueFacts(value: Value): Json {
  if (typeof value === "number" || typeof value === "string") return value;
  if (value instanceof Uint8Array) return { bytes: toHex(value) };
  if (value instanceof Map) {
    return {
      map: Array.from(value as ReadonlyMap<number, Value>, ([key, inner]) => [key, valueFacts(inner)]),
    };
  }
  return (value as readonly Value[]).map(valueFacts);
}

/** A field of an object: bytes and keys in hex, tuples as objects, what is absent left out. */
function fieldFacts(value: unknown): Json {
  if (value instanceof PublicKey) return toHex(value.raw);
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map(fieldFacts);
  if (typeof value === "object" && value !== null) return bodyFacts(value);
  return value as number | string;
}

export function bodyFacts(body: object): { [name: string]: Json } {
  return Object.fromEntries(
    Object.entries(body)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [snakeCase(name), fieldFacts(value)]),
  );
}

/** An object that was read: what it says, and how it is named. */
export function objectFacts<B extends object>(signed: Signed<B>): Json {
  return { id: toHex(signed.id), algorithm: signed.algorithm, fields: bodyFacts(signed.body) };
}

function sums(map: ReadonlyMap<string, bigint>): Json {
  return Object.fromEntries(Array.from(map, ([account, amount]) => [account, String(amount)]));
}

/** Sums of amounts are decimal text, since several may exceed what JSON numbers keep. */
export function settlementFacts(outcomes: readonly RootSettlement[]): Json {
  return outcomes.map((root) => ({
    voucher_id: toHex(root.voucherId),
    value: root.value,
    closed: root.closed,
    credits: Object.fromEntries(
      Array.from(root.credits, ([account, { amount, guaranteed }]) => [
        account,
        { amount: String(amount), guaranteed: String(guaranteed) },
      ]),
    ),
    backing: String(root.sources.backing),
    collateral: sums(root.sources.collateral),
    fund: sums(root.sources.fund),
    issuer: String(root.sources.issuer),
    debts: sums(root.debts),
    forks: root.forks.map((fork) => ({
      key: toHex(fork.key.raw),
      account: fork.account,
      parent: toHex(fork.parent),
      lo: fork.lo,
      hi: fork.hi,
      transfer_ids: fork.transferIds.map(toHex),
    })),
  }));
}

/** Which rules of a list these are, by place. */
export function placesOf(rules: readonly AcceptanceRule[], among: readonly AcceptanceRule[]): number[] {
  return rules.map((rule) => among.indexOf(rule));
}
