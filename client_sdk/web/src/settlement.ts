/**
 * Who is paid, from what, and who owes: a pure function of records, accounts and limits.
 *
 * Nobody is faster than anybody: neither order of arrival nor hashes decide beyond one minor unit.
 */

import { compareBytes, toHex } from "./bytes.js";
import type { PublicKey } from "./keys.js";
import { resolve, type Fork, type Root } from "./resolution.js";
import { Pools, shareOut, Tally, type Faith } from "./shares.js";

/** What an account gets of one root; `guaranteed` is final at once, the rest at claim-by. */
export interface Credit {
  readonly amount: bigint;
  readonly guaranteed: bigint;
}

/** Outcome for one voucher. */
export interface RootSettlement {
  readonly voucherId: Uint8Array;
  readonly value: number;
  readonly closed: boolean;
  readonly credits: ReadonlyMap<string, Credit>;
  /** Where the credits come from; collateral and fund by account. */
  readonly sources: {
    readonly backing: bigint;
    readonly collateral: ReadonlyMap<string, bigint>;
    readonly fund: ReadonlyMap<string, bigint>;
    readonly issuer: bigint;
  };
  readonly debts: ReadonlyMap<string, bigint>;
  readonly forks: readonly (Fork & { readonly account: string })[];
}

/** What is settled differently for one root. */
export interface Terms {
  /** In place of the links given for all, where those of this root were frozen. */
  readonly excluded?: ReadonlyMap<string, ReadonlySet<string>>;
  /** By account: what was guaranteed before. */
  readonly promised?: ReadonlyMap<string, bigint>;
  /** By the parent of a fork, in hex: the account that bears its cost. */
  readonly borneBy?: ReadonlyMap<string, string>;
}

/** Everything that an outcome depends on beside the records. */
export interface SettlementPolicy {
  /** Account behind a device key. */
  accountOf(key: PublicKey): string;
  /** By a fork signer's account: accounts linked to it. Its own always is. */
  readonly excluded: ReadonlyMap<string, ReadonlySet<string>>;
  /** By account: the most that is guaranteed of one root. None where nothing is said. */
  readonly instantLimit: ReadonlyMap<string, bigint>;
  /** By account: what is set aside for its own debts. */
  readonly collateral: ReadonlyMap<string, bigint>;
  /** The most that the guarantee fund pays for one fork signer's account. */
  readonly fundCap: bigint;
  /** Caps that differ, by account. */
  readonly fundCaps: ReadonlyMap<string, bigint>;
  /** By voucher id in hex: what differs for single roots. */
  readonly terms: ReadonlyMap<string, Terms>;
  /** Unix seconds; from its claim-by on a root is closed. */
  readonly now: number;
}

/** Settle vouchers of one currency. Collateral and caps are pools over all of them. */
export function settle(roots: Iterable<Root>, policy: SettlementPolicy): RootSettlement[] {
  const pools = new Pools(policy.collateral, policy.fundCap, policy.fundCaps);
  return merge(roots).map((root) => settleRoot(root, policy, pools));
}

/** Each voucher once with all its transfers, by claim-by and id: the order of the pools. */
function merge(roots: Iterable<Root>): Root[] {
  const merged = new Map<string, Root>();
  for (const root of roots) {
    const name = toHex(root.voucher.id);
    const transfers = [...(merged.get(name)?.transfers ?? []), ...root.transfers];
    merged.set(name, { voucher: root.voucher, transfers });
  }
  return [...merged.values()].sort(
    ({ voucher: left }, { voucher: right }) =>
      left.body.claimBy - right.body.claimBy || compareBytes(left.id, right.id),
  );
}

function settleRoot(root: Root, policy: SettlementPolicy, pools: Pools): RootSettlement {
  const { voucher } = root;
  const terms = policy.terms.get(toHex(voucher.id)) ?? {};
  const faith: Faith = {
    accountOf: (key) => policy.accountOf(key),
    excluded: terms.excluded ?? policy.excluded,
    borneBy: terms.borneBy ?? new Map(),
  };
  const closed = policy.now >= voucher.body.claimBy;
  const resolution = resolve(root);
  const tally = new Tally();
  shareOut(resolution, faith, pools, tally, closed);
  const { credits, issuer } = guarantee(tally, policy.instantLimit, terms.promised ?? new Map());
  return {
    voucherId: voucher.id,
    value: voucher.body.value,
    closed,
    credits,
    sources: { backing: tally.backing, collateral: tally.collateral, fund: tally.fund, issuer },
    debts: tally.debts,
    forks: resolution.forks.map((fork) => ({ ...fork, account: faith.accountOf(fork.key) })),
  };
}

/** Lift each credit to what is promised at once; the issuer bears the difference. */
function guarantee(
  tally: Tally,
  limits: ReadonlyMap<string, bigint>,
  promised: ReadonlyMap<string, bigint>,
): { credits: Map<string, Credit>; issuer: bigint } {
  const credits = new Map<string, Credit>();
  let issuer = 0n;
  for (const [account, entitled] of tally.entitled) {
    const limit = greater(limits.get(account) ?? 0n, promised.get(account) ?? 0n);
    const full = tally.full.get(account) ?? 0n;
    const guaranteed = full < limit ? full : limit;
    const amount = greater(entitled, guaranteed);
    issuer += amount - entitled;
    if (amount > 0n) credits.set(account, { amount, guaranteed });
  }
  return { credits, issuer };
}

function greater(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}
