/**
 * What a payee takes, is warned of, or refuses, beyond the rules that all share.
 *
 * Whether to take a valid payment is a matter of risk. The issuer signs recommended rules, a payee may add
 * stricter ones, and all of it is data.
 */

import type { Value } from "./cbor.js";
import { issuingKey, type KeySet } from "./certificates.js";
import type { Chain, Payment } from "./chains.js";
import { OBJECT_BYTES_MAX } from "./constants.js";
import type { Signed } from "./cose.js";
import { equalBytes } from "./bytes.js";
import { ProtocolError } from "./errors.js";
import {
  bytes,
  currency,
  exactly,
  list,
  objectKind,
  refuse,
  required,
  uint,
  type BodyOf,
  type Field,
} from "./fields.js";
import { isPayment } from "./transfers.js";

/** What to do with a payment; the greatest of all that applies counts. */
export const ACCEPT = 0;
export const WARN = 1;
export const REFUSE = 2;

export type Verdict = typeof ACCEPT | typeof WARN | typeof REFUSE;

/** Applies when all its conditions hold; at least one is there. Ages are seconds. */
export interface AcceptanceRule {
  readonly action: typeof WARN | typeof REFUSE;
  readonly currency?: string;
  readonly amountOver?: number;
  readonly hopsOver?: number;
  readonly certificateAgeOver?: number;
  readonly revocationAgeOver?: number;
  readonly assuranceUnder?: number;
}

const RULES_MAX = 64;

const action = uint(WARN, REFUSE) as Field<typeof WARN | typeof REFUSE>;

/** Properties of a rule, with their fields, by number from 1. */
const RULE_FIELDS: readonly [property: keyof AcceptanceRule, field: Field<unknown>][] = [
  ["action", action],
  ["currency", currency],
  ["amountOver", uint()],
  ["hopsOver", uint()],
  ["certificateAgeOver", uint()],
  ["revocationAgeOver", uint()],
  ["assuranceUnder", uint()],
];

const rule: Field<AcceptanceRule> = {
  read: (value) => {
    if (!(value instanceof Map)) return refuse("a rule is a map");
    const map = value as ReadonlyMap<number, Value>;
    if ([...map.keys()].some((number) => number < 1 || number > RULE_FIELDS.length)) {
      refuse("an unknown condition");
    }
    if (!map.has(1)) refuse("a rule without an action");
    const read = RULE_FIELDS.flatMap(([property, field], at) => {
      const given = map.get(at + 1);
      return given === undefined ? [] : [[property, field.read(given)] as const];
    });
    if (read.length < 2) refuse("a rule without a condition");
    return Object.fromEntries(read) as unknown as AcceptanceRule;
  },
  write: (read) =>
    new Map(
      RULE_FIELDS.flatMap(([property, field], at) => {
        const given = read[property];
        return given === undefined ? [] : [[at + 1, field.write(given)] as const];
      }),
    ),
};

/** The rules that an issuer recommends. */
export const ACCEPTANCE_POLICY = objectKind(
  "acceptance-policy",
  {
    type: required(1, exactly(9)),
    kid: required(2, bytes(1, 8)),
    version: required(3, uint(1)),
    time: required(4, uint()),
    rules: required(5, list(rule, 0, RULES_MAX)),
  },
  { bytesMax: OBJECT_BYTES_MAX },
);

export type AcceptancePolicy = BodyOf<typeof ACCEPTANCE_POLICY>;

/**
 * Check a policy that may replace the one in use.
 *
 * @throws ProtocolError 221 when the issuer did not sign it, or when it is not newer.
 */
export async function verifyAcceptancePolicy(
  offered: Signed<AcceptancePolicy>,
  keySet: KeySet,
  inUse?: Signed<AcceptancePolicy>,
): Promise<void> {
  const key = issuingKey(keySet, offered.body.kid, offered.body.time);
  if (key === undefined || !(await offered.isSignedBy(key))) {
    throw new ProtocolError(221, "the issuer did not sign it");
  }
  if (inUse === undefined || equalBytes(offered.id, inUse.id)) return;
  if (offered.body.version <= inUse.body.version) throw new ProtocolError(221, "not newer");
}

/** What rules look at. Ages are seconds, the amount minor units. */
export interface PaymentFacts {
  readonly currency: string;
  readonly amount: bigint;
  readonly hops: number;
  /** Of the oldest word of the issuer about anybody who paid: a certificate, or the voucher. */
  readonly certificateAge: number;
  /** Of the payee's own revocation list. */
  readonly revocationAge: number;
  readonly assurance: number;
}

/** The issuer's word about each payer of a chain: since when, and how well the key is kept. */
function words(chain: Chain): { since: number; assurance: number }[] {
  return chain.hops
    .filter(({ transfer }) => isPayment(transfer))
    .map(({ certificate }) =>
      certificate === undefined
        ? { since: chain.voucher.body.issuedAt, assurance: 1 }
        : { since: certificate.body.validFrom, assurance: certificate.body.assurance },
    );
}

/**
 * Look at a payment whose rules all hold.
 *
 * @param now Unix seconds, never behind what the issuer has signed.
 * @param revocationTime when the payee's newest revocation list was signed; 0 without one.
 */
export function paymentFacts(payment: Payment, now: number, revocationTime: number): PaymentFacts {
  const said = payment.chains.flatMap(words);
  return {
    currency: payment.chains[0]!.voucher.body.currency,
    amount: payment.amount,
    hops: Math.max(...payment.chains.map((chain) => chain.hopsUsed)),
    certificateAge: Math.max(now - Math.min(...said.map(({ since }) => since)), 0),
    revocationAge: Math.max(now - revocationTime, 0),
    assurance: Math.min(...said.map(({ assurance }) => assurance)),
  };
}

function applies(one: AcceptanceRule, facts: PaymentFacts): boolean {
  const isOver = (most: number | undefined, value: number | bigint): boolean =>
    most === undefined || value > most;
  return (
    (one.currency === undefined || one.currency === facts.currency) &&
    isOver(one.amountOver, facts.amount) &&
    isOver(one.hopsOver, facts.hops) &&
    isOver(one.certificateAgeOver, facts.certificateAge) &&
    isOver(one.revocationAgeOver, facts.revocationAge) &&
    (one.assuranceUnder === undefined || facts.assurance < one.assuranceUnder)
  );
}

/** What to do with a payment, and the rules that say so. */
export function judge(
  facts: PaymentFacts,
  rules: readonly AcceptanceRule[],
): { verdict: Verdict; applying: readonly AcceptanceRule[] } {
  const applying = rules.filter((one) => applies(one, facts));
  const verdict = Math.max(ACCEPT, ...applying.map((one) => one.action)) as Verdict;
  return { verdict, applying };
}
