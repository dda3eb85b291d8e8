/** Reading the input of a conformance case. A wrong input is a mistake of the case, not a verdict. */

import {
  fromHex,
  KEY_SET,
  PublicKey,
  Revoked,
  toHex,
  TRANSFER,
  TrustContext,
  unseal,
  VOUCHER,
  objectId,
  splitEntries,
  type HeldRevocations,
  type KeySet,
  type Root,
  type SettlementPolicy,
  type Terms,
} from "../src/index.js";
import type { Json } from "./facts.js";

type Fields = { readonly [name: string]: Json };

/** One input, by name. */
export class Given {
  readonly #fields: Fields;

  constructor(fields: Fields) {
    this.#fields = fields;
  }

  #typed<T>(name: string, is: (value: Json | undefined) => value is Json & T): T {
    const value = this.#fields[name];
    if (!is(value)) throw new TypeError(`the input has no proper ${name}`);
    return value;
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }

  text(name: string): string {
    return this.#typed(name, (value): value is string => typeof value === "string");
  }

  number(name: string): number {
    return this.#typed(name, (value): value is number => typeof value === "number");
  }

  flag(name: string): boolean {
    return this.#typed(name, (value): value is boolean => typeof value === "boolean");
  }

  bytes(name: string): Uint8Array {
    return fromHex(this.text(name));
  }

  list(name: string): Json[] {
    return this.#typed(name, (value): value is Json[] => Array.isArray(value));
  }

  texts(name: string): string[] {
    return this.list(name).map(String);
  }

  inside(name: string): Given {
    return new Given(
      this.#typed(
        name,
        (value): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value),
      ),
    );
  }

  get entries(): [string, Json][] {
    return Object.entries(this.#fields);
  }

  key(name: string): PublicKey {
    return PublicKey.decode(this.bytes(name));
  }

  /** The key set, which the case takes for granted: its signature is not looked at. */
  get keySet(): KeySet {
    return unseal(KEY_SET, this.bytes("key_set")).body;
  }

  get context(): TrustContext {
    const revoked = new Revoked(this.texts("revoked").map(fromHex));
    return new TrustContext(this.keySet, this.number("now"), this.number("floor"), revoked);
  }

  get held(): HeldRevocations {
    const held = this.inside("held");
    const entries = held.bytes("entries");
    splitEntries(entries);
    return { epoch: held.number("epoch"), entries };
  }

  get roots(): Root[] {
    return this.list("roots").map((item) => {
      const root = new Given(item as Fields);
      const recorded = (kind: typeof VOUCHER | typeof TRANSFER, payload: Uint8Array) => ({
        id: objectId(kind.name, payload),
        body: kind.readPayload(payload),
      });
      return {
        voucher: recorded(VOUCHER, root.bytes("voucher")),
        transfers: root.texts("transfers").map((text) => recorded(TRANSFER, fromHex(text))),
      } as Root;
    });
  }

  /** Amounts by account, as decimal text. */
  sums(name: string): Map<string, bigint> {
    return new Map(this.inside(name).entries.map(([account, sum]) => [account, BigInt(String(sum))]));
  }

  links(name: string): Map<string, Set<string>> {
    return new Map(
      this.inside(name).entries.map(([account, linked]) => [
        account,
        new Set((linked as Json[]).map(String)),
      ]),
    );
  }

  get terms(): Map<string, Terms> {
    return new Map(
      this.inside("terms").entries.map(([voucherId, fields]) => {
        const own = new Given(fields as Fields);
        const borneBy = own
          .inside("borne_by")
          .entries.map(([id, account]) => [id, String(account)] as const);
        return [
          voucherId,
          {
            ...(own.has("excluded") ? { excluded: own.links("excluded") } : {}),
            promised: own.sums("promised"),
            borneBy: new Map(borneBy),
          },
        ];
      }),
    );
  }

  get policy(): SettlementPolicy {
    const accounts = new Map(
      this.inside("accounts").entries.map(([key, account]) => [key, String(account)]),
    );
    return {
      accountOf: (key) => {
        const account = accounts.get(toHex(key.raw));
        if (account === undefined) throw new TypeError("the input names no account of a key");
        return account;
      },
      excluded: this.links("excluded"),
      instantLimit: this.sums("instant_limit"),
      collateral: this.sums("collateral"),
      fundCap: BigInt(this.text("fund_cap")),
      fundCaps: this.sums("fund_caps"),
      terms: this.terms,
      now: this.number("now"),
    };
  }
}
