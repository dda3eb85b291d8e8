/**
 * The order in which two devices exchange evidence (section 9 of the specification), and how many bytes it takes.
 *
 * This is the frame order alone: what a device knows, and whether to believe what it hears, is for its user.
 */

import { ProtocolError } from "./errors.js";
import { decodeFrame, FRAME_KINDS, type Frame, type FrameKind } from "./frames.js";
import { readNews, readSpends, readTags, TAGS_MAX, WANTS_MAX } from "./gossip.js";

/** Bytes of frames below which no evidence is exchanged. */
export const BUDGET_MIN = 512;

/** Gifts and proofs that a side takes in one meeting. */
export const ITEMS_MAX = 64;

const { NEWS, TAGS, WANT, RECORDS, FRAUD_PROOF, KEY_SET, REVOCATION, POLICY } = FRAME_KINDS;

/** What is awaited, which kinds may come before it, and the frames that have to be sent when it has come. */
interface Step {
  readonly awaits: FrameKind | undefined;
  readonly before: ReadonlySet<FrameKind>;
  readonly due: readonly FrameKind[];
}

const NOTHING: ReadonlySet<FrameKind> = new Set();
const GIFTS: ReadonlySet<FrameKind> = new Set([KEY_SET, REVOCATION, POLICY, FRAUD_PROOF]);
const PROOFS: ReadonlySet<FrameKind> = new Set([FRAUD_PROOF]);

const PAYER: readonly Step[] = [
  { awaits: NEWS, before: NOTHING, due: [TAGS] },
  { awaits: TAGS, before: GIFTS, due: [] },
  { awaits: WANT, before: NOTHING, due: [RECORDS, WANT] },
  { awaits: RECORDS, before: PROOFS, due: [] },
];
const PAYEE: readonly Step[] = [
  { awaits: NEWS, before: NOTHING, due: [NEWS] },
  { awaits: TAGS, before: GIFTS, due: [TAGS, WANT] },
  { awaits: RECORDS, before: NOTHING, due: [] },
  { awaits: WANT, before: NOTHING, due: [RECORDS] },
  { awaits: undefined, before: PROOFS, due: [] },
];

/** One side of one meeting, as far as the order and the size of frames go. */
export class TalkOrder {
  readonly #steps: readonly Step[];
  #at = 0;
  #items = 0;
  #received = 0;
  readonly #budget: number;
  #limit: number;

  /**
   * @param leads whether this side speaks first, as payers do.
   * @param budget bytes of frames that this side sends and takes.
   */
  constructor(
    private readonly leads: boolean,
    budget: number,
  ) {
    if (budget < BUDGET_MIN) throw new RangeError("a smaller budget is no exchange");
    this.#steps = leads ? PAYER : PAYEE;
    this.#budget = budget;
    this.#limit = budget;
  }

  /** What to send before anything has come. */
  get first(): readonly FrameKind[] {
    return this.leads ? [NEWS] : [];
  }

  /** Bytes of frames that were taken. */
  get received(): number {
    return this.#received;
  }

  /** Bytes of frames that each side may send: the smaller of both budgets, once the other one is known. */
  get limit(): number {
    return this.#limit;
  }

  /** Whether everything that has to come has come. */
  get done(): boolean {
    return this.#steps[this.#at]?.awaits === undefined;
  }

  /**
   * Take one frame; its body is read, and what is signed in it is not verified.
   *
   * @returns the frame, and the kinds of frame that have to be sent now, gifts and proofs not among them.
   * @throws ProtocolError 104 out of order or beyond the limits, or what is wrong with the body. It ends the talk.
   */
  take(data: Uint8Array): { frame: Frame; due: readonly FrameKind[] } {
    this.#received += data.length;
    if (this.#received > this.#budget) throw new ProtocolError(104, "over the budget");
    const frame = decodeFrame(data);
    const step = this.#steps[this.#at];
    if (step?.before.has(frame.kind)) {
      this.#items += 1;
      if (this.#items > ITEMS_MAX) throw new ProtocolError(104, "too many frames of evidence");
      return { frame, due: [] };
    }
    if (step === undefined || frame.kind !== step.awaits) throw new ProtocolError(104, "out of order");
    this.#read(frame);
    this.#at += 1;
    return { frame, due: step.due };
  }

  #read({ kind, body }: Frame): void {
    if (kind === NEWS) {
      const { budget } = readNews(body);
      if (budget < BUDGET_MIN) throw new ProtocolError(104, "a budget below the least");
      this.#limit = Math.min(this.#limit, budget);
    } else if (kind === RECORDS) {
      readSpends(body);
    } else {
      readTags(body, kind === WANT ? WANTS_MAX : TAGS_MAX);
    }
  }
}
