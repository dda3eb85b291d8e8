/**
 * How the units of one voucher are shared among those who were paid with them.
 *
 * Sums are `bigint`, for a product of two amounts does not fit a `number`.
 */

import { compareBytes, toHex } from "./bytes.js";
import type { PublicKey } from "./keys.js";
import type { Leaf, Resolution, Segment } from "./resolution.js";

/** A claimant of a segment, with the end that speaks for it. */
interface Share {
  readonly account: string;
  readonly leaf: Leaf;
}

/** What one fork costs in one segment, and which account owes it. */
interface Due {
  readonly debtor: string;
  readonly segment: number;
  readonly amount: bigint;
}

/** Says who was paid in good faith, and who bears what a fork costs. */
export interface Faith {
  accountOf(key: PublicKey): string;
  /** Accounts linked to that of a fork signer. */
  readonly excluded: ReadonlyMap<string, ReadonlySet<string>>;
  /** By the parent of a fork, in hex: the account that bears it in place of the signer's. */
  readonly borneBy: ReadonlyMap<string, string>;
}

/** What is left of collateral, and of the fund's cap for each account. */
export class Pools {
  readonly #collateral: Map<string, bigint>;
  readonly #fund: Map<string, bigint>;

  constructor(
    collateral: ReadonlyMap<string, bigint>,
    private readonly fundCap: bigint,
    fundCaps: ReadonlyMap<string, bigint>,
  ) {
    this.#collateral = new Map(collateral);
    this.#fund = new Map(fundCaps);
  }

  /** Take up to an amount, from collateral first and then from the fund. */
  draw(account: string, amount: bigint): { collateral: bigint; fund: bigint } {
    const set = this.#collateral.get(account) ?? 0n;
    const cap = this.#fund.get(account) ?? this.fundCap;
    const collateral = least(amount, set);
    const fund = least(amount - collateral, cap);
    this.#collateral.set(account, set - collateral);
    this.#fund.set(account, cap - fund);
    return { collateral, fund };
  }
}

/** Sums of one root. `full` is what would be credited if nothing were missing. */
export class Tally {
  readonly entitled = new Map<string, bigint>();
  readonly full = new Map<string, bigint>();
  readonly collateral = new Map<string, bigint>();
  readonly fund = new Map<string, bigint>();
  readonly debts = new Map<string, bigint>();
  backing = 0n;
}

function least(left: bigint, right: bigint): bigint {
  return left < right ? left : right;
}

function add(sums: Map<string, bigint>, account: string, amount: bigint): void {
  sums.set(account, (sums.get(account) ?? 0n) + amount);
}

function length({ lo, hi }: Segment): bigint {
  return BigInt(hi - lo);
}

/** Share a total in proportion to weights: whole units, largest remainder, ties to the earlier. */
export function allot(total: bigint, weights: readonly bigint[]): bigint[] {
  const whole = weights.reduce((sum, weight) => sum + weight, 0n);
  if (whole === 0n) return weights.map(() => 0n);
  const shares = weights.map((weight) => (total * weight) / whole);
  const remainder = (at: number): bigint => (total * weights[at]!) % whole;
  const order = [...weights.keys()].sort((left, right) => {
    const difference = remainder(right) - remainder(left);
    return difference === 0n ? left - right : difference > 0n ? 1 : -1;
  });
  const left = total - shares.reduce((sum, share) => sum + share, 0n);
  for (const at of order.slice(0, Number(left))) shares[at]! += 1n;
  return shares;
}

/** One share for each account in good faith, by its smallest end, in the order of these. */
function claimants(leaves: readonly Leaf[], faith: Faith): Share[] {
  const shares = new Map<string, Share>();
  for (const leaf of leaves) {
    const account = faith.accountOf(leaf.owner);
    const involved = leaf.turns.some((turn) => {
      const signer = faith.accountOf(turn.signer);
      return signer === account || faith.excluded.get(signer)?.has(account) === true;
    });
    if (!involved && !shares.has(account)) shares.set(account, { account, leaf });
  }
  return [...shares.values()];
}

interface Contest {
  readonly segment: Segment;
  readonly shares: readonly Share[];
}

/** Credit every segment that has somebody to credit: until claim-by claims only, then every end. */
export function shareOut(
  resolution: Resolution,
  faith: Faith,
  pools: Pools,
  tally: Tally,
  closed: boolean,
): void {
  const contested: Contest[] = [];
  for (const segment of resolution.segments) {
    const leaves = segment.leaves.filter((leaf) => closed || leaf.claimed);
    if (leaves.length === 0) continue;
    tally.backing += length(segment);
    const shares = claimants(leaves, faith);
    if (shares.length > 1) {
      contested.push({ segment, shares });
      continue;
    }
    // Among cheats only, the smallest end takes the backing, and nothing is promised to it.
    const account = shares[0]?.account ?? faith.accountOf(leaves[0]!.owner);
    add(tally.entitled, account, length(segment));
    add(tally.full, account, shares.length === 1 ? length(segment) : 0n);
  }
  shareContested(contested, faith, pools, tally);
}

function shareContested(contested: readonly Contest[], faith: Faith, pools: Pools, tally: Tally): void {
  const dues = contested.flatMap((contest, segment) => duesOf(contest, segment, faith));
  const funding = contested.map(({ segment }) => length(segment));
  for (const [due, funded] of fund(dues, pools, tally)) funding[due.segment]! += funded;
  for (const [at, { segment, shares }] of contested.entries()) {
    const parts = allot(
      funding[at]!,
      shares.map(() => length(segment)),
    );
    for (const [place, { account }] of shares.entries()) {
      add(tally.entitled, account, parts[place]!);
      add(tally.full, account, length(segment));
    }
  }
}

/** What each fork above the claimants costs: one length for each branch beyond the first. */
function duesOf({ segment, shares }: Contest, at: number, faith: Faith): Due[] {
  const forks = new Map<string, { turn: Leaf["turns"][number]; children: Set<string> }>();
  for (const turn of shares.flatMap(({ leaf }) => leaf.turns)) {
    const parent = toHex(turn.parent);
    const fork = forks.get(parent) ?? { turn, children: new Set<string>() };
    fork.children.add(toHex(turn.child));
    forks.set(parent, fork);
  }
  return [...forks.entries()]
    .filter(([, { children }]) => children.size > 1)
    .sort(([, left], [, right]) => compareBytes(left.turn.parent, right.turn.parent))
    .map(([parent, { turn, children }]) => ({
      debtor: faith.borneBy.get(parent) ?? faith.accountOf(turn.signer),
      segment: at,
      amount: BigInt(children.size - 1) * length(segment),
    }));
}

/** Draw for all dues of an account together, then share what came over these. */
function fund(dues: readonly Due[], pools: Pools, tally: Tally): [Due, bigint][] {
  const funded: [Due, bigint][] = [];
  for (const debtor of [...new Set(dues.map((due) => due.debtor))].sort()) {
    const own = dues.filter((due) => due.debtor === debtor);
    const debt = own.reduce((sum, due) => sum + due.amount, 0n);
    const drawn = pools.draw(debtor, debt);
    tally.debts.set(debtor, debt);
    if (drawn.collateral > 0n) tally.collateral.set(debtor, drawn.collateral);
    if (drawn.fund > 0n) tally.fund.set(debtor, drawn.fund);
    const parts = allot(
      drawn.collateral + drawn.fund,
      own.map((due) => due.amount),
    );
    own.forEach((due, at) => funded.push([due, parts[at]!]));
  }
  return funded;
}
