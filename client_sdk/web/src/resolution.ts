/**
 * Who owns what of one voucher, from the set of records about it.
 *
 * The answer follows from the set alone, never from the order or number in which records came.
 */

import { compareBytes, toHex } from "./bytes.js";
import type { PublicKey } from "./keys.js";
import { CLAIM, type Interval, type Transfer } from "./transfers.js";
import type { Voucher } from "./vouchers.js";

/** A body with its id. Whether it is signed was judged before. */
export interface Recorded<B> {
  readonly id: Uint8Array;
  readonly body: B;
}

/** A voucher, and the transfers known under it; those whose parent is missing wait. */
export interface Root {
  readonly voucher: Recorded<Voucher>;
  readonly transfers: readonly Recorded<Transfer>[];
}

/** Where a path leaves a fork: whose fork it is, and which child was taken. */
export interface Turn {
  readonly parent: Uint8Array;
  readonly signer: PublicKey;
  readonly child: Uint8Array;
}

/** Where a path ends. `id` is that of the claim, else of what made `owner` the owner. */
export interface Leaf {
  readonly id: Uint8Array;
  readonly owner: PublicKey;
  readonly claimed: boolean;
  /** Forks above, from the voucher down. */
  readonly turns: readonly Turn[];
}

/** Units with all their ends, ordered by the ids of these. */
export interface Segment extends Interval {
  readonly leaves: readonly Leaf[];
}

/** One key signed these units of one parent away in several transfers, whose ids ascend. */
export interface Fork extends Interval {
  readonly key: PublicKey;
  readonly parent: Uint8Array;
  readonly transferIds: readonly Uint8Array[];
}

export interface Resolution {
  /** They cover the voucher without a gap. */
  readonly segments: readonly Segment[];
  readonly forks: readonly Fork[];
}

interface Span<T> extends Interval {
  readonly item: T;
}

interface Part<T> extends Interval {
  readonly items: readonly T[];
}

/** Cut an interval wherever a span begins or ends; each part comes with what covers it, by id. */
function sweep<T extends { readonly id: Uint8Array }>(
  spans: readonly Span<T>[],
  whole: Interval,
): Part<T>[] {
  const bounds = new Set([whole.lo, whole.hi, ...spans.flatMap(({ lo, hi }) => [lo, hi])]);
  const cuts = [...bounds].sort((left, right) => left - right);
  const starting = [...spans].sort((left, right) => left.lo - right.lo);
  const parts: Part<T>[] = [];
  let covering: Span<T>[] = [];
  let next = 0;
  for (let at = 0; at + 1 < cuts.length; at++) {
    const lo = cuts[at]!;
    covering = covering.filter((span) => span.hi > lo);
    while (next < starting.length && starting[next]!.lo === lo) covering.push(starting[next++]!);
    const items = covering.map(({ item }) => item);
    parts.push({ lo, hi: cuts[at + 1]!, items: items.sort((a, b) => compareBytes(a.id, b.id)) });
  }
  return parts;
}

/** A place in the tree where somebody owned an interval. */
interface Node extends Interval {
  readonly id: Uint8Array;
  readonly owner: PublicKey;
}

/** A node, the units of it that one path reaches, and the forks above. */
interface Visit {
  readonly node: Node;
  readonly reached: Interval;
  readonly turns: readonly Turn[];
}

type Child = Recorded<Transfer>;

/** The records of one root by their parents. */
class Tree {
  readonly forks: Fork[] = [];
  readonly #children = new Map<string, Map<string, Child>>();
  readonly #parts = new Map<string, readonly Part<Child>[]>();

  constructor(transfers: readonly Child[]) {
    for (const transfer of transfers) {
      const parent = toHex(transfer.body.parent);
      const siblings = this.#children.get(parent) ?? new Map<string, Child>();
      this.#children.set(parent, siblings.set(toHex(transfer.id), transfer));
    }
  }

  /** Elementary segments of a node, found once however many paths lead here. */
  partsOf(node: Node): readonly Part<Child>[] {
    const name = toHex(node.id);
    const known = this.#parts.get(name);
    if (known !== undefined) return known;
    const spans = [...(this.#children.get(name)?.values() ?? [])]
      .filter(({ body }) => node.lo <= body.lo && body.hi <= node.hi)
      .map((item) => ({ lo: item.body.lo, hi: item.body.hi, item }));
    const parts = sweep(spans, node);
    this.#parts.set(name, parts);
    for (const { lo, hi, items } of parts) {
      const transferIds = items.map(({ id }) => id);
      if (items.length > 1) this.forks.push({ key: node.owner, parent: node.id, lo, hi, transferIds });
    }
    return parts;
  }
}

/** Stretches on which a child has rivals, or has none. Parts come in order, so that they touch. */
function stretches(parts: readonly Part<Child>[]): (Span<Child> & { readonly forked: boolean })[] {
  const found = new Map<string, (Span<Child> & { forked: boolean })[]>();
  for (const { lo, hi, items } of parts) {
    const forked = items.length > 1;
    for (const item of items) {
      const own = found.get(toHex(item.id)) ?? [];
      const last = own.at(-1);
      if (last?.forked === forked) own[own.length - 1] = { ...last, hi };
      else own.push({ lo, hi, item, forked });
      found.set(toHex(item.id), own);
    }
  }
  return [...found.values()].flat();
}

/** Go down one step: what ends here, and where it goes on. */
function visit({ node, reached, turns }: Visit, tree: Tree, ends: Span<Leaf>[]): Visit[] {
  const parts = tree
    .partsOf(node)
    .filter(({ lo, hi }) => lo < reached.hi && reached.lo < hi)
    .map(({ lo, hi, items }) => ({
      lo: Math.max(lo, reached.lo),
      hi: Math.min(hi, reached.hi),
      items,
    }));
  for (const { lo, hi, items } of parts) {
    const leaf = { id: node.id, owner: node.owner, claimed: false, turns };
    if (items.length === 0) ends.push({ lo, hi, item: leaf });
  }
  const below: Visit[] = [];
  for (const { lo, hi, item, forked } of stretches(parts)) {
    const turn = { parent: node.id, signer: node.owner, child: item.id };
    const taken = forked ? [...turns, turn] : turns;
    if (item.body.kind === CLAIM) {
      ends.push({ lo, hi, item: { id: item.id, owner: node.owner, claimed: true, turns: taken } });
    } else {
      const after = { id: item.id, owner: item.body.payee, lo: item.body.lo, hi: item.body.hi };
      below.push({ node: after, reached: { lo, hi }, turns: taken });
    }
  }
  return below;
}

/** Walk one voucher from the top to every end. */
export function resolve({ voucher, transfers }: Root): Resolution {
  const whole = { lo: 0, hi: voucher.body.value };
  const tree = new Tree(transfers);
  const ends: Span<Leaf>[] = [];
  const top = { id: voucher.id, owner: voucher.body.holder, ...whole };
  const waiting: Visit[] = [{ node: top, reached: whole, turns: [] }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    waiting.push(...visit(next, tree, ends));
  }
  const segments = sweep(ends, whole).map(({ lo, hi, items }) => ({ lo, hi, leaves: items }));
  const forks = tree.forks.sort(
    (left, right) => left.lo - right.lo || left.hi - right.hi || compareBytes(left.parent, right.parent),
  );
  return { segments, forks };
}
