/**
 * Client of the conformance runner: one case as JSON on each line of the input, one verdict on each line of the
 * output. `docs/how-to/implement-the-protocol.md` describes the lines.
 */

import { createInterface } from "node:readline";

import { ProtocolError } from "../src/index.js";
import type { Json } from "./facts.js";
import { Given } from "./given.js";
import { KINDS } from "./kinds.js";

type Message = { [name: string]: Json };

async function answer(message: Message): Promise<Message> {
  if ("hello" in message) return { name: "tallystick-web", kinds: Object.keys(KINDS) };
  const act = KINDS[String(message["kind"])];
  if (act === undefined) return { unsupported: true };
  try {
    return { ok: await act(new Given(message["input"] as Message)) };
  } catch (error) {
    if (error instanceof ProtocolError) return { error: error.number, code: error.code };
    return { fault: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const given = JSON.parse(line) as Message;
  process.stdout.write(`${JSON.stringify(await answer(given))}\n`);
}
