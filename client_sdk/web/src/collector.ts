/**
 * Puts frames together again from the parts of a fountain, whatever else the camera sees.
 *
 * Parts are equations over two elements: the sum of these pieces is that. They are solved by Gaussian
 * elimination as they come, so that work and memory are bounded for each part.
 */

import { concatBytes, equalBytes, toHex } from "./bytes.js";
import { addTo, checkOf, malformed, partFromText, piecesIn, type Part } from "./fountain.js";
import { frameBytes, TEXT_PREFIX } from "./frames.js";

/** Linear equations between the pieces of one frame, by the highest piece in each. */
class Collection {
  readonly #rows = new Map<number, { pieces: bigint; sum: Uint8Array }>();

  constructor(private readonly like: Part) {}

  get rank(): number {
    return this.#rows.size;
  }

  get isComplete(): boolean {
    return this.rank === this.like.count;
  }

  add({ number, count, check, data }: Part): void {
    let pieces = piecesIn(number, count, check);
    const sum = data.slice();
    while (pieces !== 0n) {
      const highest = pieces.toString(2).length - 1;
      const row = this.#rows.get(highest);
      if (row === undefined) {
        this.#rows.set(highest, { pieces, sum });
        return;
      }
      pieces ^= row.pieces;
      addTo(sum, row.sum);
    }
  }

  frame(): Uint8Array {
    const solved: Uint8Array[] = [];
    for (let at = 0; at < this.like.count; at++) {
      const { pieces, sum } = this.#rows.get(at)!;
      const piece = sum.slice();
      solved.forEach((lower, place) => {
        if ((pieces >> BigInt(place)) & 1n) addTo(piece, lower);
      });
      solved.push(piece);
    }
    const frame = concatBytes(...solved).slice(0, this.like.length);
    if (!equalBytes(checkOf(frame), this.like.check)) throw malformed("the parts do not fit together");
    return frame;
  }
}

/** Frames that are pieced together side by side, so that a stray code throws nothing away. */
const COLLECTIONS_MAX = 8;

/** Puts frames together from parts in any order, doubled, and with foreign ones between. */
export class PartCollector {
  readonly #collections = new Map<string, Collection>();

  /**
   * Take the text of one code.
   *
   * @returns the frame when nothing is missing any more, or when the code held all of it.
   * @throws ProtocolError 104 for neither a frame nor a part, or for parts that do not fit together.
   */
  add(text: string): Uint8Array | undefined {
    if (text.startsWith(TEXT_PREFIX)) return frameBytes(text);
    const part = partFromText(text);
    const name = `${part.count}-${part.length}-${toHex(part.check)}`;
    const collection = this.#collection(name, part);
    collection.add(part);
    if (!collection.isComplete) return undefined;
    this.#collections.delete(name);
    return collection.frame();
  }

  #collection(name: string, part: Part): Collection {
    const found = this.#collections.get(name);
    if (found !== undefined) return found;
    if (this.#collections.size >= COLLECTIONS_MAX) {
      const [least] = [...this.#collections].sort(([, left], [, right]) => left.rank - right.rank)[0]!;
      this.#collections.delete(least);
    }
    const made = new Collection(part);
    this.#collections.set(name, made);
    return made;
  }
}
