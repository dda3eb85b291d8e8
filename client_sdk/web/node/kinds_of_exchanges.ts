/** Kinds of case about the order of messages: a payment from its request on, and evidence after it. */

import {
  Exchange,
  fromHex,
  ProtocolError,
  requestId,
  TalkOrder,
  toHex,
  type Payment,
  type Taken,
} from "../src/index.js";
import type { Json } from "./facts.js";
import { Given } from "./given.js";
import { lastIds, type Facts, type Judge } from "./judging.js";

function piecesOf(payment: Payment): Facts {
  return {
    request_id: toHex(payment.lastHops[0]!.transfer.body.requestId),
    transfer_ids: lastIds(payment),
    amount: String(payment.amount),
  };
}

function takenFacts(taken: Taken): Facts {
  switch (taken.kind) {
    case 1: {
      const { request } = taken;
      return { request_id: toHex(requestId(request)), amount: String(request.body.amount) };
    }
    case 3: {
      const { requestId: id, transferIds, amount } = taken.receipt.body;
      return { request_id: toHex(id), transfer_ids: transferIds.map(toHex), amount: String(amount) };
    }
    case 7:
      return { number: taken.refusal.number, code: taken.refusal.code };
    default:
      return piecesOf(taken.payment);
  }
}

async function followExchange(given: Given): Promise<Facts> {
  const exchange = new Exchange(given.context);
  const seen = new Set<string>();
  const steps: Json[] = [];
  let refused: ProtocolError | undefined;
  for (const item of given.list("frames")) {
    const said = new Given(item as Facts);
    const named = `${said.text("from")} ${said.text("frame")}`;
    refused = undefined;
    try {
      const taken = await exchange.take(said.bytes("frame"));
      steps.push({ kind: taken.kind, ...takenFacts(taken), again: seen.has(named) });
      seen.add(named);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      refused = error;
      steps.push({ error: error.number });
    }
  }
  if (refused !== undefined) throw refused;
  return { steps, outcome: exchange.outcome };
}

export const EXCHANGES: { readonly [kind: string]: Judge } = {
  exchange: followExchange,

  talk: (given) => {
    const talk = new TalkOrder(given.flag("leads"), given.number("budget"));
    const due: Json[] = [[...talk.first]];
    for (const frame of given.texts("frames")) due.push([...talk.take(fromHex(frame)).due]);
    return { due, received: talk.received, done: talk.done };
  },
};
