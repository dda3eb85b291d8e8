/** What a rule is, how a list of rules is walked, and what the rules about the present look at. */

import { toHex } from "./bytes.js";
import type { KeySet } from "./certificates.js";
import { REVOKED_PREFIX_BYTES, SLACK_S } from "./constants.js";
import { ProtocolError, type ErrorNumber } from "./errors.js";

/** One numbered rule about a subject. */
export interface Rule<S> {
  readonly number: ErrorNumber;
  holds(subject: S): boolean | Promise<boolean>;
}

/**
 * Try the rules in their order.
 *
 * @throws ProtocolError with the number of the first one that is broken.
 */
export async function walk<S>(rules: readonly Rule<S>[], subject: S): Promise<void> {
  for (const rule of rules) if (!(await rule.holds(subject))) throw new ProtocolError(rule.number);
}

/** What is revoked: whole ids, or their first 8 bytes. */
export class Revoked {
  readonly #items: ReadonlySet<string>;

  constructor(items: Iterable<Uint8Array> = []) {
    this.#items = new Set(Array.from(items, toHex));
  }

  /** Whether the id is on the list. By a prefix this may be a chance hit, which convicts nobody. */
  has(id: Uint8Array): boolean {
    return this.#items.has(toHex(id)) || this.#items.has(toHex(id.slice(0, REVOKED_PREFIX_BYTES)));
  }
}

/** Whom a verifier believes, and what it knows about now. Times are Unix seconds. */
export class TrustContext {
  constructor(
    readonly keySet: KeySet,
    /** The device's own clock. */
    now: number,
    /** The newest time signed by the issuer that was seen anywhere. */
    floor = 0,
    readonly revoked: Revoked = new Revoked(),
  ) {
    this.time = Math.max(now, floor);
  }

  /** Later of clock and floor: a clock that is set back brings nothing back. */
  readonly time: number;

  // Differences, for a sum with the largest integer would be rounded.

  /** Whether a moment is over, with slack. */
  hasPassed(moment: number): boolean {
    return this.time - moment > SLACK_S;
  }

  /** Whether a moment is still to come, with slack. */
  isAhead(moment: number): boolean {
    return moment - this.time > SLACK_S;
  }
}
