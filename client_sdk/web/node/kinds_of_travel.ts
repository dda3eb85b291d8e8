/** Kinds of case about how messages travel. */

import {
  decodeFrame,
  encodeFrame,
  Fountain,
  fromHex,
  fromText,
  Initiator,
  keyPair,
  PartCollector,
  partToText,
  ProtocolError,
  readNews,
  readRefusal,
  readSpends,
  readTags,
  respond,
  StreamReader,
  toHex,
  toText,
  writeNews,
  writeSpends,
  writeTags,
  type Channel,
} from "../src/index.js";
import { bodyFacts, type Json } from "./facts.js";
import { Given } from "./given.js";
import { checkWriting, type Facts, type Judge } from "./judging.js";

/** Do one thing after the other; a refusal is the result of its step and does not end the others. */
function stepwise<T>(steps: readonly T[], act: (step: T) => Json): Json[] {
  return steps.map((step) => {
    try {
      return act(step);
    } catch (error) {
      if (error instanceof ProtocolError) return { error: error.number };
      throw error;
    }
  });
}

function useChannel(channel: Channel, given: Given): Facts {
  const steps = stepwise(given.list("steps"), (step) => {
    const one = new Given(step as Facts);
    return toHex(one.has("seal") ? channel.seal(one.bytes("seal")) : channel.open(one.bytes("open")));
  });
  return { hash: toHex(channel.hash), code: channel.code, steps };
}

function openSession(given: Given): Facts {
  const ephemeral = keyPair(given.bytes("ephemeral"));
  const id = given.bytes("request_id");
  if (given.text("role") === "payer") {
    const initiator = new Initiator(id, given.bytes("session_key"), ephemeral);
    const message = toHex(initiator.message);
    return { message, ...useChannel(initiator.finish(given.bytes("received")), given) };
  }
  const session = keyPair(given.bytes("session_secret"));
  const { answer, channel } = respond(id, session, ephemeral, given.bytes("received"));
  return { message: toHex(answer), ...useChannel(channel, given) };
}

export const TRAVEL: { readonly [kind: string]: Judge } = {
  news: (given) => {
    const news = readNews(given.bytes("data"));
    checkWriting(writeNews(news), given.bytes("data"));
    return bodyFacts(news);
  },

  tags: (given) => {
    const tags = readTags(given.bytes("data"), given.number("most"));
    checkWriting(writeTags(tags), given.bytes("data"));
    return { tags: tags.map(bodyFacts) };
  },

  spends: async (given) => {
    const spends = readSpends(given.bytes("data"));
    checkWriting(writeSpends(spends), given.bytes("data"));
    const [first, second] = spends;
    const proof =
      first === undefined || second === undefined
        ? undefined
        : await first.provesAgainst(second, given.keySet);
    return {
      spends: spends.map((spend) => ({
        transfer_id: toHex(spend.transfer.id),
        signer: toHex(spend.signer.raw),
      })),
      proof: proof === undefined ? null : toHex(proof.encode()),
    };
  },

  frame: (given) => {
    const frame = decodeFrame(given.bytes("data"));
    checkWriting(encodeFrame(frame), given.bytes("data"));
    return { kind: frame.kind, body: toHex(frame.body) };
  },

  refusal: (given) => bodyFacts(readRefusal(given.bytes("data"))),

  text: (given) => {
    const frame = fromText(given.text("text"));
    if (toText(frame) !== given.text("text")) throw new Error("the text is written differently");
    return { frame: toHex(encodeFrame(frame)) };
  },

  fountain: (given) => {
    const fountain = new Fountain(given.bytes("frame"), given.number("characters_max"));
    const texts = given.list("numbers").map((number) => partToText(fountain.part(Number(number))));
    return { count: fountain.count, texts };
  },

  parts: (given) => {
    const collector = new PartCollector();
    const steps = stepwise(given.texts("texts"), (text) => {
      const frame = collector.add(text);
      return frame === undefined ? null : toHex(frame);
    });
    return { steps };
  },

  stream: (given) => {
    const reader = new StreamReader();
    return { messages: given.texts("chunks").flatMap((chunk) => reader.feed(fromHex(chunk)).map(toHex)) };
  },

  session: openSession,
};
