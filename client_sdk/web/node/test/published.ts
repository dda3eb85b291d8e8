/** Published test vectors, where the machine has them beside the repository. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const folder =
  process.env["PUBLISHED_VECTORS"] ??
  join(process.cwd(), "..", "..", "..", "shared", "references", "vectors");

/** Why a test is passed over, or false when the file is there. */
export function missing(...path: string[]): string | false {
  return existsSync(join(folder, ...path))
    ? false
    : `published vectors are not on this machine: ${path.join("/")}`;
}

/** The JSON of a file. */
export function published(...path: string[]): unknown {
  return JSON.parse(readFileSync(join(folder, ...path), "utf8"));
}
